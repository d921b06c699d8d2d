"""The queue of a server: what waits, runs and has run."""

from __future__ import annotations

import asyncio
import builtins
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from invokeai_gen.server.background import facade
from invokeai_gen.server.errors import (
    EnqueueClippedError,
    EnqueueUncertainError,
    ForbiddenError,
    NotFoundError,
    StatusError,
    UnauthorizedError,
)
from invokeai_gen.server.events import is_final
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.idempotency import DOUBT_WAITS, send_once
from invokeai_gen.server.records import Enqueued, QueueCounts, QueueItem, Removal

ENQUEUE_TIMEOUT: Final = 300.0
"""Seconds: a batch of thousands of items with a large graph takes the server a while."""
PAGE: Final = 100
"""Items that are asked for with one request."""
DEFAULT_CAPACITY: Final = 10_000


class AsyncQueue:
    """One queue of one server; InvokeAI itself only uses `default`."""

    def __init__(self, transport: Transport, queue_id: str = "default") -> None:
        self._transport = transport
        self.queue_id = queue_id
        self._root = f"/api/v1/queue/{segment(queue_id)}"
        self._has_summaries = True

    async def enqueue(self, request: Mapping[str, Any], *, may_clip: bool = False) -> Enqueued:
        """Puts a batch into the queue: the body of `enqueue_batch`, with a `batch_id` chosen by the caller.

        The request is never sent twice on a guess: when the answer is lost, the server is asked for that batch first.
        Raises `RejectedError` (422), `EnqueueClippedError` where the queue is full, and `EnqueueUncertainError` where
        nobody can tell. With `may_clip` a queue that fills up takes the first items, and the answer
        has fewer than were sent.
        """
        batch_id: str = request["batch"]["batch_id"]
        requested = batch_size(request["batch"])
        answer = await send_once(
            lambda: self._send(request),
            lambda: self._arrived(batch_id, requested),
            partial(EnqueueUncertainError, batch_id),
        )
        if answer["enqueued"] < answer["requested"] and not may_clip:
            if answer["enqueued"]:
                await self.cancel_batches([batch_id])
            raise EnqueueClippedError(answer["enqueued"], answer["requested"], batch_id)
        return Enqueued(batch_id=batch_id, item_ids=tuple(sorted(answer["item_ids"])))

    async def _send(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await self._transport.send(
            "POST", f"{self._root}/enqueue_batch", json=request, timeout=ENQUEUE_TIMEOUT
        )
        return answer

    async def _arrived(self, batch_id: str, requested: int) -> Mapping[str, Any] | None:
        """What an enqueue would have answered, or `None` if the server does not know its batch."""
        ids = await self.item_ids_of(batch_id)
        return {"enqueued": len(ids), "requested": requested, "item_ids": ids} if ids else None

    async def find_batch(self, batch_id: str, *, patience: float = 0.0) -> builtins.list[int]:
        """Ids of the items of a batch that may have been sent a moment ago, ascending; none if it did not arrive.

        The server is asked a few times, because it may still be working on the request: the last time after another
        `patience` seconds.
        """
        for pause in (*DOUBT_WAITS, *([patience] if patience else [])):
            await asyncio.sleep(pause)
            if ids := await self.item_ids_of(batch_id):
                return ids
        return []

    async def item_ids_of(self, batch_id: str) -> builtins.list[int]:
        """Ids of the items of a batch, ascending. Looks through the newest items first and stops when it has all."""
        total = (await self.batch_counts(batch_id)).total
        if not total:
            return []
        return sorted([item.item_id for item in await self._newest(lambda item: item.batch_id == batch_id, total)])

    async def _newest(self, is_wanted: Callable[[QueueItem], bool], count: int) -> builtins.list[QueueItem]:
        """The newest items of a kind of which there are `count`, without their sessions where the server can do that."""
        found: builtins.list[QueueItem] = []
        ids = (await self.item_ids())[::-1]
        while ids and len(found) < count:
            found += filter(is_wanted, await self._page(ids[:PAGE], with_sessions=False))
            ids = ids[PAGE:]
        return found

    async def items(self, item_ids: Iterable[int], *, with_sessions: bool = True) -> builtins.list[QueueItem]:
        """The items of these ids, `PAGE` with each request, in no particular order; ids that are not there are left out.

        `with_sessions=False` leaves out the sessions, which are most of an item's size.
        """
        ids, found = list(item_ids), []
        for start in range(0, len(ids), PAGE):
            found += await self._page(ids[start : start + PAGE], with_sessions=with_sessions)
        return found

    async def _page(self, item_ids: builtins.list[int], *, with_sessions: bool) -> builtins.list[QueueItem]:
        """Up to `PAGE` items with one request."""
        body = {"item_ids": item_ids}
        if not with_sessions and self._has_summaries:
            try:
                answer = await self._transport.send(
                    "POST", f"{self._root}/item_summaries_by_ids", json=body, repeatable=True
                )
            except StatusError as error:
                if error.status not in (404, 405):
                    raise
                self._has_summaries = False  # InvokeAI before 6.14
            else:
                return [_brief(data) for data in answer]
        answer = await self._transport.send("POST", f"{self._root}/items_by_ids", json=body, repeatable=True)
        return [QueueItem.of(data) if with_sessions else _brief(data) for data in answer]

    async def capacity(self) -> int:
        """How many items may wait in the queue; InvokeAI's own limit where the server does not tell this account."""
        try:
            answer = await self._transport.get("/api/v1/app/runtime_config")
            return int(answer["config"]["max_queue_size"])
        except (UnauthorizedError, ForbiddenError, NotFoundError, KeyError):
            return DEFAULT_CAPACITY

    async def item_ids(self) -> builtins.list[int]:
        """Ids of all items, finished ones included, ascending."""
        return sorted((await self._transport.get(f"{self._root}/item_ids", {"order_dir": "ASC"}))["item_ids"])

    async def get(self, item_id: int) -> QueueItem:
        """The item of that id with its whole session. Raises `NotFoundError`."""
        return QueueItem.of(await self._transport.get(self._item(item_id)))

    async def list(self, *, destination: str | None = None) -> builtins.list[QueueItem]:
        """All items, finished ones included; those of other accounts are redacted."""
        answer = await self._transport.get(f"{self._root}/list_all", {"destination": destination})
        return [QueueItem.of(item) for item in answer]

    async def current(self) -> QueueItem | None:
        """The item that runs now, if one does."""
        answer = await self._transport.get(f"{self._root}/current")
        return QueueItem.of(answer) if answer else None

    async def counts(self) -> QueueCounts:
        """How many items have which status."""
        return QueueCounts.of((await self._transport.get(f"{self._root}/status"))["queue"])

    async def batch_counts(self, batch_id: str) -> QueueCounts:
        """How many items of a batch have which status; all 0 for a batch that the server does not know."""
        return QueueCounts.of(await self._transport.get(f"{self._root}/b/{segment(batch_id)}/status"))

    async def position(self, item_id: int) -> int | None:
        """How many items will run before this one: 0 for the next or the running one, `None` once it has ended."""
        counts = await self.counts()
        waiting = await self._newest(lambda item: not is_final(item.status), counts.total - counts.finished)
        return queue_position(waiting, item_id)

    async def cancel(self, item_id: int) -> QueueItem:
        """Cancels an item; one that has ended stays as it is. Raises `NotFoundError`."""
        return QueueItem.of(await self._transport.send("PUT", f"{self._item(item_id)}/cancel"))

    async def cancel_batches(self, batch_ids: Iterable[str]) -> int:
        """Cancels whatever of these batches has not ended; returns how many items that were."""
        answer = await self._transport.send(
            "PUT", f"{self._root}/cancel_by_batch_ids", json={"batch_ids": [*batch_ids]}
        )
        return int(answer["canceled"])

    async def delete(self, item_ids: Iterable[int]) -> Removal:
        """Removes items from the queue, canceling them where they have not ended; their images stay."""
        deleted: builtins.list[str] = []
        failed: dict[str, str] = {}
        for item_id in item_ids:
            try:
                await self._transport.send("DELETE", self._item(item_id))
                deleted.append(str(item_id))
            except NotFoundError:
                failed[str(item_id)] = "not in the queue"
            except StatusError as error:
                failed[str(item_id)] = str(error)
        return Removal(deleted=tuple(deleted), failed=failed)

    async def prune(self) -> int:
        """Removes all items that have ended; returns how many. Images stay."""
        return int((await self._transport.send("PUT", f"{self._root}/prune"))["deleted"])

    async def clear(self) -> int:
        """Cancels and removes every item of the queue, also those of others; returns how many. Images stay."""
        return int((await self._transport.send("PUT", f"{self._root}/clear"))["deleted"])

    def _item(self, item_id: int) -> str:
        return f"{self._root}/i/{item_id}"


def batch_size(batch: Mapping[str, Any]) -> int:
    """How many queue items a batch makes: its lists multiply, those that stand together count once."""
    return int(batch.get("runs", 1)) * math.prod(len(lists[0]["items"]) for lists in batch.get("data") or ())


def _brief(data: Mapping[str, Any]) -> QueueItem:
    """An item or a summary of one, without its session."""
    return QueueItem.of({key: value for key, value in data.items() if key != "session"})


def queue_position(items: Iterable[QueueItem], item_id: int) -> int | None:
    """How many of `items` the server will run before that one: higher priority first, then lower id."""
    waiting = {item.item_id: item for item in items if item.status in ("pending", "in_progress")}
    own = waiting.get(item_id)
    if own is None:
        return None
    if own.status == "in_progress":
        return 0
    return sum(
        item.status == "in_progress" or (-item.priority, item.item_id) < (-own.priority, item_id)
        for item in waiting.values()
    )


class Queue:
    """One queue of one server; InvokeAI itself only uses `default`."""

    def __init__(self, core: AsyncQueue) -> None:
        self._core = core

    enqueue = facade(AsyncQueue.enqueue)
    find_batch = facade(AsyncQueue.find_batch)
    item_ids_of = facade(AsyncQueue.item_ids_of)
    item_ids = facade(AsyncQueue.item_ids)
    items = facade(AsyncQueue.items)
    capacity = facade(AsyncQueue.capacity)
    get = facade(AsyncQueue.get)
    list = facade(AsyncQueue.list)
    current = facade(AsyncQueue.current)
    counts = facade(AsyncQueue.counts)
    batch_counts = facade(AsyncQueue.batch_counts)
    position = facade(AsyncQueue.position)
    cancel = facade(AsyncQueue.cancel)
    cancel_batches = facade(AsyncQueue.cancel_batches)
    delete = facade(AsyncQueue.delete)
    prune = facade(AsyncQueue.prune)
    clear = facade(AsyncQueue.clear)
