"""One InvokeAI server over HTTP and Socket.IO: client, errors, events, boards, images, models, queue, workflows."""

from typing import TYPE_CHECKING

from invokeai_gen.public_names import find_public as __getattr__  # noqa: F401

if TYPE_CHECKING:  # the address before 0.2, which generated modules and programs still name
    from invokeai_gen import AsyncInvokeAIClient as AsyncInvokeAIClient
    from invokeai_gen import InvokeAIClient as InvokeAIClient
    from invokeai_gen import default_client as default_client
