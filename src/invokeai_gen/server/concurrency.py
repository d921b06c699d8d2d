"""Many calls at once, but never too many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def gather_limited(call: Callable[[T], Awaitable[R]], items: Iterable[T], *, at_once: int) -> list[R | Exception]:
    """What `call` gives for every item, or the error it raises, in the order of the items; `at_once` at the same time."""
    import asyncio

    slots = asyncio.Semaphore(at_once)

    async def one(item: T) -> R | Exception:
        async with slots:
            try:
                return await call(item)
            except Exception as error:  # noqa: BLE001 - whoever asked says which ones they expect
                return error

    return await asyncio.gather(*map(one, items))
