"""The queue of a server: what waits, runs and has run."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from invokeai_gen.server import constants
from invokeai_gen.server.answers import at, ignored, integer, list_of, mapping, optional
from invokeai_gen.server.errors import JobTimeoutError, NotFoundError, ServerError, StatusError
from invokeai_gen.server.facades import Facade, facade
from invokeai_gen.server.idempotency import send_once
from invokeai_gen.server.records import Enqueued, QueueCounts, QueueItem, ServerRecord
from invokeai_gen.server.removal import Removal, delete_thing
from invokeai_gen.server.run_errors import EnqueueUncertainError
from invokeai_gen.server.run_queue import RunQueue, batch_size
from invokeai_gen.server.status_errors import ForbiddenError, UnauthorizedError
from invokeai_gen.server.status_watch import StatusWatch, is_final


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorStatus(ServerRecord):
    """What the part of the server that works through the queue does."""

    is_started: bool
    """Whether it takes new items, or is paused."""
    is_processing: bool
    """Whether an item runs now."""


class AsyncQueue(RunQueue):
    """One queue of one server; InvokeAI itself only uses `default`."""

    _has_summaries = True

    async def item_ids_of(self, batch_id: str) -> builtins.list[int]:
        """Return the ids of the items of a batch, ascending. Searches the newest items first and stops at the last."""
        total = (await self.batch_counts(batch_id)).total
        if not total:
            return []
        return sorted([item.item_id for item in await self._newest(lambda item: item.batch_id == batch_id, total)])

    async def _newest(self, is_wanted: Callable[[QueueItem], bool], count: int) -> builtins.list[QueueItem]:
        """Return the newest `count` items of a kind, without their sessions if the server can leave them out."""
        found: builtins.list[QueueItem] = []
        ids = (await self.item_ids())[::-1]
        while ids and len(found) < count:
            found += filter(is_wanted, await self._page(ids[: constants.PAGE], with_sessions=False))
            ids = ids[constants.PAGE :]
        return found

    async def items(self, item_ids: Iterable[int], *, with_sessions: bool = True) -> builtins.list[QueueItem]:
        """Return the items of these ids, in no particular order; ids that do not exist are left out.

        They are fetched `PAGE` at a time. `with_sessions=False` leaves out the sessions, which are most of an item's
        size.
        """
        ids, found = list(item_ids), []
        for start in range(0, len(ids), constants.PAGE):
            found += await self._page(ids[start : start + constants.PAGE], with_sessions=with_sessions)
        return found

    async def _page(self, item_ids: builtins.list[int], *, with_sessions: bool) -> builtins.list[QueueItem]:
        """Up to `PAGE` items with one request."""
        body = {"item_ids": item_ids}
        if not with_sessions and self._has_summaries:
            try:
                return await self.transport.send(
                    "POST", f"{self._root}/item_summaries_by_ids", json=body, repeatable=True, read=list_of(_brief)
                )
            except StatusError as error:
                if error.status not in (404, 405):
                    raise
                self._has_summaries = False  # InvokeAI before 6.14
        read = list_of(QueueItem.of if with_sessions else _brief)
        return await self.transport.send("POST", f"{self._root}/items_by_ids", json=body, repeatable=True, read=read)

    async def item_ids(self) -> builtins.list[int]:
        """Return the ids of all items, finished ones included, ascending."""
        read = at("item_ids", list_of(integer))
        return sorted(await self.transport.get(f"{self._root}/item_ids", {"order_dir": "ASC"}, read=read))

    async def find_batch(self, batch_id: str, *, patience: float = 0.0) -> builtins.list[int]:
        """Return the ids of the items of a batch that may have been sent a moment ago, ascending; empty if it is lost.

        The server is asked a few times, because it may still be working on the request: the last time after another
        `patience` seconds.
        """
        for pause in (*constants.LOST_ANSWER_WAITS, *([patience] if patience else [])):
            await asyncio.sleep(pause)
            if ids := await self.item_ids_of(batch_id):
                return ids
        return []

    async def capacity(self) -> int:
        """Return how many items may wait in the queue; InvokeAI's own limit if the server hides it from this account."""
        read = at("config", lambda data: mapping(data).get("max_queue_size"))
        try:
            size = await self.transport.get("/api/v1/app/runtime_config", read=read)
        except (UnauthorizedError, ForbiddenError, NotFoundError):
            size = None
        return size if isinstance(size, int) else constants.DEFAULT_CAPACITY

    async def list(
        self,
        *,
        status: str | None = None,
        batch_id: str | None = None,
        origin: str | None = None,
        destination: str | None = None,
    ) -> builtins.list[QueueItem]:
        """Return all items, finished ones included, that have this status, batch, origin and destination.

        Items of other accounts are redacted.
        """
        wanted = {"status": status, "batch_id": batch_id, "origin": origin}
        found = await self.transport.get(
            f"{self._root}/list_all", {"destination": destination}, read=list_of(QueueItem.of)
        )
        return [item for item in found if all(value in (None, getattr(item, key)) for key, value in wanted.items())]

    async def current(self) -> QueueItem | None:
        """Return the item that runs now, or `None`."""
        return await self.transport.get(f"{self._root}/current", read=_maybe_item)

    async def next(self) -> QueueItem | None:
        """Return the item that will run next, or `None`."""
        return await self.transport.get(f"{self._root}/next", read=_maybe_item)

    async def counts(self) -> QueueCounts:
        """Return the number of items by status."""
        return await self.transport.get(f"{self._root}/status", read=at("queue", QueueCounts.of))

    async def processor(self) -> ProcessorStatus:
        """Return whether the server takes items off the queue, and whether it works on one."""
        return await self.transport.get(f"{self._root}/status", read=at("processor", ProcessorStatus.of))

    async def is_busy(self) -> bool:
        """Return whether an item runs or waits to run."""
        return (await self.counts()).unfinished > 0

    async def wait_until_idle(self, timeout: float | None = None) -> None:
        """Wait until no item runs or waits, of any account. Raises `JobTimeoutError` after `timeout` seconds."""
        clock = asyncio.get_running_loop().time
        end, pause = clock() + (math.inf if timeout is None else timeout), constants.FIRST_POLL
        while left := (await self.counts()).unfinished:
            if clock() >= end:
                raise JobTimeoutError(f"the queue still has {left} unfinished items after {timeout:g} s")
            await asyncio.sleep(min(pause, max(end - clock(), 0)))
            pause = min(pause * 1.5, constants.MAX_POLL)

    async def pause(self) -> ProcessorStatus:
        """Stop taking items off the queue; the item that runs goes on. Affects everybody who uses the server."""
        return await self.transport.send("PUT", f"{self._root}/processor/pause", read=ProcessorStatus.of)

    async def resume(self) -> ProcessorStatus:
        """Take items off the queue again after `pause`."""
        return await self.transport.send("PUT", f"{self._root}/processor/resume", read=ProcessorStatus.of)

    async def position(self, item_id: int) -> int | None:
        """Return how many items will run before this one: 0 for the next or the running one, `None` if it has ended."""
        counts = await self.counts()
        waiting = await self._newest(lambda item: not is_final(item.status), counts.total - counts.finished)
        return queue_position(waiting, item_id)

    async def cancel_all_except_current(self) -> int:
        """Cancel all waiting items, also items of other users, and return how many. The running item continues."""
        return await self.transport.send("PUT", f"{self._root}/cancel_all_except_current", read=at("canceled", integer))

    async def retry(self, item_ids: int | Iterable[int]) -> builtins.list[int]:
        """Put failed or canceled items into the queue again, as new items; return the ids that were retried.

        Never repeated after a lost answer, since that could run the items twice.
        """
        ids = [item_ids] if isinstance(item_ids, int) else [*item_ids]
        return await self.transport.send(
            "PUT",
            f"{self._root}/retry_items_by_id",
            json=ids,
            repeatable=False,
            read=at("retried_item_ids", list_of(integer)),
        )

    async def delete(self, item_ids: int | Iterable[int]) -> Removal:
        """Remove items from the queue, canceling unfinished ones; their images stay."""
        deleted: builtins.list[str] = []
        failed: dict[str, str] = {}
        for item_id in [item_ids] if isinstance(item_ids, int) else item_ids:
            try:
                await delete_thing(self.transport, self._item(item_id), read=ignored, gone=None)
                deleted.append(str(item_id))
            except NotFoundError:
                failed[str(item_id)] = "not in the queue"
            except StatusError as error:
                failed[str(item_id)] = str(error)
        return Removal(deleted=tuple(deleted), failed=failed)

    async def prune(self) -> int:
        """Remove all items that have ended; return how many. Images stay."""
        return await self.transport.send("PUT", f"{self._root}/prune", read=at("deleted", integer))

    async def clear(self) -> int:
        """Cancel and remove all items in the queue, also items of other users, and return how many. Images stay."""
        return await self.transport.send("PUT", f"{self._root}/clear", read=at("deleted", integer))


