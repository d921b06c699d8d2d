"""What becomes of an enqueue whose answer was lost, that had no room, or that is cancelled. Loaded when that happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

from invokeai_gen.server import constants
from invokeai_gen.server.errors import ServerError
from invokeai_gen.server.idempotency import send_once
from invokeai_gen.server.queue import AsyncQueue
from invokeai_gen.server.records import Enqueued
from invokeai_gen.server.run_errors import EnqueueClippedError, EnqueueUncertainError
from invokeai_gen.server.run_queue import RunQueue, batch_size


async def found_or_sent_again(
    queue: RunQueue, request: Mapping[str, Any], failed: Exception
) -> tuple[int, int, list[int]]:
    """Return the answer that an enqueue would have had: the server is asked for its batch before it is sent again.

    `failed` is why the first attempt has no answer. Raises it or `EnqueueUncertainError`.
    """
    batch_id: str = request["batch"]["batch_id"]
    earlier = [failed]

    async def send() -> tuple[int, int, list[int]]:
        if earlier:  # the first attempt
            raise earlier.pop()
        return await queue.post(request)

    async def find() -> tuple[int, int, list[int]] | None:
        ids = await AsyncQueue(queue.transport, queue.queue_id).item_ids_of(batch_id)
        return (len(ids), batch_size(request["batch"]), ids) if ids else None

    return await send_once(send, find, partial(EnqueueUncertainError, batch_id))


async def take_clipped_back(queue: RunQueue, request: Mapping[str, Any], enqueued: int, asked: int) -> NoReturn:
    """Cancel the part of a batch that went into a full queue, and raise `EnqueueClippedError`."""
    batch_id: str = request["batch"]["batch_id"]
    if enqueued:
        await queue.cancel_batches([batch_id])
    raise EnqueueClippedError(enqueued, asked, batch_id)


async def take_back(queue: RunQueue, sending: asyncio.Task[Enqueued], batch_id: str) -> None:
    """Cancel a batch that is being enqueued: the server completes a request whose client has gone.

    The answer to the enqueue may never come, so the batch is looked for by its id as well.
    """
    try:
        for pause in constants.LOST_ANSWER_WAITS:
            await asyncio.wait([sending], timeout=pause)
            with contextlib.suppress(ServerError):
                if await queue.cancel_batches([batch_id]) or sending.done():
                    return
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
