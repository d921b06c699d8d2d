"""What a run needs of a server's queue: enqueue, look at, cancel. `AsyncQueue` can do more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from invokeai_gen.loading import load
from invokeai_gen.server import constants
from invokeai_gen.server.answers import at, integer, list_of
from invokeai_gen.server.errors import ConnectionFailedError, ServerFaultError
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.records import Enqueued, QueueCounts, QueueItem


class RunQueue:
    """One queue of one server, as far as every run needs it."""

    def __init__(self, transport: Transport, queue_id: str = "default") -> None:
        self.transport = transport
        self.queue_id = queue_id
        self._root = f"/api/v1/queue/{segment(queue_id)}"

    async def enqueue(self, request: Mapping[str, Any], *, may_clip: bool = False) -> Enqueued:
        """Put a batch into the queue: the body of `enqueue_batch`, with a `batch_id` chosen by the caller.

        The request is never sent twice on a guess: if the answer is lost, the server is asked for that batch first.
        Raises `RejectedError` (422), `EnqueueClippedError` if the queue is full, and `EnqueueUncertainError` if it
        cannot be known whether the batch arrived. With `may_clip` a queue that fills up takes the first items, and the
        answer has fewer than were sent.
        """
        batch_id: str = request["batch"]["batch_id"]
        failed: Exception | None = None
        answer = 0, 0, list[int]()
        try:
            answer = await self.post(request)
        except (ConnectionFailedError, ServerFaultError) as error:
            failed = error
        if failed is not None:
            queues = await load("invokeai_gen.server.queue")
            answer = await queues.found_or_sent_again(self, request, failed)
        enqueued, asked, item_ids = answer
        if enqueued < asked and not may_clip:
            if enqueued:
                await self.cancel_batches([batch_id])
            run_errors = await load("invokeai_gen.server.run_errors")
            raise run_errors.EnqueueClippedError(enqueued, asked, batch_id)
        return Enqueued(batch_id=batch_id, item_ids=tuple(sorted(item_ids)))

    async def post(self, request: Mapping[str, Any]) -> tuple[int, int, list[int]]:
        """Send a batch once; return how many items went in, how many were sent, and their ids."""
        return await self.transport.send(
            "POST",
            f"{self._root}/enqueue_batch",
            json=request,
            timeout=constants.ENQUEUE_TIMEOUT,
            read=lambda data: (
                at("enqueued", integer)(data),
                at("requested", integer)(data),
                at("item_ids", list_of(integer))(data),
            ),
        )

    async def get(self, item_id: int) -> QueueItem:
        """Return the item of that id with its whole session. Raises `NotFoundError`."""
        return await self.transport.get(self._item(item_id), read=QueueItem.of)

    async def batch_counts(self, batch_id: str) -> QueueCounts:
        """Return the number of items of a batch by status; all 0 for a batch that the server does not know."""
        return await self.transport.get(f"{self._root}/b/{segment(batch_id)}/status", read=QueueCounts.of)

    async def cancel(self, item_id: int) -> QueueItem:
        """Cancel an item; one that has ended stays as it is. Raises `NotFoundError`."""
        return await self.transport.send("PUT", f"{self._item(item_id)}/cancel", read=QueueItem.of)

    async def cancel_batches(self, batch_ids: Iterable[str]) -> int:
        """Cancel the unfinished items of these batches; return how many there were."""
        return await self.transport.send(
            "PUT", f"{self._root}/cancel_by_batch_ids", json={"batch_ids": [*batch_ids]}, read=at("canceled", integer)
        )

    def _item(self, item_id: int) -> str:
        return f"{self._root}/i/{item_id}"


def batch_size(batch: Mapping[str, Any]) -> int:
    """Return how many queue items a batch makes: its lists multiply, lists of one group count once."""
    return int(batch.get("runs", 1)) * math.prod(len(lists[0]["items"]) for lists in batch.get("data") or ())
