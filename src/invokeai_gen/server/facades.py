"""The blocking twins of asynchronous classes and generators."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, TypeVar

from invokeai_gen.server import background
from invokeai_gen.server.background import P, T, run

if TYPE_CHECKING:
    from invokeai_gen.server.http import Transport

C = TypeVar("C")
S = TypeVar("S")


class AsyncPart:
    """Base of a part of an asynchronous client, such as its boards."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport


class Facade(Generic[C]):
    """Base of a class whose methods block: `_core` has the asynchronous ones."""

    def __init__(self, core: C) -> None:
        self._core = core


def facade(method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Any, P], T]:
    """Return the blocking twin of a method of `_core`, for a class that keeps its asynchronous counterpart there."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            coro = method(self._core, *args, **kwargs)
        finally:
            del args, kwargs  # a traceback that prints variables would show passwords
        return run(coro)

    return call


def iterating(
    method: Callable[Concatenate[S, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """Return the blocking twin of an async generator of `_core`; see `facade`."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return iterate(method(self._core, *args, **kwargs))

    return call


def blocking(method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[S, P], T]:
    """Return the blocking twin of an async method of the same class, with its parameters and documentation."""

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(method(self, *args, **kwargs))

    return call


async def _next(generator: AsyncGenerator[T, None]) -> tuple[T, ...]:
    async for item in generator:
        return (item,)
    return ()


def iterate(generator: AsyncGenerator[T, None]) -> Iterator[T]:
    """Iterate over an async generator, blocking; leaving the loop early closes it."""
    try:
        while item := run(_next(generator)):
            yield item[0]
    finally:
        _close_soon(generator, os.getpid())


def _close_soon(generator: AsyncGenerator[T, None], owner: int) -> None:
    """Close a generator without waiting for it.

    An iterator that is left half read is closed when it is collected: on any thread, the loop's own included, or while
    Python shuts down, when that thread no longer runs and waiting for it would never end.
    """
    running = background._loop
    if running is not None and not sys.is_finalizing() and owner == os.getpid():
        running.call_soon_threadsafe(lambda: background.start(_closed(generator)))


async def _closed(generator: AsyncGenerator[T, None]) -> None:
    await generator.aclose()
