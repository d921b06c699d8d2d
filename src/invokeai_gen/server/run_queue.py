"""What a run needs of a server's queue: enqueue, look at, cancel. `AsyncQueue` can do more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from invokeai_gen.server import constants
from invokeai_gen.server.answers import at, integer, list_of, mapping
from invokeai_gen.server.errors import (
    EnqueueClippedError,
    EnqueueUncertainError,
    StatusError,
)
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.idempotency import send_once
from invokeai_gen.server.records import Enqueued, QueueCounts, QueueItem


class RunQueue:
    """One queue of one server, as far as every run needs it."""

    def __init__(self, transport: Transport, queue_id: str = "default") -> None:
        self._transport = transport
        self.queue_id = queue_id
        self._root = f"/api/v1/queue/{segment(queue_id)}"
        self._has_summaries = True

    async def enqueue(self, request: Mapping[str, Any], *, may_clip: bool = False) -> Enqueued:
        """Put a batch into the queue: the body of `enqueue_batch`, with a `batch_id` chosen by the caller.

        The request is never sent twice on a guess: if the answer is lost, the server is asked for that batch first.
        Raises `RejectedError` (422), `EnqueueClippedError` if the queue is full, and `EnqueueUncertainError` if it
        cannot be known whether the batch arrived. With `may_clip` a queue that fills up takes the first items, and the
        answer has fewer than were sent.
        """
        batch_id: str = request["batch"]["batch_id"]
        requested = batch_size(request["batch"])
        enqueued, asked, item_ids = await send_once(
            lambda: self._send(request),
            lambda: self._arrived(batch_id, requested),
            partial(EnqueueUncertainError, batch_id),
        )
        if enqueued < asked and not may_clip:
            if enqueued:
                await self.cancel_batches([batch_id])
            raise EnqueueClippedError(enqueued, asked, batch_id)
        return Enqueued(batch_id=batch_id, item_ids=tuple(sorted(item_ids)))

    async def _send(self, request: Mapping[str, Any]) -> tuple[int, int, list[int]]:
        return await self._transport.send(
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

    async def _arrived(self, batch_id: str, requested: int) -> tuple[int, int, list[int]] | None:
        """Return the answer that an enqueue would have had; `None` if the server does not know its batch."""
        ids = await self.item_ids_of(batch_id)
        return (len(ids), requested, ids) if ids else None

    async def item_ids_of(self, batch_id: str) -> list[int]:
        """Return the ids of the items of a batch, ascending. Searches the newest items first and stops at the last."""
        total = (await self.batch_counts(batch_id)).total
        if not total:
            return []
        return sorted([item.item_id for item in await self._newest(lambda item: item.batch_id == batch_id, total)])

    async def _newest(self, is_wanted: Callable[[QueueItem], bool], count: int) -> list[QueueItem]:
        """Return the newest `count` items of a kind, without their sessions if the server can leave them out."""
        found: list[QueueItem] = []
        ids = (await self.item_ids())[::-1]
        while ids and len(found) < count:
            found += filter(is_wanted, await self._page(ids[: constants.PAGE], with_sessions=False))
            ids = ids[constants.PAGE :]
        return found

    async def items(self, item_ids: Iterable[int], *, with_sessions: bool = True) -> list[QueueItem]:
        """Return the items of these ids, in no particular order; ids that do not exist are left out.

        They are fetched `PAGE` at a time. `with_sessions=False` leaves out the sessions, which are most of an item's
        size.
        """
        ids, found = list(item_ids), []
        for start in range(0, len(ids), constants.PAGE):
            found += await self._page(ids[start : start + constants.PAGE], with_sessions=with_sessions)
        return found

    async def _page(self, item_ids: list[int], *, with_sessions: bool) -> list[QueueItem]:
        """Up to `PAGE` items with one request."""
        body = {"item_ids": item_ids}
        if not with_sessions and self._has_summaries:
            try:
                return await self._transport.send(
                    "POST", f"{self._root}/item_summaries_by_ids", json=body, repeatable=True, read=list_of(_brief)
                )
            except StatusError as error:
                if error.status not in (404, 405):
                    raise
                self._has_summaries = False  # InvokeAI before 6.14
        read = list_of(QueueItem.of if with_sessions else _brief)
        return await self._transport.send("POST", f"{self._root}/items_by_ids", json=body, repeatable=True, read=read)

    async def item_ids(self) -> list[int]:
        """Return the ids of all items, finished ones included, ascending."""
        read = at("item_ids", list_of(integer))
        return sorted(await self._transport.get(f"{self._root}/item_ids", {"order_dir": "ASC"}, read=read))

    async def get(self, item_id: int) -> QueueItem:
        """Return the item of that id with its whole session. Raises `NotFoundError`."""
        return await self._transport.get(self._item(item_id), read=QueueItem.of)

    async def batch_counts(self, batch_id: str) -> QueueCounts:
        """Return the number of items of a batch by status; all 0 for a batch that the server does not know."""
        return await self._transport.get(f"{self._root}/b/{segment(batch_id)}/status", read=QueueCounts.of)

    async def cancel(self, item_id: int) -> QueueItem:
        """Cancel an item; one that has ended stays as it is. Raises `NotFoundError`."""
        return await self._transport.send("PUT", f"{self._item(item_id)}/cancel", read=QueueItem.of)

    async def cancel_batches(self, batch_ids: Iterable[str]) -> int:
        """Cancel the unfinished items of these batches; return how many there were."""
        return await self._transport.send(
            "PUT",
            f"{self._root}/cancel_by_batch_ids",
            json={"batch_ids": [*batch_ids]},
            read=at("canceled", integer),
        )

    def _item(self, item_id: int) -> str:
        return f"{self._root}/i/{item_id}"


def batch_size(batch: Mapping[str, Any]) -> int:
    """Return how many queue items a batch makes: its lists multiply, lists of one group count once."""
    return int(batch.get("runs", 1)) * math.prod(len(lists[0]["items"]) for lists in batch.get("data") or ())


def _brief(data: Any) -> QueueItem:
    """Return an item or a summary of one, without its session."""
    return QueueItem.of({key: value for key, value in mapping(data).items() if key != "session"})
