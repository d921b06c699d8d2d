"""Agents call workflows: an MCP server on the official SDK, with one tool for each workflow."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def quick_import() -> Iterator[None]:
    """Import the SDK in three quarters of the time; agents wait for it.

    It has 600 pydantic models, for two versions of the protocol. Those imported meanwhile are built when first used
    (pydantic's `defer_build`), and no garbage is collected among what stays until the end.
    """
    from pydantic import BaseModel

    gc.disable()
    BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        del BaseModel.model_config["defer_build"]
        gc.freeze()
        gc.enable()
