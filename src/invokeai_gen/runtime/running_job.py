"""One submitted workflow while it runs: `RunningJob`, which is waited for and read. `AsyncJob` can do more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING, Final, Generic, TypeVar, Unpack

from invokeai_gen.core.rejections import node_labels
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server import background, constants
from invokeai_gen.server.background import bridge, load
from invokeai_gen.server.callbacks import Callbacks, call_back
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.deadline import Deadline
from invokeai_gen.server.errors import (
    JobDeletedError,
    JobTimeoutError,
    NotFoundError,
    ServerError,
)
from invokeai_gen.server.events import (
    JobEvent,
    is_final,
)

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from invokeai_gen.core.params import WorkflowParams
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.runtime.cleanup import Preparations
    from invokeai_gen.server.records import QueueItem
    from invokeai_gen.server.watch import Watch

    A = TypeVarWithDefault("A", bound=WorkflowOutputs, default=WorkflowOutputs)

O_co = TypeVar("O_co", bound=WorkflowOutputs, covariant=True)
_STATUS_ORDER: Final = ("in_progress", "waiting", "pending", "failed", "canceled", "completed")


class RunningJob(Generic[O_co]):
    """One submitted workflow: waited for, read and cancelled."""

    def __init__(
        self,
        client: AsyncInvokeAIClient,
        batch_id: str,
        item_ids: Iterable[int],
        watch: Watch,
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}(item_ids={self.item_ids}, status={self.last_status!r})"

    @property
    def last_status(self) -> str:
        """The last known status, without asking the server; see `status`."""
        return overall_status(self._watch.statuses.get(item_id, "pending") for item_id in self.item_ids)

    @property
    def is_done(self) -> bool:
        """Whether every item is known to have ended."""
        return is_final(self.last_status)

    async def wait(
        self,
        timeout: float | None = None,
        *,
        cancel_on_timeout: bool = False,
        cancel_on_interrupt: bool = False,
        **callbacks: Unpack[Callbacks],
    ) -> str:
        """Wait until every item has ended, successfully or not, and return the status.

        `timeout` is in seconds; after it, `JobTimeoutError` is raised and, with `cancel_on_timeout`, the items are
        cancelled. `cancel_on_interrupt` cancels them on Ctrl-C, if the waiting task is cancelled, and if a callback
        raises an exception. Raises `ConnectionFailedError` if the server does not answer for a minute, and
        `JobDeletedError` if an item is no longer in the queue.
        """
        return await self.wait_until(
            Deadline(timeout), callbacks, cancel_on_timeout=cancel_on_timeout, cancel_on_interrupt=cancel_on_interrupt
        )

    async def wait_until(
        self,
        deadline: Deadline,
        callbacks: Callbacks,
        *,
        cancel_on_timeout: bool = False,
        cancel_on_interrupt: bool = False,
    ) -> str:
        """Like `wait`, with a deadline that began earlier."""
        clock = deadline.clock()
        try:
            async with clock:
                if callbacks:
                    await self._call_back(callbacks, cancel_on_error=cancel_on_interrupt)
                await bridge(_finished(await self._followed()))
        except TimeoutError:
            if not clock.expired():  # a callback's own
                raise
            about = f"its status was {self.last_status}"
            if cancel_on_timeout:
                trouble = await self._cancel_quietly()
                about += f", it could not be canceled: {trouble}" if trouble else ", it is canceled now"
            what = "item" if len(self.item_ids) == 1 else "items"
            raise JobTimeoutError(
                f"queue {what} {', '.join(map(str, self.item_ids))} did not end within {deadline.timeout:g} s ({about})",
                item_id=self.item_ids[0],
            ) from None
        except asyncio.CancelledError:
            if cancel_on_interrupt:
                await self._cancel_quietly()
            raise
        return self.last_status

    async def _call_back(self, callbacks: Callbacks, *, cancel_on_error: bool) -> None:
        """Call the callbacks until every item has ended."""
        async for event in self.events():
            try:
                await call_back(callbacks, event)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                if cancel_on_error and (trouble := await self._cancel_quietly()):
                    error.add_note(f"queue items {', '.join(map(str, self.item_ids))} could not be canceled: {trouble}")
                raise

    async def events(self) -> AsyncGenerator[JobEvent, None]:
        """Yield everything that happens to the items, until they have ended.

        It begins with what has happened so far, except progress that is out of date. Without an event connection to
        the server, only changes of the status come.
        """
        await self._followed()
        queue = await bridge(_subscribe(self._watch))
        try:
            while (event := await bridge(queue.get())) is not None:
                yield event
        finally:
            background.loop().call_soon_threadsafe(self._watch.unsubscribe, queue)

    async def all_outputs(self, *, timeout: float | None = None) -> list[O_co]:
        """Wait for every item, and return the outputs of each, in the order in which they ran.

        `timeout` is as for `outputs`. Raises the error of the first item that did not complete; `results` returns what
        the others have.
        """
        await self._ended_within(timeout)
        return [await self._outputs_of(item_id) for item_id in self.item_ids]

    async def _ended_within(self, timeout: float | None) -> None:
        if timeout is not None:
            await self.wait(timeout)

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

    async def _followed(self) -> Watch:
        """Return the watch of this job; a forked process has a watch of its own."""
        if self._watch.process_id != os.getpid():
            inherited = self._watch
            self._watch = await self.client.follow(self.batch_id, node_labels(self.plan))
            await bridge(_take_over(self._watch, inherited, self.item_ids))
        return self._watch

    async def _item(self, item_id: int) -> QueueItem:
        """Return an item as it is now. One that has ended is fetched once."""
        if item_id not in self._items:
            item = await self.client.run_queue.get(item_id)
            if not is_final(item.status):
                return item
            self._items[item_id] = item
        return self._items[item_id]

    async def _final_item(self, item_id: int) -> QueueItem:
        if item_id not in self._items:
            await self.wait()
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


async def expect(watch: Watch, item_ids: tuple[int, ...]) -> None:
    """Set which items a watch is about."""
    watch.expect(item_ids)


async def _take_over(watch: Watch, inherited: Watch, item_ids: tuple[int, ...]) -> None:
    """Give a watch what the one of the parent process knew."""
    for event in inherited.history:
        watch.add(event)
    watch.expect(item_ids)


async def _finished(watch: Watch) -> None:
    await asyncio.shield(watch.done)


async def _subscribe(watch: Watch) -> asyncio.Queue[JobEvent | None]:
    return watch.subscribe()
