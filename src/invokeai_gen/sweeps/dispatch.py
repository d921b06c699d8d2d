"""Sending the items of a sweep and knowing what becomes of them: `Dispatcher`, which lives on the background loop.

An item is sent once. Each enqueue has an id that is noted before it is sent, and where the answer is lost, or the process
died before it came, the server is asked for that id first.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.runtime.async_job import expect
from invokeai_gen.runtime.runner import enqueue
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.constants import PAGE
from invokeai_gen.server.errors import JobDeletedError, RejectedError, ServerError
from invokeai_gen.server.events import InvocationComplete, StatusChanged, status_of
from invokeai_gen.server.records import QueueItem
from invokeai_gen.sweeps.batching import (
    Block,
    Cell,
    Layout,
    ResolvedValues,
    field_values,
    request_of,
)
from invokeai_gen.sweeps.event_results import EventResults
from invokeai_gen.sweeps.journal import Journal
from invokeai_gen.sweeps.results import DELETED, slim
from invokeai_gen.sweeps.space import Space
from invokeai_gen.sweeps.state import SweepState

if TYPE_CHECKING:
    from invokeai_gen.server.follow import Watch

ROOM_POLL: Final = 2.0
"""Seconds between questions whether a full queue has room again."""
ENQUEUE_OVERHEAD: Final = 0.002
"""Seconds that a server may take to put one item into its queue."""


log = logging.getLogger("invokeai_gen")
_dispatchers: WeakSet[Dispatcher] = WeakSet()


@dataclass(frozen=True, slots=True)
class ReplayedState:
    """What a journal tells of a sweep."""

    blocks: Sequence[Block]
    sent: Mapping[str, Sequence[int]]
    """The queue items of each batch that is known to have been sent."""
    sending: frozenset[str]
    """Batches that may have been sent."""
    withdrawn: frozenset[str]
    """Batches that were canceled before they were sent."""


class Dispatcher(SweepState):
    """Sends blocks one after another, as the queue has room for them, and follows what was sent."""

    def __init__(
        self,
        plan: WorkflowPlan,
        client: AsyncInvokeAIClient,
        space: Space[Any],
        layout: Layout,
        supply: Callable[[], Awaitable[ResolvedValues]],
        journal: Journal | None,
    ) -> None:
        super().__init__(space, layout.groups, layout.runs)
        self._plan = plan
        self._client = client
        self._space = space
        self._layout = layout
        self._supply = supply
        self._resolved: ResolvedValues | None = None
        self._journal = journal
        self._waiting: deque[Block] = deque()
        self._doubtful: set[str] = set()
        """Batches that may have been sent."""
        self._index_of: dict[int, int] = {}
        self._followed: dict[str, tuple[Watch, asyncio.Task[None]]] = {}
        self._unfollowed: dict[str, tuple[int, ...]] = {}
        """Items of batches that could not be followed to their end."""
        self._feeder: asyncio.Task[None] | None = None
        self._room: int | None = None
        """How many items the queue takes, as far as is known; `None` for enough."""
        self._event_results = EventResults(plan)
        _dispatchers.add(self)

    def client_of(self, index: int) -> AsyncInvokeAIClient:
        return self._client

    async def items(self, indexes: Iterable[int]) -> dict[int, QueueItem]:
        wanted: dict[int, int] = {}
        found: dict[int, QueueItem] = {}
        for index in indexes:
            item_id = self.tally.item_ids[index]
            heard = self._heard(index)
            if heard is not None:
                found[index] = heard
            elif item_id is not None:
                wanted[item_id] = index
        ids = [*wanted]
        for start in range(0, len(ids), PAGE):
            for item in await self._client.queue.items(ids[start : start + PAGE]):
                found[wanted[item.item_id]] = slim(item)
        return found

    def is_cached(self, index: int) -> bool:
        return self.tally.item_ids[index] in self._event_results

    def _heard(self, index: int) -> QueueItem | None:
        """An item that need not be asked for, because its events have told everything."""
        item_id = self.tally.item_ids[index]
        if self._resolved is None or item_id is None or (item := self._event_results.take(item_id)) is None:
            return None
        cell, layout = self.cell(index), self._layout
        group = layout.groups[self.numbering.group_of[cell.point]]
        told = field_values(self._plan, self._space, group, cell, self._resolved.columns, layout.batchable)
        return replace(item, field_values=told)

    @property
    def is_sending(self) -> bool:
        """Whether there is something left to send, and someone who does it."""
        return self._feeder is not None and not self._feeder.done()

    @property
    def unsent(self) -> int:
        """How many items wait for room in the queue."""
        return sum(len(block.cells) for block in self._waiting) if self.is_sending else 0

    @property
    def may_have_sent(self) -> bool:
        """Whether anything is in the queue, or may be."""
        return bool(self._index_of or self._doubtful)

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send(self, blocks: Iterable[Block]) -> None:
        """Sends blocks, and returns when they are in the queue, or there is no room for more; then the others follow.

        Raises what an enqueue raises.
        """
        self._waiting.extend(blocks)
        if not self.is_sending:
            self._feeder = asyncio.create_task(self._feed())
        while self.is_sending and self._room is None:
            await self.wait_for_change()
        self.raise_failure()

    async def _feed(self) -> None:
        try:
            while self._waiting:
                self.raise_failure()
                await self._send_next(self._waiting[0])
        except Exception as error:  # noqa: BLE001 - whoever waits for the sweep gets it
            self.failure = error
        finally:
            self._changed.set()

    async def _send_next(self, block: Block) -> None:
        if block.batch_id in self._doubtful:  # before it is divided: what has been sent was the whole of it
            if found := await self._look_for(block):
                await self._sent(block, found, await self._follow(block.batch_id))
                return
            self._doubtful.discard(block.batch_id)
        room = await self._wait_for_room(len(block.cells))
        if room < len(block.cells):
            self._split(block, room)
            return
        request = request_of(self._plan, self._space, self._layout, await self._supplied(), block)
        watch = await self._follow(block.batch_id)
        self._note(sending=block.batch_id)
        self._doubtful.add(block.batch_id)
        try:
            enqueued = await enqueue(self._plan, request, self._client, watch, cancel=True, may_clip=True)
        except RejectedError:
            self._doubtful.discard(block.batch_id)
            raise
        await self._sent(block, enqueued.item_ids, watch)

    async def _sent(self, block: Block, item_ids: Sequence[int], watch: Watch) -> None:
        """Takes note of the items that a block has become; what the queue did not take is sent later."""
        if self._room is not None:
            self._room -= len(item_ids)
        if len(item_ids) < len(block.cells):
            self._room = 0
            if not item_ids:
                self._doubtful.discard(block.batch_id)
                await self._client.forget(watch)
                await asyncio.sleep(ROOM_POLL)  # the queue may take less than it is known to
                return
            block = self._split(block, len(item_ids))
        self._note(sent=block.batch_id, items=list(item_ids))
        self._waiting.popleft()
        self._doubtful.discard(block.batch_id)
        await self._adopt(block, item_ids, watch)

    def _split(self, block: Block, size: int) -> Block:
        """Divides the block that is next: the first part keeps its id."""
        first, rest = block.split(size)
        self._note(split=block.batch_id, size=size, rest=rest.batch_id)
        self._waiting.popleft()
        self._waiting.extendleft((rest, first))
        return first

    async def _wait_for_room(self, size: int) -> int:
        """How many items may be sent now: all of them, or what makes a full queue when it is half empty."""
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

    async def _supplied(self) -> ResolvedValues:
        if self._resolved is None:
            self._resolved = await self._supply()
        return self._resolved

    async def _look_for(self, block: Block) -> list[int]:
        """The items of a block that may have been sent before; none if it certainly was not."""
        return await self._client.queue.find_batch(block.batch_id, patience=len(block.cells) * ENQUEUE_OVERHEAD)

    # -- following -------------------------------------------------------------------------------------------------

    async def _follow(self, batch_id: str) -> Watch:
        return await self._client.follow(batch_id, {}, keeps_events=False)

    async def _adopt(self, block: Block, item_ids: Sequence[int], watch: Watch) -> None:
        for cell, item_id in zip(block.cells, item_ids, strict=True):
            index = self.numbering.index(cell)
            self.tally.send(index, item_id)
            self._index_of[item_id] = index
        self._followed[block.batch_id] = watch, asyncio.create_task(self._listen(watch))
        await expect(watch, tuple(item_ids))
        self._changed.set()

    async def _listen(self, watch: Watch) -> None:
        """Passes on the statuses of a batch until all its items have ended."""
        events = watch.subscribe()
        while (event := await events.get()) is not None:
            if isinstance(event, InvocationComplete):
                self._event_results.hear(event)
            elif isinstance(event, StatusChanged):
                if event.is_final:
                    self._event_results.end(event)
                self._tell(event.item_id, event.status)
        self._followed.pop(watch.batch_id, None)
        await self._client.forget(watch)
        error = watch.done.exception() if watch.done.done() else None
        if isinstance(error, JobDeletedError):
            error = await self._after_deletion(watch)
        if isinstance(error, Exception):
            self._unfollowed[watch.batch_id] = watch.item_ids or ()
            self.failure = error
        self._settle()

    async def _after_deletion(self, watch: Watch) -> Exception | None:
        """Tells items that are gone from those that are still there, and follows the latter on."""
        try:
            await self._follow_again({watch.batch_id: watch.item_ids or ()})
        except ServerError as error:
            return error
        return None

    async def _follow_again(self, batches: Mapping[str, Sequence[int]]) -> None:
        """Follows batches that were sent before, after asking where they are, a hundred items at a time."""
        watches = {batch_id: await self._follow(batch_id) for batch_id in batches}
        open_ids = [
            item_id for ids in batches.values() for item_id in ids if not self.tally.has_ended(self._index_of[item_id])
        ]
        try:
            found = {item.item_id: item for item in await self._client.queue.items(open_ids, with_sessions=False)}
        except BaseException:
            for watch in watches.values():
                await self._client.forget(watch)
            raise
        for item_id in open_ids:
            if item_id not in found:
                self._tell(item_id, DELETED)
        for batch_id, ids in batches.items():
            watch = watches[batch_id]
            left = tuple(item_id for item_id in ids if item_id in found)
            self._unfollowed.pop(batch_id, None)
            self._followed[batch_id] = watch, asyncio.create_task(self._listen(watch))
            for item_id in left:
                watch.add(status_of(found[item_id].raw))
            await expect(watch, left)

    def _tell(self, item_id: int, status: str) -> None:
        index = self._index_of.get(item_id)
        if index is not None:
            self.tally.tell(index, item_id, status)
            self._settle()

    # -- going on, and stopping --------------------------------------------------------------------------------------

    async def resume(self, past: ReplayedState) -> None:
        """Takes over from a process that has noted how far it came."""
        self._doubtful.update(past.sending)
        for block in past.blocks:
            for cell, item_id in zip(block.cells, past.sent.get(block.batch_id, ()), strict=False):
                index = self.numbering.index(cell)
                self.tally.send(index, item_id)
                self._index_of[item_id] = index
        if late := past.sending & past.withdrawn:
            await self._client.queue.cancel_batches(late)
        await self._follow_again(past.sent)
        for block in past.blocks:
            for cell in block.cells if block.batch_id in past.withdrawn else ():
                self.tally.withdraw(self.numbering.index(cell))
        ended = past.withdrawn.union(past.sent)
        blocks = [block for block in past.blocks if block.batch_id not in ended]
        for block in blocks:  # whatever became of an earlier attempt
            self._reset(block)
        await self.send(blocks)

    async def again(self, *, deleted: bool = False) -> int:
        failure, self.failure = self.failure, None
        try:
            await self._follow_again({**self._unfollowed})
        except BaseException:
            self.failure = failure
            raise
        cells: dict[int, list[Cell]] = {}
        for index in self.tally.lost(deleted=deleted):
            cell = self.cell(index)
            cells.setdefault(self.numbering.group_of[cell.point], []).append(cell)
        blocks = [Block(group, tuple(members)) for group, members in cells.items()]
        if self._journal is not None and (blocks or self._waiting):
            self._journal.take()
        for block in blocks:
            self._note(block=encode(block))
        for block in blocks:
            self._reset(block)
        count = sum(len(block.cells) for block in [*self._waiting, *blocks])
        await self.send(blocks)
        return count

    def _reset(self, block: Block) -> None:
        for cell in block.cells:
            self.tally.reset(self.numbering.index(cell))

    async def cancel(self) -> None:
        await self._stop_sending()
        self._note(withdrawn=[block.batch_id for block in self._waiting])
        for block in self._waiting:
            for cell in block.cells:
                self.tally.withdraw(self.numbering.index(cell))
        self._waiting.clear()
        if batches := [*self._followed, *self._unfollowed, *self._doubtful]:
            await self._client.queue.cancel_batches(batches)
        self._settle()

    async def close(self) -> None:
        await self._stop_sending()
        for batch_id, (watch, task) in [*self._followed.items()]:
            task.cancel()
            await self._client.forget(watch)
            self._unfollowed[batch_id] = watch.item_ids or ()
        self._followed.clear()
        self._end()
        if self._journal is not None:
            self._journal.close()

    async def _stop_sending(self) -> None:
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.gather(self._feeder, return_exceptions=True)

    def _settle(self) -> None:
        """Tells whoever waits, and lets go of the journal at the end."""
        if self._journal is not None and self.tally.all_ended:
            self._journal.close()
        self._changed.set()

    def _note(self, **entry: JsonValue) -> None:
        if self._journal is not None:
            self._journal.note(**entry)


def encode(block: Block) -> dict[str, JsonValue]:
    """A block for the journal."""
    cells = None if block.is_whole else [[cell.run, cell.point, cell.combination] for cell in block.cells]
    return {"id": block.batch_id, "group": block.group, "cells": cells}


@atexit.register
def _tell_what_was_not_sent() -> None:
    """A process that ends does not send what the queue had no room for."""
    for dispatcher in _dispatchers:
        if count := dispatcher.unsent:
            log.warning("%d items of a sweep were never sent: wait for it, or give it a file= to go on with", count)
