"""The batches of a sweep that are in the queue: which item each queue item is, and following them to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.runtime.running_job import expect
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import JobDeletedError, ServerError
from invokeai_gen.server.events import InvocationComplete, StatusChanged, status_of
from invokeai_gen.server.pacing import Pace
from invokeai_gen.sweeps.event_results import EventResults
from invokeai_gen.sweeps.results import DELETED, Tally

if TYPE_CHECKING:
    from invokeai_gen.server.watch import Watch


class SentBatches:
    """Follows every batch that was sent. `on_status(item_id, status, was_interrupted)` is called for each change."""

    def __init__(
        self,
        plan: WorkflowPlan,
        client: AsyncInvokeAIClient,
        tally: Tally,
        on_status: Callable[[int, str, bool], None],
        on_failure: Callable[[Exception | None], None],
    ) -> None:
        self.event_results = EventResults(plan)
        self.index_of: dict[int, int] = {}
        """The number in the sweep of each queue item."""
        self._client = client
        self._tally = tally
        self._on_status = on_status
        self._on_failure = on_failure
        self._followed: dict[str, tuple[Watch, asyncio.Task[None]]] = {}
        self._unfollowed: dict[str, tuple[int, ...]] = {}
        """Queue items of batches that could not be followed to their end."""

    @property
    def open_ids(self) -> list[str]:
        """Ids of the batches that have not ended, as far as is known."""
        return [*self._followed, *self._unfollowed]

    async def watch(self, batch_id: str) -> Watch:
        """Follow a batch that is about to be sent, so that no event is missed."""
        watch = await self._client.follow(batch_id, {}, keeps_events=False)
        watch.pace = Pace()
        return watch

    def note(self, indexes: Sequence[int], item_ids: Sequence[int]) -> None:
        """Note that these items of the sweep are in the queue, perhaps once more."""
        for index, item_id in zip(indexes, item_ids, strict=False):
            self._tally.send(index, item_id)
            self.index_of[item_id] = index

    async def adopt(self, indexes: Sequence[int], item_ids: Sequence[int], watch: Watch) -> None:
        """Follow a batch that has been sent to its end."""
        self.note(indexes, item_ids)
        self._followed[watch.batch_id] = watch, asyncio.create_task(self._listen(watch))
        await expect(watch, tuple(item_ids))

    async def follow_again(self, batches: Mapping[str, Sequence[int]] | None = None) -> None:
        """Follow batches that were sent before, by default those that could not be followed to their end.

        The server is asked for the status of their items, a hundred with each request.
        """
        batches = {**self._unfollowed} if batches is None else batches
        watches = {batch_id: await self.watch(batch_id) for batch_id in batches}
        open_ids = [
            item_id for ids in batches.values() for item_id in ids if not self._tally.has_ended(self.index_of[item_id])
        ]
        try:
            found = {item.item_id: item for item in await self._client.queue.items(open_ids, with_sessions=False)}
        except BaseException:
            for watch in watches.values():
                await self._client.forget(watch)
            raise
        for item_id in open_ids:
            if item_id not in found:
                self._on_status(item_id, DELETED, False)
        for batch_id, ids in batches.items():
            watch = watches[batch_id]
            left = tuple(item_id for item_id in ids if item_id in found)
            self._unfollowed.pop(batch_id, None)
            self._followed[batch_id] = watch, asyncio.create_task(self._listen(watch))
            for item_id in left:
                watch.add(status_of(found[item_id].raw))
            await expect(watch, left)

    async def close(self) -> None:
        """Stop following; `follow_again` continues."""
        for batch_id, (watch, task) in [*self._followed.items()]:
            task.cancel()
            await self._client.forget(watch)
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
                self._on_status(event.item_id, event.status, watch.was_interrupted)
        self._followed.pop(watch.batch_id, None)
        await self._client.forget(watch)
        error = watch.done.exception() if watch.done.done() else None
        if isinstance(error, JobDeletedError):
            error = await self._after_deletion(watch)
        if isinstance(error, Exception):
            self._unfollowed[watch.batch_id] = watch.item_ids or ()
        self._on_failure(error if isinstance(error, Exception) else None)

    async def _after_deletion(self, watch: Watch) -> Exception | None:
        """Find out which items of a batch were deleted, and continue following the others."""
        try:
            await self.follow_again({watch.batch_id: watch.item_ids or ()})
        except ServerError as error:
            return error
        return None
