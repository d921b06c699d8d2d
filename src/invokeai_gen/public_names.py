"""Where each public name of the package lives, so that importing one loads no other. `__init__.pyi` is the table."""

import importlib
import re
from collections.abc import Mapping
from os.path import dirname, join
from typing import Any, Final

_IMPORT: Final = re.compile(r"from (\S+) import (\S+) as")


def _homes() -> dict[str, str]:
    loader: Any = __spec__.loader  # reads out of a zip file, too
    stub = loader.get_data(join(dirname(__file__), "__init__.pyi")).decode()
    return {name: home for home, name in _IMPORT.findall(stub)}


HOME_OF: Final[Mapping[str, str]] = _homes()
"""The module of each public name."""


def find_public(name: str) -> Any:
    """Return the object with a public name. Raise `AttributeError` for any other name, as a module's `__getattr__` does."""
    if name not in HOME_OF:
        raise AttributeError(f"invokeai_gen has no attribute {name!r}")
    return getattr(importlib.import_module(HOME_OF[name]), name)
