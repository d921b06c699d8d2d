"""JSON as the GUI's browser writes it, so that what we send is what it would have sent; `js_reading` reads it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, Literal

MAX_SAFE_INTEGER: Final = 2**53 - 1


class Unset(Enum):
    """JavaScript's `undefined`: a field that has no value, which differs from a value of null."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET

_ARRAY_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


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
    data = dict(pairs)
    indices = [key for key in data if key[:1].isdigit() and _ARRAY_INDEX.fullmatch(key) and int(key) < 2**32 - 1]
    if not indices:
        return data
    return {key: data[key] for key in sorted(indices, key=int)} | data


# JSON can name an unpaired surrogate (`"\ud800"`), but UTF-8, and so a request or a file, cannot hold one.


def is_encodable(text: str) -> bool:
    """Return whether UTF-8 can hold the text."""
    return text.isascii() or text.encode("utf-8", "ignore").decode() == text


def escape_surrogates(text: str) -> str:
    """Return the text with each unpaired surrogate as the six characters `\\ud800`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
