"""Many calls at once, but never too many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def gather_limited(call: Callable[[T], Awaitable[R]], items: Iterable[T], *, at_once: int) -> list[R | Exception]:
    """Call `call` with every item, `at_once` at a time; return each result, or the error raised, in order of the items.

    If the caller is cancelled, all calls have ended when that is raised.
    """
    import asyncio

    slots = asyncio.Semaphore(at_once)

    async def one(item: T) -> R:
        async with slots:
            return await call(item)

    answers = await asyncio.gather(*map(one, items), return_exceptions=True)
    found: list[R | Exception] = []
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Exception):
            raise answer
        found.append(answer)
    return found
