"""Checking the shape of a server's answers: small readers, each of which returns what it expects or raises `ShapeError`.

`Transport` calls the reader of each request and turns a `ShapeError` into an error that names the request.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

T = TypeVar("T")
Reader = Callable[[Any], T]
"""Takes decoded JSON, returns the checked value."""
_NAMES: Final[dict[type, str]] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    types.NoneType: "nothing",
}
"""What a part of an answer is called in a message."""


class ShapeError(ValueError):
    """Some part of an answer is missing or of another type than InvokeAI's."""


def anything(data: Any) -> Any:
    """Accept any answer."""
    return data


def ignored(_data: Any) -> None:
    """Accept any answer, and return nothing."""


def expect(data: Any, kind: type[T]) -> T:
    """Return the data if it is of that class. Raises `ShapeError`."""
    if fits(data, kind):
        found: T = data
        return found
    kind_of_data = _NAMES.get(type(data), type(data).__name__)
    got = repr(data)[:40] if isinstance(data, (int, float)) else kind_of_data
    raise ShapeError(f"expected {_NAMES.get(kind, kind.__name__)}, got {got}")


def fits(value: Any, hint: Any) -> bool:
    """Return whether a JSON value is of the type of an annotation: a class, a union, a list or a mapping."""
    if hint is Any:
        return True
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        return any(fits(value, part) for part in typing.get_args(hint))
    if origin is list:
        return isinstance(value, list) and all(fits(item, typing.get_args(hint)[0]) for item in value)
    if isinstance(value, bool):  # which Python takes for a number
        return hint is bool
    return isinstance(value, (int, float) if hint is float else origin or hint)


text: Final[Reader[str]] = partial(expect, kind=str)
"""Accept a string."""
integer: Final[Reader[int]] = partial(expect, kind=int)
"""Accept a whole number."""
flag: Final[Reader[bool]] = partial(expect, kind=bool)
"""Accept true or false."""
mapping: Final[Reader[dict[str, Any]]] = partial(expect, kind=dict)
"""Accept an object."""


def list_of(read: Reader[T]) -> Reader[list[T]]:
    """Accept a list whose entries `read` accepts."""

    def reader(data: Any) -> list[T]:
        found = []
        for index, item in enumerate(expect(data, list)):
            try:
                found.append(read(item))
            except ShapeError as error:
                raise ShapeError(f"entry {index}: {error}") from None
        return found

    return reader


def optional(read: Reader[T]) -> Reader[T | None]:
    """Accept null as well."""
    return lambda data: None if data is None else read(data)


def at(key: str, read: Reader[T]) -> Reader[T]:
    """Accept an object with that key, and return what `read` makes of its value."""

    def reader(data: Any) -> T:
        if key not in mapping(data):
            raise ShapeError(f"{key!r} is missing")
        try:
            return read(data[key])
        except ShapeError as error:
            raise ShapeError(f"{key!r}: {error}") from None

    return reader
