"""JSON as the GUI's browser reads and writes it, so that what we send is what it would have sent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, Literal

MAX_SAFE_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 200
"""Deeper than any real workflow or schema; beyond it Python's own recursion would be at risk."""


class Unset(Enum):
    """JavaScript's `undefined`: a field that has no value, which differs from a value of null."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET

_WHITESPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_ARRAY_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


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
            object_pairs_hook=_in_key_order,
        )
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    if _is_deeper_than(data, MAX_DEPTH):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return data


def number(value: float) -> int | float:
    """Return the number as JavaScript would print it: `2.0` is `2`, and an integer beyond 2**53 is rounded to a double.

    Raises `ValueError` for NaN, and for numbers beyond the largest double.
    """
    if isinstance(value, int):
        if abs(value) <= MAX_SAFE_INTEGER:
            return value
        try:
            return number(float(value))
        except OverflowError:
            raise ValueError("an integer of more than 308 digits is not a number that JSON can carry") from None
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number that JSON can carry")
    if not value.is_integer() or abs(value) >= 1e21:
        return value
    if abs(value) <= MAX_SAFE_INTEGER:
        return int(value)
    from decimal import Decimal  # the shortest digits that name this double, as JavaScript prints them

    return int(Decimal(repr(value)))


def trim(text: str) -> str:
    """Return the text without leading and trailing white space, as JavaScript defines it."""
    return text.strip(_WHITESPACE)


def is_number(value: Any) -> bool:
    """Return whether a value is a JSON number; a boolean is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer that JavaScript holds exactly, as the GUI requires."""
    return isinstance(value, int) and is_number(value) and abs(value) <= MAX_SAFE_INTEGER


def normalized(value: Any) -> Any:
    """Return a copy of JSON data with every number as `number` returns it. Raises `ValueError` for NaN and infinities."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, dict):
        return {key: normalized(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [normalized(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not JSON data")


def in_key_order(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict in the order of a JavaScript object: array indices ascending, then the other keys as they came."""
    return _in_key_order(list(pairs))


def _in_key_order(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    indices = [key for key in data if key[:1].isdigit() and _ARRAY_INDEX.fullmatch(key) and int(key) < 2**32 - 1]
    if not indices:
        return data
    return {key: data[key] for key in sorted(indices, key=int)} | data


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
