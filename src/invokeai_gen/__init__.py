"""Typed Python modules from InvokeAI workflows.

The command `invokeai-gen` reads workflows exported from the InvokeAI GUI and writes one Python module for each;
`invokeai_gen.runtime` is the small library that those modules import. `invokeai_gen.handle` opens a workflow at run time
instead; its entrance, `InvokeAIClient` and `WorkflowDefinition`, is here as well.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invokeai_gen.handle import InvokeAIClient, WorkflowDefinition

__all__ = ["InvokeAIClient", "WorkflowDefinition", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Loads the entrance to handles when it is first used, so that importing the package costs nothing."""
    if name not in ("InvokeAIClient", "WorkflowDefinition"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module("invokeai_gen.handle"), name)
    globals()[name] = value
    return value
