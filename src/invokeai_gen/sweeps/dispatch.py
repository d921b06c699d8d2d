"""Sending the items of a sweep to one server, and following them: `Dispatcher`, which lives on the background loop.

An item is sent once. The id of each enqueue is noted before it is sent; if the response is lost, or the process dies
before it arrives, the batch is looked up by that id before anything is sent again.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from typing_extensions import override

from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.runner import enqueue
from invokeai_gen.server import background
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import JobDeletedError, ServerError
from invokeai_gen.server.events import InvocationComplete, StatusChanged, status_of
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.server.pacing import Pace
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.status_errors import RejectedError
from invokeai_gen.sweeps.batching import Block, Layout, ResolvedValues
from invokeai_gen.sweeps.journal import Journal
from invokeai_gen.sweeps.layout import resolve_values
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.results import DELETED, EventResults
from invokeai_gen.sweeps.state import SweepState
from invokeai_gen.sweeps.sweep_file import ReplayedState, encode_block

if TYPE_CHECKING:
    from invokeai_gen.server.watch import Watch

ROOM_POLL: Final = 2.0
"""Seconds between checks whether a full queue has room again."""
ENQUEUE_OVERHEAD: Final = 0.002
"""Seconds that a server may take to put one item into its queue."""

log = logging.getLogger("invokeai_gen")
_dispatchers: WeakSet[Dispatcher] = WeakSet()


class Dispatcher(SweepState):
    """Enqueues blocks one after another, as far as the queue has room, and follows what was sent."""

    def __init__(
        self,
        layout: Layout,
        client: AsyncInvokeAIClient,
        options: SweepOptions,
        preparations: Preparations,
        journal: Journal | None,
        resolved: ResolvedValues | None = None,
    ) -> None:
        super().__init__(layout, options, journal)
        self.clients[client.url] = client
        self.preparations[client.url] = preparations
        self._client = client
        self._resolved = resolved
        self._waiting: deque[Block] = deque()
        self._to_retry: list[int] = []
        """Items that failed and are to be sent again with the next block."""
        self._doubtful: set[str] = set()
        """Batches that may have been sent."""
        self._index_of: dict[int, int] = {}
        """The number in the sweep of each queue item."""
        self._followed: dict[str, tuple[Watch, asyncio.Task[None]]] = {}
        """By batch id."""
        self._unfollowed: dict[str, tuple[int, ...]] = {}
        """Queue items of batches that could not be followed to their end."""
        self._event_results = EventResults(layout.plan)
        self._feeder: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()
        self._room: int | None = None
        """How many items the queue takes, as far as is known; `None` for enough."""
        self._is_canceled = False
        _dispatchers.add(self)

    @override
    def is_cached(self, index: int) -> bool:
        return self.tally.item_ids[index] in self._event_results

    @override
    def _known_item(self, index: int) -> QueueItem | None:
        item_id = self.tally.item_ids[index]
        if self._resolved is None or item_id is None or (item := self._event_results.take(item_id)) is None:
            return None
        return replace(item, field_values=self.layout.field_values(index, self._resolved.columns))

    @property
    def is_sending(self) -> bool:
        """Whether blocks are left to send, and are being sent."""
        return self._feeder is not None and not self._feeder.done()

    @property
    def unsent(self) -> int:
        """How many items wait for room in the queue."""
        return sum(len(block.items) for block in self._waiting) if self.is_sending else 0

    @property
    def may_have_sent(self) -> bool:
        """Whether anything is in the queue, or may be."""
        return bool(self._index_of or self._doubtful)

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send(self, blocks: Iterable[Block] = ()) -> None:
        """Send these blocks and those that wait; return when the first is in the queue, or the queue is full.

        The others follow. Raise what the enqueue raises.
        """
        self._waiting.extend(blocks)
        left = len(self._waiting)
        self._start_sending()
        while self.is_sending and self._room is None and len(self._waiting) >= left:
            await self.wait_for_change()
        self.raise_failure()

    async def sent(self) -> None:
        """Wait until everything is sent, or the queue is full."""
        while self.is_sending and self._room is None:
            await self.wait_for_change()

    def _start_sending(self) -> None:
        if not self.is_sending:
            self._is_canceled = False
            self._feeder = background.start(self._feed())

    async def _feed(self) -> None:
        try:
            while self._waiting or self._to_retry:
                self.raise_failure()
                if not self._waiting:
                    await unbroken(self._renew([*self._to_retry]))
                await self._send_next(self._waiting[0])
        except Exception as error:  # noqa: BLE001 - raised where the sweep is waited for
            self.failure = error
        finally:
            self._changed.set()

    async def _send_next(self, block: Block) -> None:
        if block.batch_id in self._doubtful:  # before it is split: the whole block was sent
            patience = len(block.items) * ENQUEUE_OVERHEAD
            if found := await self._client.queue.find_batch(block.batch_id, patience=patience):
                await self._take_sent(block, found, await self._watch(block.batch_id))
                return
            self._doubtful.discard(block.batch_id)
        room = await self._wait_for_room(len(block.items))
        if room < len(block.items):
            await unbroken(self._split(block, room))
            return
        request = self.layout.request(block, await self._values())
        watch = await self._watch(block.batch_id)
        await self._noted(sending=block.batch_id)
        self._doubtful.add(block.batch_id)
        try:
            enqueued = await enqueue(self.layout.plan, request, self._client, watch, cancel=True, may_clip=True)
        except RejectedError:
            self._doubtful.discard(block.batch_id)
            raise
        await self._take_sent(block, enqueued.item_ids, watch)

    async def _values(self) -> ResolvedValues:
        if self._resolved is None:
            self._resolved = await resolve_values(
                self.layout.plan,
                self.layout.space,
                self._client,
                self._options,
                self.preparations[self._client.url],
            )
        return self._resolved

    async def _take_sent(self, block: Block, item_ids: Sequence[int], watch: Watch) -> None:
        """Note the queue items of a block; send later what the queue did not accept."""
        if self._room is not None:
            self._room -= len(item_ids)
        if len(item_ids) < len(block.items):
            self._room = 0
            if not item_ids:
                self._doubtful.discard(block.batch_id)
                await self._client.forget(watch)
                await asyncio.sleep(ROOM_POLL)  # the queue may take less than it says
                return
            block = await unbroken(self._split(block, len(item_ids)))
        await self._noted(sent=block.batch_id, items=list(item_ids))
        self._waiting.popleft()
        self._doubtful.discard(block.batch_id)
        self._note_sent(block, item_ids)
        self._follow(watch)
        watch.expect(tuple(item_ids))
        self._changed.set()

    async def _split(self, block: Block, size: int) -> Block:
        """Split the next block: the first part keeps its id."""
        first, rest = block.split(size)
        await self._noted(split=block.batch_id, size=size, rest=rest.batch_id)
        self._waiting.popleft()
        self._waiting.extendleft((rest, first))
        return first

    async def _wait_for_room(self, size: int) -> int:
        """Return how many items can be sent now: all of them, or enough to fill the queue once it is half empty."""
        if self._room is None or self._room >= size:
            return size
        capacity = await self._client.queue.capacity()
        needed = min(size, max(1, capacity // 2))
        while True:
            self._room = max(0, capacity - (await self._client.queue.counts()).pending)
            if self._room >= needed:
                return min(size, self._room)
            self._changed.set()
            enough = len(self.tally.ended) + needed - self._room
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROOM_POLL):
                    while len(self.tally.ended) < enough:
                        self.raise_failure()
                        await self.wait_for_change()

    # -- following -------------------------------------------------------------------------------------------------

    async def _watch(self, batch_id: str) -> Watch:
        """Watch a batch that is about to be sent, so that no event is missed."""
        watch = await self._client.follow(batch_id, {}, keeps_events=False)
        watch.pace = Pace()
        return watch

    def _note_sent(self, block: Block, item_ids: Sequence[int]) -> None:
        """Note that the items of a block are in the queue, perhaps once more."""
        for index, item_id in zip(block.items, item_ids, strict=False):
            if (earlier := self._index_of.get(item_id)) is not None:  # the server counts from 1 again
                self._take_status(item_id, DELETED, was_interrupted=False)
                self.tally.delete(earlier, item_id)
            self.tally.send(index, item_id)
            self._index_of[item_id] = index

    def _follow(self, watch: Watch) -> None:
        """Follow a batch that has been sent to its end."""
        self._followed[watch.batch_id] = watch, background.start(self._listen(watch))

    async def _follow_again(self, batches: Mapping[str, Sequence[int]]) -> None:
        """Follow batches that were sent before. The server is asked for the status of their items, a page at a time."""
        watches = {batch_id: await self._watch(batch_id) for batch_id in batches}
        open_ids = [
            item_id for ids in batches.values() for item_id in ids if not self.tally.has_ended(self._index_of[item_id])
        ]
        try:
            items = await self._client.queue.items(open_ids, with_sessions=False)
        except BaseException:
            for watch in watches.values():
                await self._client.forget(watch)
            raise
        # A server whose database was lost counts from 1 again: the id of an item may be that of another one now.
        found = {item.item_id: item for item in items if item.batch_id in batches}
        for item_id in open_ids:
            if item_id not in found:
                self._take_status(item_id, DELETED, was_interrupted=False)
        for batch_id, ids in batches.items():
            watch = watches[batch_id]
            left = tuple(item_id for item_id in ids if item_id in found and found[item_id].batch_id == batch_id)
            self._unfollowed.pop(batch_id, None)
            self._follow(watch)
            for item_id in left:
                watch.add(status_of(found[item_id].raw))
            watch.expect(left)

    async def _listen(self, watch: Watch) -> None:
        """Note the statuses of a batch until all its items have ended."""
        events = watch.subscribe()
        while (event := await events.get()) is not None:
            if isinstance(event, InvocationComplete):
                self._event_results.add(event)
            elif isinstance(event, StatusChanged):
                if event.is_final:
                    self._event_results.end(event)
                self._take_status(event.item_id, event.status, was_interrupted=watch.was_interrupted)
        self._followed.pop(watch.batch_id, None)
        await self._client.forget(watch)
        error = watch.done.exception() if watch.done.done() else None
        if isinstance(error, JobDeletedError):  # find out which items, and continue following the others
            try:
                await self._follow_again({watch.batch_id: watch.item_ids or ()})
                error = None
            except ServerError as trouble:
                error = trouble
        if isinstance(error, Exception):
            self._unfollowed[watch.batch_id] = watch.item_ids or ()
            self.failure = error
        self._settle()

    def _take_status(self, item_id: int, status: str, *, was_interrupted: bool) -> None:
        index = self._index_of.get(item_id)
        if index is None or self.tally.item_ids[index] != item_id or self.tally.has_ended(index):
            return
        if not self._is_canceled and self._should_retry(index, status, was_interrupted):
            self.tally.reset([index])
            self._to_retry.append(index)
            self._start_sending()
        else:
            self.tally.update(index, item_id, status)
        self._settle()

    # -- resuming and stopping --------------------------------------------------------------------------------------

    async def resume(self, past: ReplayedState) -> None:
        """Continue from what an earlier process noted."""
        self._doubtful.update(past.sending)
        sent = Counter(index for block in past.blocks for index in block.items)
        self._attempts = {index: count - 1 for index, count in sent.items() if count > 1}
        for block in past.blocks:
            self._note_sent(block, past.sent.get(block.batch_id, ()))
        if late := past.sending & past.withdrawn:
            await self._client.queue.cancel_batches(late)
        await self._follow_again(past.sent)
        for block in past.blocks:
            if block.batch_id in past.withdrawn:
                self.tally.withdraw(block.items)
        ended = past.withdrawn.union(past.sent)
        blocks = [block for block in past.blocks if block.batch_id not in ended]
        for block in blocks:  # even if an earlier attempt has ended
            self.tally.reset(block.items)
        await self.send(blocks)

    @override
    async def again(self, choose: Callable[[], Sequence[int]]) -> int:
        failure, self.failure = self.failure, None
        try:
            await self._follow_again({**self._unfollowed})
        except BaseException:
            self.failure = failure
            raise
        async with self._renewing:  # so that two retries at once send each item once
            lost = choose()
            if self._journal is not None and (lost or self._waiting):
                await in_thread(self._journal.take)
            await unbroken(self._renew(lost))
            count = sum(len(block.items) for block in self._waiting) + len(self._to_retry)
        await self.send()
        return count

    async def _renew(self, indexes: Sequence[int]) -> None:
        """Let these items wait to be sent once more, after noting it."""
        groups: dict[int, list[int]] = {}
        for index in indexes:
            groups.setdefault(self.layout.group_of(index), []).append(index)
        blocks = [Block(group, tuple(members)) for group, members in groups.items()]
        for block in blocks:
            await self._noted(block=encode_block(self.layout, block))
        self.tally.reset(indexes)
        renewed = {*indexes}
        self._to_retry = [index for index in self._to_retry if index not in renewed]
        self._waiting.extend(blocks)

    @override
    async def cancel(self) -> None:
        self._is_canceled = True
        await self._stop_sending()
        await self._noted(withdrawn=[block.batch_id for block in self._waiting])
        self.tally.withdraw([*self._to_retry, *(index for block in self._waiting for index in block.items)])
        self._waiting.clear()
        self._to_retry.clear()
        if batches := [*self._followed, *self._unfollowed, *self._doubtful]:
            await self._client.queue.cancel_batches(batches)
            await self._client.ask_soon()
        self._settle()

    @override
    async def close(self) -> None:
        await self._stop_sending()
        for batch_id, (watch, task) in [*self._followed.items()]:
            task.cancel()
            await self._client.forget(watch)
            self._unfollowed[batch_id] = watch.item_ids or ()
        self._followed.clear()
        self._end()

    async def _stop_sending(self) -> None:
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.gather(self._feeder, return_exceptions=True)


@atexit.register
def _finish_sending() -> None:
    """Send what the queue has room for before the process ends, and report what it has no room for."""
    for dispatcher in [*_dispatchers]:
        if dispatcher.is_sending:
            with contextlib.suppress(Exception):
                background.run(dispatcher.sent())
        if count := dispatcher.unsent:
            log.warning("%d items of a sweep were never sent: wait for it, or start it with file= and resume it", count)
