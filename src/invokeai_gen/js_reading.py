"""JSON as the GUI's browser reads it."""

from __future__ import annotations

import json
from typing import Any, Final

from invokeai_gen.js_json import MAX_SAFE_INTEGER, in_key_order, number

MAX_DEPTH: Final = 200
"""Deeper than any real workflow or schema; beyond it Python's own recursion would be at risk."""
_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH} levels"
_SAFE_DIGITS: Final = len(str(MAX_SAFE_INTEGER))
"""Integers with fewer characters are exact in JavaScript."""
_CONTAINERS: Final = (dict, list)
_WHITESPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)


def loads(text: str | bytes) -> Any:
    """Parse JSON with JavaScript's numbers and key order.

    Every number is a double: integral ones become `int`, large ones lose their last digits. Keys that look like array
    indices come first, in numeric order. Raises `ValueError` for text that is not JSON, for NaN and Infinity, and for
    data nested deeper than `MAX_DEPTH`.
    """
    data = loads_unordered(text)
    put_in_order(data)
    return data


def loads_unordered(text: str | bytes) -> Any:
    """Parse JSON as `loads` does, but leave the order of keys and the depth to `put_in_order`."""
    try:
        return json.loads(
            text, parse_int=_integer, parse_float=lambda digits: number(float(digits)), parse_constant=_infinite
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def put_in_order(data: Any) -> None:
    """Put the keys of all objects in JavaScript's order. Raise `ValueError` for data nested deeper than `MAX_DEPTH`.

    Breadth first, so that deep data cannot overflow the stack.
    """
    level = [data]
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for item in level:
            members = item
            if item.__class__ is dict:
                # Few objects have a key that begins with a digit; ":" is the character after 9.
                if item and min(item) < ":" and any("0" <= key < ":" for key in item):
                    ordered = in_key_order(item.items())
                    item.clear()
                    item.update(ordered)
                members = item.values()
            elif item.__class__ is not list:
                continue
            following += [member for member in members if member.__class__ in _CONTAINERS]
        if not following:
            return
        level = following
    raise ValueError(_TOO_DEEP)


def trim(text: str) -> str:
    """Return the text without leading and trailing white space, as JavaScript defines it."""
    return text.strip(_WHITESPACE)


def is_number(value: Any) -> bool:
    """Return whether a value is a JSON number; a boolean is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer that JavaScript holds exactly, as the GUI requires."""
    return isinstance(value, int) and is_number(value) and abs(value) <= MAX_SAFE_INTEGER


def _integer(digits: str) -> int | float:
    if len(digits) < _SAFE_DIGITS:
        return int(digits)
    return number(int(digits)) if len(digits) < 400 else _infinite(digits)


def _infinite(text: str) -> float:
    raise ValueError(f"{text[:20]} is not a number that JSON can carry")