def _brief(data: Any) -> QueueItem:
    """Return an item or a summary of one, without its session."""
    return QueueItem.of({key: value for key, value in mapping(data).items() if key != "session"})


_maybe_item = optional(QueueItem.of)


async def find_ended(queue: RunQueue, watch: StatusWatch, unfinished: int) -> None:
    """Fetch the items of a batch in the order in which they run, until no more than `unfinished` have not ended.

    These ended without an event that reported it. Raises `NotFoundError` if one is no longer in the queue.
    """
    left = [*watch.left]
    size = min(len(left) - unfinished + 1, constants.PAGE)  # those that have ended, and the one that runs
    while left and len(watch.left) > unfinished:
        asked, left, size = left[:size], left[size:], constants.PAGE
        found = await AsyncQueue(queue.transport, queue.queue_id).items(asked, with_sessions=watch.keeps_events)
        for item in found:
            if watch.keeps_events:
                watch.catch_up(item)
            else:  # without their sessions they say no more than their status
                watch.take_status(item.raw)
        if gone := set(asked).difference(item.item_id for item in found):
            raise NotFoundError("POST", "items_by_ids", 404, f"no queue item {min(gone)}")


async def found_or_sent_again(
    queue: RunQueue, request: Mapping[str, Any], failed: Exception
) -> tuple[int, int, list[int]]:
    """Return the answer that an enqueue would have had: the server is asked for its batch before it is sent again.

    `failed` is why the first attempt has no answer. Raises it or `EnqueueUncertainError`.
    """
    batch_id: str = request["batch"]["batch_id"]

    async def find() -> tuple[int, int, list[int]] | None:
        ids = await AsyncQueue(queue.transport, queue.queue_id).item_ids_of(batch_id)
        return (len(ids), batch_size(request["batch"]), ids) if ids else None

    return await send_once(partial(queue.post, request), find, partial(EnqueueUncertainError, batch_id), failed)


