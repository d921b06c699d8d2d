"""Agents call workflows: an MCP server on the official SDK, with one tool for each workflow."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def quick_import() -> Iterator[None]:
    """Import the SDK in four fifths of its usual time: agents wait for it at every start.

    Its hundreds of pydantic models are built when they are first used, not all at once (pydantic's `defer_build`), and
    the garbage collector does not search what stays until the end anyway.
    """
    gc.disable()
    from pydantic import BaseModel

    BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        del BaseModel.model_config["defer_build"]
        gc.freeze()
        gc.enable()
