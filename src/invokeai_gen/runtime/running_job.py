"""One submitted workflow while it runs: `RunningJob`, which is waited for and read. `AsyncJob` can do more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from invokeai_gen.loading import load
from invokeai_gen.runtime import decoding as decoding  # for the outputs: an event loop must not wait for its import
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server.background import bridge
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.deadline import Deadline
from invokeai_gen.server.errors import JobDeletedError, NotFoundError
from invokeai_gen.server.status_watch import StatusWatch, is_final

if TYPE_CHECKING:
    from invokeai_gen.core.params import WorkflowParams
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.runtime.cleanup import Preparations
    from invokeai_gen.server.events import Callbacks
    from invokeai_gen.server.records import QueueItem

T = TypeVar("T")
O_co = TypeVar("O_co", bound=WorkflowOutputs, covariant=True)


class RunningJob(Generic[O_co]):
    """One submitted workflow: waited for and read."""

    def __init__(
        self,
        client: AsyncInvokeAIClient,
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
        self.batch_id = watch.batch_id
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

    async def _full(self) -> Any:
        """Return the same job as an `AsyncJob`, with everything that a job can do."""
        return (await load("invokeai_gen.runtime.async_job")).AsyncJob.of(self)

    async def wait_until(
        self,
        deadline: Deadline,
        callbacks: Callbacks,
        *,
        cancel_on_timeout: bool = False,
        cancel_on_interrupt: bool = False,
    ) -> None:
        """Wait until every item has ended. See `AsyncJob.wait`."""
        clock = deadline.clock()
        try:
            async with clock:
                await self._until_done(callbacks, cancel_on_error=cancel_on_interrupt)
        except TimeoutError:
            if not clock.expired():  # a callback's own
                raise
            raise await self._surely(lambda job: job._timeout_error(deadline, cancel=cancel_on_timeout)) from None
        except asyncio.CancelledError:
            if cancel_on_interrupt:
                await self._surely(lambda job: job._cancel_quietly())
            raise

    async def _surely(self, step: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Take a step of the full job to its end, even if the caller is cancelled meanwhile."""
        from invokeai_gen.server.other_loops import unbroken

        async def taken() -> T:
            return await step(await self._full())

        return await unbroken(taken())

    async def _until_done(self, _callbacks: Callbacks, *, cancel_on_error: bool) -> None:
        """Wait until every item has ended."""
        await bridge(_finished(self._watch))

    async def read_outputs(self) -> list[O_co]:
        """Return the outputs of every item. Raises the error of the first one that did not complete."""
        return [await self._outputs_of(item_id) for item_id in self.item_ids]

    async def close(self) -> None:
        """Stop following the job. The server goes on with it."""
        await self.client.forget(self._watch)

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


async def _finished(watch: StatusWatch) -> None:
    await asyncio.shield(watch.done)
