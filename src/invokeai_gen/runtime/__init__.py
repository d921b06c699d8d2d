"""What one run needs: workflow, runner, job, outputs, media, uploads, clean-up, progress."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the address before 0.2, which generated modules and programs still name
    from invokeai_gen import *


def __getattr__(name: str) -> Any:
    """Look up a public name at its address of today: `invokeai_gen` itself."""
    if name.startswith("__"):  # what the import system asks a package for
        raise AttributeError(name)
    return getattr(importlib.import_module("invokeai_gen"), name)
