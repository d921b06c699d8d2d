"""One submitted workflow while it runs: `RunningJob`, which is waited for and read. `AsyncJob` can do more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from invokeai_gen.loading import load
from invokeai_gen.runtime import decoding as decoding  # for the outputs: an event loop must not wait for its import
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server import constants
from invokeai_gen.server.background import bridge
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.deadline import Deadline
from invokeai_gen.server.errors import JobDeletedError, JobTimeoutError, NotFoundError, ServerError
from invokeai_gen.server.status_watch import StatusWatch, is_final

if TYPE_CHECKING:
    from invokeai_gen.core.params import WorkflowParams
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.runtime.cleanup import Preparations
    from invokeai_gen.server.events import Callbacks
    from invokeai_gen.server.records import QueueItem

O_co = TypeVar("O_co", bound=WorkflowOutputs, covariant=True)
_STATUS_ORDER: Final = ("in_progress", "waiting", "pending", "failed", "canceled", "completed")


class RunningJob(Generic[O_co]):
    """One submitted workflow: waited for, read and cancelled."""

    def __init__(
        self,
        client: AsyncInvokeAIClient,
        batch_id: str,
        item_ids: Iterable[int],
        watch: StatusWatch,
        *,
        plan: WorkflowPlan | None = None,
        outputs: type[O_co],
        params: WorkflowParams | None = None,
        preparations: Preparations | None = None,
    ) -> None:
        self.client = client
        """The client that it was submitted with."""
        self.batch_id = batch_id
        """Id of the batch, chosen by this client."""
        self.item_ids = tuple(item_ids)
        """Ids of the queue items, in the order in which they run."""
        self.plan = plan
        """The plan of the workflow; `None` for a job that was resumed without it."""
        self.params = params
        """The values that it was submitted with; `None` for a job that was resumed."""
        self._watch = watch
        self._outputs = outputs
        self._preparations = preparations
        self._items: dict[int, QueueItem] = {}

    @property
    def last_status(self) -> str:
        """The last known status, without asking the server; see `status`."""
        return overall_status(self._watch.statuses.get(item_id, "pending") for item_id in self.item_ids)

    async def wait_until(
        self,
        deadline: Deadline,
        callbacks: Callbacks,
        *,
        cancel_on_timeout: bool = False,
        cancel_on_interrupt: bool = False,
    ) -> str:
        """Wait until every item has ended, and return the status. See `AsyncJob.wait`."""
        clock = deadline.clock()
        try:
            async with clock:
                await self._until_done(callbacks, cancel_on_error=cancel_on_interrupt)
        except TimeoutError:
            if not clock.expired():  # a callback's own
                raise
            what = f"queue {'item' if len(self.item_ids) == 1 else 'items'} {', '.join(map(str, self.item_ids))}"
            limit, status = f"{deadline.timeout:g} s", self.last_status
            if is_final(status):
                about = f"{what} ended ({status}), but a callback was not done with its events within {limit}"
                raise JobTimeoutError(about, item_id=self.item_ids[0]) from None
            about = f"its status was {status}"
            if cancel_on_timeout:
                trouble = await self._cancel_surely()
                about += f", it could not be canceled: {trouble}" if trouble else ", it is canceled now"
            elif self._watch.was_interrupted and self.client._connections.is_silent:
                about += f"; {self.client.url} fails to answer"
            raise JobTimeoutError(f"{what} did not end within {limit} ({about})", item_id=self.item_ids[0]) from None
        except asyncio.CancelledError:
            if cancel_on_interrupt:
                await self._cancel_surely()
            raise
        return self.last_status

    async def _until_done(self, _callbacks: Callbacks, *, cancel_on_error: bool) -> None:
        """Wait until every item has ended."""
        await bridge(_finished(self._watch))

    async def read_outputs(self) -> list[O_co]:
        """Return the outputs of every item. Raises the error of the first one that did not complete."""
        return [await self._outputs_of(item_id) for item_id in self.item_ids]

    async def cancel(self) -> None:
        """Cancel the items that have not ended. Finished nodes keep their results."""
        if len(self.item_ids) == 1:
            await self.client.run_queue.cancel(self.item_ids[0])
        else:
            await self.client.run_queue.cancel_batches([self.batch_id])

    async def close(self) -> None:
        """Stop following the job. The server goes on with it."""
        await self.client.forget(self._watch)

    async def _cancel_quietly(self) -> str | None:
        """Cancel the items that have not ended; return the reason if that fails."""
        try:
            async with asyncio.timeout(constants.CANCEL_TIMEOUT):
                await self.cancel()
        except (ServerError, TimeoutError) as error:
            return str(error) or f"no answer within {constants.CANCEL_TIMEOUT:g} s"
        return None

    async def _cancel_surely(self) -> str | None:
        """Cancel the items, even if the caller is cancelled again meanwhile."""
        from invokeai_gen.server.other_loops import unbroken

        return await unbroken(self._cancel_quietly())

    async def _item(self, item_id: int) -> QueueItem:
        """Return an item as it is now. One that has ended is fetched once."""
        if item_id not in self._items:
            item = self._watch.ended.pop(item_id, None) or await self.client.run_queue.get(item_id)
            if not is_final(item.status):
                return item
            self._items[item_id] = item
        return self._items[item_id]

    async def _final_item(self, item_id: int) -> QueueItem:
        if item_id not in self._items:
            await self._until_done({}, cancel_on_error=False)
        try:
            return await self._item(item_id)
        except NotFoundError:
            raise JobDeletedError(f"queue item {item_id} is no longer in the queue", item_id=item_id) from None

    async def _outputs_of(self, item_id: int) -> O_co:
        item = await self._final_item(item_id)
        await self._raise_for(item)
        uploads = self._preparations.uploads if self._preparations is not None else None
        return self._outputs(self.plan, item, self.client, uploads, self.params)

    async def _raise_for(self, item: QueueItem) -> None:
        """Raise why an item has no outputs, if it has none."""
        if item.status != "completed" or item.is_redacted:
            failures = await load("invokeai_gen.runtime.failures")
            raise failures.error_of(item, self.plan)


def overall_status(statuses: Iterable[str]) -> str:
    """Return one status for several items: the one that says most about what is still to come, unknown ones first."""
    found = set(statuses)
    unknown = sorted(found.difference(_STATUS_ORDER))
    return next((status for status in (*_STATUS_ORDER[:3], *unknown, *_STATUS_ORDER[3:]) if status in found), "pending")


async def _finished(watch: StatusWatch) -> None:
    await asyncio.shield(watch.done)
