"""JSON as the GUI's browser reads it."""

from __future__ import annotations

import json
from typing import Any, Final

from invokeai_gen.js_json import MAX_SAFE_INTEGER, in_key_order, number

MAX_DEPTH: Final = 200
"""Deeper than any real workflow or schema; beyond it Python's own recursion would be at risk."""
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
    try:
        data = json.loads(
            text,
            parse_int=lambda digits: number(int(digits)) if len(digits) < 400 else _infinite(digits),
            parse_float=lambda digits: number(float(digits)),
            parse_constant=_infinite,
            object_pairs_hook=in_key_order,
        )
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    if _is_deeper_than(data, MAX_DEPTH):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return data


def trim(text: str) -> str:
    """Return the text without leading and trailing white space, as JavaScript defines it."""
    return text.strip(_WHITESPACE)


def is_number(value: Any) -> bool:
    """Return whether a value is a JSON number; a boolean is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer that JavaScript holds exactly, as the GUI requires."""
    return isinstance(value, int) and is_number(value) and abs(value) <= MAX_SAFE_INTEGER


def _infinite(text: str) -> float:
    raise ValueError(f"{text[:20]} is not a number that JSON can carry")


def _is_deeper_than(data: Any, depth: int) -> bool:
    """Return whether data is nested deeper than `depth`; breadth first, so that the check itself cannot overflow."""
    level = [data]
    for _ in range(depth):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
