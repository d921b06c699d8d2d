"""The batches of a sweep that are in the queue: which item each queue item is, and following them to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.request import CALL_SAVED_WORKFLOW
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import JobDeletedError, ServerError
from invokeai_gen.server.events import InvocationComplete, StatusChanged, status_of
from invokeai_gen.server.pacing import Pace
from invokeai_gen.server.records import QueueItem
from invokeai_gen.sweeps.results import DELETED, Tally

if TYPE_CHECKING:
    from invokeai_gen.server.watch import Watch


KEPT: Final = 1000
"""Items that are kept; older ones have to be fetched."""
_SEVERAL_TIMES: Final = frozenset({"iterate", CALL_SAVED_WORKFLOW})
"""Types of nodes that make others run several times; events do not have the order of these runs."""


@dataclass(eq=False)
class SentBatches:
    """Follows every batch that was sent."""

    plan: WorkflowPlan
    client: AsyncInvokeAIClient
    tally: Tally
    on_status: Callable[[int, str, bool], None]
    """Called for each change, with queue item, status, and whether the server could not be reached meanwhile."""
    on_failure: Callable[[Exception | None], None]
    """Called when a batch is not followed any more: with the error, if it has not ended."""

    def __post_init__(self) -> None:
        self.event_results = EventResults(self.plan)
        self.index_of: dict[int, int] = {}
        """The number in the sweep of each queue item."""
        self._followed: dict[str, tuple[Watch, asyncio.Task[None]]] = {}
        self._unfollowed: dict[str, tuple[int, ...]] = {}
        """Queue items of batches that could not be followed to their end."""

    @property
    def open_ids(self) -> list[str]:
        """Ids of the batches that have not ended, as far as is known."""
        return [*self._followed, *self._unfollowed]

    async def watch(self, batch_id: str) -> Watch:
        """Follow a batch that is about to be sent, so that no event is missed."""
        watch = await self.client.follow(batch_id, {}, keeps_events=False)
        watch.pace = Pace()
        return watch

    def note(self, indexes: Sequence[int], item_ids: Sequence[int]) -> None:
        """Note that these items of the sweep are in the queue, perhaps once more."""
        for index, item_id in zip(indexes, item_ids, strict=False):
            self.tally.send(index, item_id)
            self.index_of[item_id] = index

    def adopt(self, indexes: Sequence[int], item_ids: Sequence[int], watch: Watch) -> None:
        """Follow a batch that has been sent to its end."""
        self.note(indexes, item_ids)
        self._followed[watch.batch_id] = watch, asyncio.create_task(self._listen(watch))
        watch.expect(tuple(item_ids))

    async def follow_again(self, batches: Mapping[str, Sequence[int]] | None = None) -> None:
        """Follow batches that were sent before, by default those that could not be followed to their end.

        The server is asked for the status of their items, a hundred with each request.
        """
        batches = {**self._unfollowed} if batches is None else batches
        watches = {batch_id: await self.watch(batch_id) for batch_id in batches}
        open_ids = [
            item_id for ids in batches.values() for item_id in ids if not self.tally.has_ended(self.index_of[item_id])
        ]
        try:
            found = {item.item_id: item for item in await self.client.queue.items(open_ids, with_sessions=False)}
        except BaseException:
            for watch in watches.values():
                await self.client.forget(watch)
            raise
        for item_id in open_ids:
            if item_id not in found:
                self.on_status(item_id, DELETED, False)
        for batch_id, ids in batches.items():
            watch = watches[batch_id]
            left = tuple(item_id for item_id in ids if item_id in found)
            self._unfollowed.pop(batch_id, None)
            self._followed[batch_id] = watch, asyncio.create_task(self._listen(watch))
            for item_id in left:
                watch.add(status_of(found[item_id].raw))
            watch.expect(left)

    async def close(self) -> None:
        """Stop following; `follow_again` continues."""
        for batch_id, (watch, task) in [*self._followed.items()]:
            task.cancel()
            await self.client.forget(watch)
            self._unfollowed[batch_id] = watch.item_ids or ()
        self._followed.clear()

    async def _listen(self, watch: Watch) -> None:
        """Pass on the statuses of a batch until all its items have ended."""
        events = watch.subscribe()
        while (event := await events.get()) is not None:
            if isinstance(event, InvocationComplete):
                self.event_results.add(event)
            elif isinstance(event, StatusChanged):
                if event.is_final:
                    self.event_results.end(event)
                self.on_status(event.item_id, event.status, watch.was_interrupted)
        self._followed.pop(watch.batch_id, None)
        await self.client.forget(watch)
        error = watch.done.exception() if watch.done.done() else None
        if isinstance(error, JobDeletedError):  # find out which items, and continue following the others
            try:
                await self.follow_again({watch.batch_id: watch.item_ids or ()})
                error = None
            except ServerError as trouble:
                error = trouble
        failure = error if isinstance(error, Exception) else None
        if failure is not None:
            self._unfollowed[watch.batch_id] = watch.item_ids or ()
        self.on_failure(failure)


class EventResults:
    """Builds finished items from the events of their nodes, so that most items need not be fetched.

    A server takes about as long to return a finished item with its session as a small workflow takes to run.
    """

    def __init__(self, plan: WorkflowPlan) -> None:
        self._nodes = frozenset(node.id for node in plan.nodes if node.is_executable)
        self._is_ordered = not any(node.type in _SEVERAL_TIMES for node in plan.nodes)
        self._results: dict[int, dict[str, InvocationComplete]] = {}
        """The results of the nodes of items that have not ended."""
        self._items: dict[int, QueueItem] = {}

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def add(self, event: InvocationComplete) -> None:
        """Handle the result of a node."""
        if self._is_ordered:
            self._results.setdefault(event.item_id, {})[event.prepared_id] = event

    def end(self, event: StatusChanged) -> None:
        """Handle an item's final status; if any node event was missed, the item has to be fetched instead."""
        results = self._results.pop(event.item_id, {})
        if (
            event.status != "completed"
            or not event.raw
            or frozenset(event.node_id for event in results.values()) != self._nodes
        ):
            return
        session: Mapping[str, Any] = {
            "results": {prepared: event.result for prepared, event in results.items()},
            "prepared_source_mapping": {prepared: event.node_id for prepared, event in results.items()},
            "executed_history": [event.node_id for event in results.values()],
        }
        self._items[event.item_id] = QueueItem.of({**event.raw, "session": session})
        if len(self._items) > KEPT:
            del self._items[next(iter(self._items))]

    def take(self, item_id: int) -> QueueItem | None:
        """Return an item whose events were complete, and forget it; `None` if it has to be fetched."""
        return self._items.pop(item_id, None)
