"""What a cancelled caller leaves behind: awaiting the background loop from another one, and steps that are completed.

Apart from `background`, because a blocking run needs none of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from invokeai_gen.server.background import T, Undo, _Call, bridge
from invokeai_gen.server.constants import INTERRUPT_TIMEOUT


async def bridged(call: _Call[T], undo: Undo[T] | None) -> T:
    """Begin a call on the background loop, and await it on this one; see `background.bridge`."""
    outcome = asyncio.wrap_future(call.outcome)
    call.begin()
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        await unbroken(_taken_back(call, outcome, undo))
        raise


async def _taken_back(call: _Call[T], outcome: asyncio.Future[T], undo: Undo[T] | None) -> None:
    """Cancel a call, wait until it has tidied up, and undo what it did if it had come to its end already."""
    if not outcome.done():
        call.cancel()
        await asyncio.wait([outcome], timeout=INTERRUPT_TIMEOUT)
    if outcome.done() and not outcome.cancelled() and outcome.exception() is None and undo is not None:
        await bridge(undo(outcome.result()))


async def unbroken(step: Coroutine[Any, Any, T], undo: Callable[[T], object] | None = None) -> T:
    """Await a step that must not be left half done: if the caller is cancelled, once or more often, it is completed first.

    `undo` is called with its result then, which nobody else gets. A step that takes longer than `INTERRUPT_TIMEOUT` is
    not waited for any more, and goes on.
    """
    clock = asyncio.get_running_loop().time
    task = asyncio.ensure_future(step)

    def drop(task: asyncio.Future[T]) -> None:
        if not task.cancelled() and task.exception() is None and undo is not None:
            undo(task.result())

    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        end = clock() + INTERRUPT_TIMEOUT
        while not task.done() and (left := end - clock()) > 0:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=left)
        if task.done():
            drop(task)
        else:
            task.add_done_callback(drop)
        raise
