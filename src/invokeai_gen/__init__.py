"""Typed Python modules from InvokeAI workflows.

The command `invokeai-gen` reads workflows exported from the InvokeAI GUI and writes one Python module for each. What such
a module imports is here, and so is the entrance for workflows that are opened at run time, without generating:
`InvokeAIClient` and `WorkflowDefinition`. Each name is loaded when it is first used. Type checkers and editors
read `__init__.pyi` instead of this file.
"""

from invokeai_gen import public_names as _names
from invokeai_gen.version import __version__ as __version__

__all__ = list(_names.HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    value: object = _names.find_public(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
