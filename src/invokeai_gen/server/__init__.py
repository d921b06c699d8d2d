"""One InvokeAI server over HTTP and Socket.IO: client, errors, events, boards, images, models, queue, workflows."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the address before 0.2, which generated modules and programs still name
    from invokeai_gen import AsyncInvokeAIClient as AsyncInvokeAIClient
    from invokeai_gen import InvokeAIClient as InvokeAIClient
    from invokeai_gen import default_client as default_client


def __getattr__(name: str) -> Any:
    """Look up a public name at its address of today: `invokeai_gen` itself."""
    if name.startswith("__"):  # what the import system asks a package for
        raise AttributeError(name)
    return getattr(importlib.import_module("invokeai_gen"), name)
