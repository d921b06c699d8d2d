"""A submitted workflow, followed, read and cleaned up: `AsyncJob`. `Job` is the same without `await`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, Unpack, overload

from invokeai_gen.core.results import node_result, results_by_node
from invokeai_gen.runtime.callbacks import Callbacks, call_back
from invokeai_gen.runtime.cleanup import (
    CleanupTarget,
    Preparations,
    Uploads,
    cleanup_targets,
    remove_boards,
    remove_outputs,
)
from invokeai_gen.runtime.failures import error_of, node_labels, overall_status
from invokeai_gen.runtime.outputs import WorkflowOutputs, decode
from invokeai_gen.server import background
from invokeai_gen.server.background import bridge
from invokeai_gen.server.client import AsyncInvokeAIClient, ServerClient, core_of
from invokeai_gen.server.errors import (
    JobDeletedError,
    JobError,
    JobTimeoutError,
    NotFoundError,
    ServerError,
    SeveralItemsError,
)
from invokeai_gen.server.events import (
    InvocationComplete,
    JobEvent,
    is_final,
)
from invokeai_gen.server.records import QueueItem, Removal, Timings, spanning

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.server.follow import Watch

O_co = TypeVar("O_co", bound=WorkflowOutputs, covariant=True)
A = TypeVar("A", bound=WorkflowOutputs)
CANCEL_TIMEOUT: Final = 5.0
"""Seconds that a cancellation may take while an interrupt is waiting for it."""


@dataclass(frozen=True, slots=True)
class StreamedOutput:
    """One output, as soon as its node has finished."""

    name: str
    """Its name in `Outputs`, or the node's id where it has none."""
    value: Any
    item_id: int


