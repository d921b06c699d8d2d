"""What a wrong answer of a server is called in a message. Loaded with the first one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def name_of(kind: type) -> str:
    """Return what JSON of that class is called."""
    return _NAMES.get(kind, kind.__name__)


def shape_of(data: Any) -> str:
    """Return what a value of a JSON answer is called; a number is named itself."""
    if data is None:
        return "nothing"
    return repr(data)[:40] if isinstance(data, (bool, int, float)) else name_of(type(data))
