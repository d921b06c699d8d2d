"""Finding the items of a batch that have ended without an event having said so."""

from __future__ import annotations

from invokeai_gen.server import constants
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.queue import AsyncQueue
from invokeai_gen.server.run_queue import RunQueue
from invokeai_gen.server.status_watch import StatusWatch


async def find(queue: RunQueue, watch: StatusWatch, unfinished: int) -> None:
    """Fetch items in the order in which they run, until no more than `unfinished` have not ended.

    Raises `NotFoundError` if one is no longer in the queue.
    """
    left = watch.unfinished()
    size = min(len(left) - unfinished + 1, constants.PAGE)  # those that have ended, and the one that runs
    while left and watch.left > unfinished:
        asked, left, size = left[:size], left[size:], constants.PAGE
        found = await AsyncQueue(queue.transport, queue.queue_id).items(asked, with_sessions=watch.keeps_nodes)
        for item in found:
            if watch.keeps_nodes:
                watch.catch_up(item)
            else:  # without their sessions they say no more than their status
                watch.take_status(item.raw)
        if gone := set(asked).difference(item.item_id for item in found):
            raise NotFoundError("POST", "items_by_ids", 404, f"no queue item {min(gone)}")