class AsyncJob(Generic[O_co]):
    """One submitted workflow: one queue item, or several where it has batch nodes or was to run several times."""

    def __init__(
        self,
        client: AsyncInvokeAIClient,
        batch_id: str,
        item_ids: Iterable[int],
        watch: Watch,
        *,
        plan: WorkflowPlan | None = None,
        outputs: type[O_co],
        preparations: Preparations | None = None,
    ) -> None:
        self.client = client
        self.batch_id = batch_id
        """Chosen by this client."""
        self.item_ids = tuple(item_ids)
        """Ids of the queue items, in the order in which they run."""
        self.plan = plan
        self._watch = watch
        self._outputs = outputs
        self._preparations = preparations or Preparations()
        self._items: dict[int, QueueItem] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(item_ids={self.item_ids}, status={self.last_status!r})"

    @overload
    @classmethod
    async def resume(
        cls,
        client: ServerClient | AsyncInvokeAIClient | None,
        item_id: int,
        *,
        plan: WorkflowPlan | None = None,
    ) -> AsyncJob[WorkflowOutputs]: ...

    @overload
    @classmethod
    async def resume(
        cls,
        client: ServerClient | AsyncInvokeAIClient | None,
        item_id: int,
        *,
        plan: WorkflowPlan | None = None,
        outputs: type[A],
    ) -> AsyncJob[A]: ...

    @classmethod
    async def resume(
        cls,
        client: ServerClient | AsyncInvokeAIClient | None,
        item_id: int,
        *,
        plan: WorkflowPlan | None = None,
        outputs: type[Any] = WorkflowOutputs,
    ) -> AsyncJob[Any]:
        """The job of a queue item that was submitted before, perhaps by another process.

        Without a `plan` its outputs have no names, but `images` and `by_node`. Raises `NotFoundError`.
        """
        core = core_of(client)
        item = await core.queue.get(item_id)
        watch = await core.follow(item.batch_id, node_labels(plan))
        await bridge(expect(watch, (item_id,), item.status))
        return AsyncJob(core, item.batch_id, (item_id,), watch, plan=plan, outputs=outputs)

    @property
    def item_id(self) -> int:
        """Id of the only queue item. Raises `SeveralItemsError` where there are several."""
        if len(self.item_ids) != 1:
            raise SeveralItemsError(len(self.item_ids))
        return self.item_ids[0]

    @property
    def last_status(self) -> str:
        """The status as far as it is known here, without asking the server; see `status`."""
        return overall_status(self._watch.statuses.get(item_id, "pending") for item_id in self.item_ids)

    @property
    def is_done(self) -> bool:
        """Whether every item is known to have ended."""
        return is_final(self.last_status)

    @property
    def uploads(self) -> Uploads:
        """What was uploaded as the inputs of this job, and is still there."""
        return self._preparations.uploads

    async def status(self) -> str:
        """The status, asked of the server unless it is final already.

        `pending`, `in_progress`, `waiting`, `completed`, `failed` or `canceled`. Of several items the first of
        in progress, waiting, pending, failed, canceled that one of them has, else completed.
        """
        if self.is_done:
            return self.last_status
        return overall_status([(await self._item(item_id)).status for item_id in self.item_ids])

    async def wait(
        self,
        timeout: float | None = None,
        *,
        cancel_on_timeout: bool = False,
        cancel_on_interrupt: bool = False,
        **callbacks: Unpack[Callbacks],
    ) -> str:
        """Waits until every item has ended, in whichever way, and returns the status.

        `timeout` is in seconds; when it has passed, `JobTimeoutError` is raised and, if `cancel_on_timeout`, the items
        are canceled. `cancel_on_interrupt` cancels them on Ctrl-C and when the waiting task is canceled.
        Raises `ConnectionFailedError` where the server stays away for a minute, and `JobDeletedError` where an item
        is no longer in the queue.
        """
        began = asyncio.get_running_loop().time()
        return await wait_since(
            self,
            began,
            timeout,
            cancel_on_timeout=cancel_on_timeout,
            cancel_on_interrupt=cancel_on_interrupt,
            **callbacks,
        )

    async def events(self) -> AsyncGenerator[JobEvent, None]:
        """Everything that happens to the items, until they have ended.

        It begins with what has happened so far, but for progress that is out of date. Where no event connection can
        be had, only changes of the status come.
        """
        queue = await bridge(_subscribe(self._watch))
        try:
            while (event := await bridge(queue.get())) is not None:
                yield event
        finally:
            background.loop().call_soon_threadsafe(self._watch.unsubscribe, queue)

    async def stream_outputs(self, *, debug: bool = False) -> AsyncGenerator[StreamedOutput, None]:
        """Each output as soon as its node has finished; `debug` adds the intermediate images.

        Raises what `outputs` raises, after what did finish. An output behind an `iterate` comes once per item.
        """
        roles = {"user", "result", "debug"} if debug else {"user", "result"}
        planned = {output.node_id: output for output in self._planned() if output.role in roles}
        seen: set[str] = set()
        async for event in self.events():
            if isinstance(event, InvocationComplete) and event.node_id in planned and event.prepared_id not in seen:
                seen.add(event.prepared_id)
                output = planned[event.node_id]
                result = node_result(event.node_id, event.prepared_id, event.result)
                yield StreamedOutput(output.name or output.node_id, decode(output, result, self.client), event.item_id)
        for item_id in self.item_ids:
            item = await self._final_item(item_id)
            for node_id, results in results_by_node(item.session).items():
                for result in results:
                    if node_id in planned and result.prepared_id not in seen:
                        output = planned[node_id]
                        yield StreamedOutput(output.name or node_id, decode(output, result, self.client), item_id)
            self._raise_for(item)

    async def outputs(self) -> O_co:
        """The outputs of the only item, once it is completed; waits for that.

        Raises `JobFailedError`, `JobCanceledError`, `UnknownStatusError`, and `SeveralItemsError` for a batch.
        """
        return await self._outputs_of(self.item_id)

    async def all_outputs(self) -> list[O_co]:
        """The outputs of every item in the order in which they ran; waits for all of them.

        Raises the error of the first item that did not complete; `results` gives what the others have.
        """
        return [await self._outputs_of(item_id) for item_id in self.item_ids]

    async def results(self) -> list[O_co | JobError]:
        """The outputs of every item, or the error of one that did not complete, in the order in which they ran."""
        found: list[O_co | JobError] = []
        for item_id in self.item_ids:
            try:
                found.append(await self._outputs_of(item_id))
            except JobError as error:
                found.append(error)
        return found

    async def items(self) -> list[QueueItem]:
        """The queue items, with timings and sessions, as the server has them now."""
        return [await self._item(item_id) for item_id in self.item_ids]

    async def position(self) -> int | None:
        """How many items of the queue run before the first one of these; 0 while it runs, `None` when it has ended."""
        return await self.client.queue.position(self.item_ids[0])

    async def cancel(self) -> None:
        """Cancels what has not ended. Finished nodes keep their results; ended items stay as they are."""
        if len(self.item_ids) == 1:
            await self.client.queue.cancel(self.item_ids[0])
        else:
            await self.client.queue.cancel_batches([self.batch_id])

    async def timings(self) -> Timings:
        """When the first item was created, when the first one began, and when the last one ended; as yet, or `None`."""
        return spanning([item.timings for item in await self.items()])

    async def cleanup_inputs(self) -> Removal:
        """Deletes the images and videos that this job uploaded as its inputs."""
        return await self.uploads.remove(self.client)

    async def cleanup_outputs(self, *, delete_images: bool = True, delete_from_board: bool = False) -> Removal:
        """Deletes the images and videos that the items made; see `WorkflowOutputs.cleanup_outputs` for what is kept."""
        return await remove_outputs(
            self.client, await self.items(), delete_images=delete_images, delete_from_board=delete_from_board
        )

    async def cleanup_boards(self) -> Removal:
        """Deletes the boards that `create_boards` made for this job, if nobody else has put an image on them since.

        This job's own images stay, unless `cleanup_outputs` deletes them first.
        """
        return await remove_boards(self.client, self._preparations, await self._known_items())

    async def cleanup_queue_items(self) -> Removal:
        """Removes the items from the queue, canceling those that have not ended. Their images stay."""
        return await self.client.queue.delete(self.item_ids)

    async def clean_up(self, targets: Iterable[CleanupTarget], *, timeout: float | None = None) -> Removal:
        """Several of the above at once; never raises a `ServerError`, but says in `failed` what is still there.

        So it does of what is not deleted within `timeout` seconds.
        """
        began = asyncio.get_running_loop().time()
        removal, wanted = Removal(), cleanup_targets(targets)
        steps = {
            "outputs": self.cleanup_outputs,
            "boards": self.cleanup_boards,
            "inputs": self.cleanup_inputs,
            "queue_items": self.cleanup_queue_items,
        }
        for name, step in steps.items():
            if name in wanted:
                try:
                    async with in_time(began, timeout, "it was not deleted"):
                        removal += await step()
                except ServerError as error:
                    removal += Removal(failed={name: str(error)})
        return removal

    async def close(self) -> None:
        """Stops following the job. The server goes on with it."""
        await self.client.forget(self._watch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if not self.is_done:
            await self._cancel_quietly()
        await self.close()

    def _planned(self) -> tuple[Any, ...]:
        return self.plan.outputs if self.plan is not None else ()

    async def _cancel_quietly(self) -> str | None:
        """Cancels what has not ended; returns the reason if that did not work."""
        try:
            await asyncio.wait_for(self.cancel(), CANCEL_TIMEOUT)
        except (ServerError, TimeoutError) as error:
            return str(error) or f"no answer within {CANCEL_TIMEOUT:g} s"
        return None

    async def _known_items(self) -> list[QueueItem]:
        """The items that are still in the queue or have been asked for before."""
        found: list[QueueItem] = []
        for item_id in self.item_ids:
            with contextlib.suppress(NotFoundError):
                found.append(await self._item(item_id))
        return found

    async def _item(self, item_id: int) -> QueueItem:
        """An item as it is now; one that has ended is asked for once."""
        if item_id not in self._items:
            item = await self.client.queue.get(item_id)
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
        self._raise_for(item)
        return self._outputs(self.plan, item, self.client, self.uploads)

    def _raise_for(self, item: QueueItem) -> None:
        if (error := error_of(item, self.plan)) is not None:
            raise error


async def expect(watch: Watch, item_ids: tuple[int, ...], status: str | None = None) -> None:
    """Tells a watch which items it is about, and the status of the only one where that is known."""
    if status is not None and is_final(status):
        watch.statuses[item_ids[0]] = status
    watch.expect(item_ids)


async def wait_since(
    job: AsyncJob[Any],
    began: float,
    timeout: float | None,
    *,
    cancel_on_timeout: bool = False,
    cancel_on_interrupt: bool = False,
    **callbacks: Unpack[Callbacks],
) -> str:
    """Like `AsyncJob.wait`, with a `timeout` that runs since `began`, a time of the running event loop."""
    clock = _clock(began, timeout)
    try:
        async with clock:
            if callbacks:
                async for event in job.events():
                    await call_back(callbacks, event)
            await bridge(_finished(job._watch))
    except TimeoutError:
        if not clock.expired():  # a callback's own
            raise
        about = f"its status was {job.last_status}"
        if cancel_on_timeout:
            trouble = await job._cancel_quietly()
            about += f", it could not be canceled: {trouble}" if trouble else ", it is canceled now"
        what = "item" if len(job.item_ids) == 1 else "items"
        raise JobTimeoutError(
            f"queue {what} {', '.join(map(str, job.item_ids))} did not end within {timeout:g} s ({about})",
            item_id=job.item_ids[0],
        ) from None
    except asyncio.CancelledError:
        if cancel_on_interrupt:
            await job._cancel_quietly()
        raise
    return job.last_status


def _clock(began: float, timeout: float | None) -> asyncio.Timeout:
    return asyncio.timeout_at(None if timeout is None else began + timeout)


@contextlib.asynccontextmanager
async def in_time(
    began: float, timeout: float | None, problem: str, item_id: int | None = None
) -> AsyncGenerator[None, None]:
    """Raises `JobTimeoutError` with the problem where the block is not left within `timeout` seconds since `began`."""
    clock = _clock(began, timeout)
    try:
        async with clock:
            yield
    except TimeoutError as error:
        if not clock.expired():
            raise
        late = JobTimeoutError(f"{problem} within {timeout:g} s", item_id=item_id)
        for note in getattr(error.__cause__, "__notes__", ()):
            late.add_note(note)
        raise late from None


async def _finished(watch: Watch) -> None:
    await asyncio.shield(watch.done)


async def _subscribe(watch: Watch) -> asyncio.Queue[JobEvent | None]:
    return watch.subscribe()