async def take_back(queue: RunQueue, sending: asyncio.Task[Enqueued], batch_id: str) -> None:
    """Cancel a batch that is being enqueued: the server completes a request whose client has gone.

    The answer to the enqueue may never come, so the batch is looked for by its id as well.
    """
    try:
        for pause in constants.LOST_ANSWER_WAITS:
            await asyncio.wait([sending], timeout=pause)
            is_sent = sending.done()  # what is sent while the server cancels has to be cancelled again
            with contextlib.suppress(ServerError):
                if await queue.cancel_batches([batch_id]) or is_sent:
                    return
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def queue_position(items: Iterable[QueueItem], item_id: int) -> int | None:
    """Return how many of `items` the server will run before that one: higher priority first, then lower id."""
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


class Queue(Facade[AsyncQueue]):
    """One queue of one server; InvokeAI itself only uses `default`."""

    enqueue = facade(AsyncQueue.enqueue)
    find_batch = facade(AsyncQueue.find_batch)
    item_ids_of = facade(AsyncQueue.item_ids_of)
    item_ids = facade(AsyncQueue.item_ids)
    items = facade(AsyncQueue.items)
    capacity = facade(AsyncQueue.capacity)
    get = facade(AsyncQueue.get)
    list = facade(AsyncQueue.list)
    current = facade(AsyncQueue.current)
    next = facade(AsyncQueue.next)
    processor = facade(AsyncQueue.processor)
    is_busy = facade(AsyncQueue.is_busy)
    wait_until_idle = facade(AsyncQueue.wait_until_idle)
    pause = facade(AsyncQueue.pause)
    resume = facade(AsyncQueue.resume)
    retry = facade(AsyncQueue.retry)
    cancel_all_except_current = facade(AsyncQueue.cancel_all_except_current)
    counts = facade(AsyncQueue.counts)
    batch_counts = facade(AsyncQueue.batch_counts)
    position = facade(AsyncQueue.position)
    cancel = facade(AsyncQueue.cancel)
    cancel_batches = facade(AsyncQueue.cancel_batches)
    delete = facade(AsyncQueue.delete)
    prune = facade(AsyncQueue.prune)
    clear = facade(AsyncQueue.clear)
