"""Checking the shape of a server's answers: small readers, each of which returns what it expects or raises `ShapeError`.

`Transport` calls the reader of each request and turns a `ShapeError` into an error that names the request.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar, Union

T = TypeVar("T")
Reader = Callable[[Any], T]
"""Takes decoded JSON, returns the checked value."""


class ShapeError(ValueError):
    """Some part of an answer is missing or of another type than InvokeAI's."""


def anything(data: Any) -> Any:
    """Accept any answer."""
    return data


def ignored(_data: Any) -> None:
    """Accept any answer, and return nothing."""


def text(data: Any) -> str:
    """Accept a string."""
    return expect(data, str)


def integer(data: Any) -> int:
    """Accept a whole number."""
    return expect(data, int)


def flag(data: Any) -> bool:
    """Accept true or false."""
    return expect(data, bool)


def mapping(data: Any) -> dict[str, Any]:
    """Accept an object."""
    found: dict[str, Any] = expect(data, dict)
    return found


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


def expect(data: Any, kind: type[T]) -> T:
    """Return the data if it is of that class. Raises `ShapeError`."""
    if not fits(data, kind):
        from invokeai_gen.server.shape_names import name_of, shape_of

        raise ShapeError(f"expected {name_of(kind)}, got {shape_of(data)}")
    found: T = data
    return found


def fits(value: Any, hint: Any) -> bool:
    """Return whether a JSON value is of the type of an annotation: a class, a union, a list or a mapping."""
    if hint is Any:
        return True
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in typing.get_args(hint))
    if origin is list:
        return isinstance(value, list) and all(fits(item, typing.get_args(hint)[0]) for item in value)
    if origin is not None:
        return isinstance(value, origin)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, types.NoneType if hint is None else hint)
