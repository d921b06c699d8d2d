"""A submitted workflow, followed, read and cleaned up: `AsyncJob`. `Job` is the same without `await`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, Unpack

from invokeai_gen.core.results import node_result, results_by_node
from invokeai_gen.runtime.cleanup import Preparations, remove_boards, remove_outputs
from invokeai_gen.runtime.decoding import decode
from invokeai_gen.runtime.options import CleanupTarget, cleanup_targets
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.runner import O_co, RunningJob
from invokeai_gen.server import background, constants
from invokeai_gen.server.background import P, T, bridge
from invokeai_gen.server.client import AsyncInvokeAIClient, core_of
from invokeai_gen.server.deadline import Deadline
from invokeai_gen.server.errors import JobError, JobTimeoutError, NotFoundError, ServerError
from invokeai_gen.server.events import Callbacks, InvocationComplete, JobEvent, call_back
from invokeai_gen.server.records import QueueItem, Timings
from invokeai_gen.server.removal import Removal
from invokeai_gen.server.run_errors import SeveralItemsError
from invokeai_gen.server.status_watch import is_final
from invokeai_gen.server.uploads import Uploads
from invokeai_gen.server.watch import Watch

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.server.blocking import ServerClient

    A = TypeVarWithDefault("A", bound=WorkflowOutputs, default=WorkflowOutputs)

_STATUS_ORDER: Final = ("in_progress", "waiting", "pending", "failed", "canceled", "completed")
_kept: Final[set[AsyncJob[Any]]] = set()
"""Jobs with a callback that is still to be called: nobody else may refer to them."""


@dataclass(frozen=True, slots=True)
class StreamedOutput:
    """One output, as soon as its node has finished."""

    name: str
    """Its name in `Outputs`, or the node's id if it has no name."""
    value: Any
    item_id: int


class AsyncJob(RunningJob[O_co]):
    """One submitted workflow: one queue item, or several for batch nodes and `runs`."""

    @classmethod
    def of(cls, job: RunningJob[O_co]) -> Self:
        """Return the same job with everything that a job can do."""
        made = cls.__new__(cls)
        vars(made).update(vars(job))
        return made

    def __reduce__(self) -> NoReturn:
        raise TypeError("a job cannot be pickled or copied: pass on its item_id, and continue with resume(item_id)")

    def _repr_html_(self) -> str:
        """Return the status and the values of this job, for a notebook."""
        from invokeai_gen.core import notebook

        values = vars(self.params) if self.params is not None else {}
        rows = {"Queue items": self._numbers, "Status": self.last_status}
        return notebook.card(
            self.plan.info.name if self.plan is not None else "Job", rows | notebook.rows_of(self.plan, values)
        )

    @classmethod
    async def resume(
        cls,
        client: ServerClient | AsyncInvokeAIClient | None,
        item_id: int,
        *,
        plan: WorkflowPlan | None = None,
        outputs: type[A] = WorkflowOutputs,  # type: ignore[assignment]
    ) -> AsyncJob[A]:
        """Return the job of a queue item that was submitted before, perhaps by another process; see `Job.resume`."""
        core, labels = core_of(client), plan.node_labels if plan is not None else {}
        batch_id = (await core.queue.get(item_id)).batch_id
        watch = await core.follow(batch_id, labels)
        # Once more, because of events between that answer and the first one received.
        await bridge(_called(watch.replay, await core.queue.get(item_id)))
        return AsyncJob(core, (item_id,), watch, plan=plan, outputs=outputs)

    @property
    def item_id(self) -> int:
        """Id of the only queue item. Raises `SeveralItemsError` if there are several."""
        if len(self.item_ids) != 1:
            raise SeveralItemsError(len(self.item_ids))
        return self.item_ids[0]

    @property
    def uploads(self) -> Uploads:
        """The inputs of this job that were uploaded and not deleted since."""
        return self._prepared.uploads

    @property
    def _numbers(self) -> str:
        return ", ".join(map(str, self.item_ids))

    @property
    def _prepared(self) -> Preparations:
        self._preparations = self._preparations or Preparations()
        return self._preparations

    def __repr__(self) -> str:
        return f"{type(self).__name__}(item_ids={self.item_ids}, status={self.last_status!r})"

    @property
    def is_done(self) -> bool:
        """Whether every item is known to have ended."""
        return is_final(self.last_status)

    @property
    def last_status(self) -> str:
        """The last known status, without asking the server; see `status`."""
        return overall_status(self._watch.statuses.get(item_id, "pending") for item_id in self.item_ids)

    async def status(self) -> str:
        """Return the status; the server is only asked if it can still change.

        `pending`, `in_progress`, `waiting`, `completed`, `failed` or `canceled`. For several items it is the first of
        in_progress, waiting, pending, failed, canceled that any of them has, else completed.
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
        """Wait until every item has ended, successfully or not, and return the status.

        `timeout` is in seconds; after it, `JobTimeoutError` is raised and, with `cancel_on_timeout`, the items are
        cancelled. `cancel_on_interrupt` cancels them on Ctrl-C, if the waiting task is cancelled, and if a callback
        raises an exception. Raises `ConnectionFailedError` if the server does not answer for a minute, and
        `JobDeletedError` if an item is no longer in the queue.
        """
        await self.wait_until(
            Deadline(timeout), callbacks, cancel_on_timeout=cancel_on_timeout, cancel_on_interrupt=cancel_on_interrupt
        )
        return self.last_status

    async def _timeout_error(self, deadline: Deadline, *, cancel: bool) -> JobTimeoutError:
        """Return the error of a job that did not end in time, after canceling it if `cancel`."""
        what = f"queue {'item' if len(self.item_ids) == 1 else 'items'} {self._numbers}"
        limit, status = f"{deadline.timeout:g} s", self.last_status
        if is_final(status):
            about = f"{what} ended ({status}), but a callback was not done with its events within {limit}"
            return JobTimeoutError(about, item_id=self.item_ids[0])
        about = f"its status was {status}"
        if cancel:
            trouble = await self._cancel_quietly()
            about += f", it could not be canceled: {trouble}" if trouble else ", it is canceled now"
        elif self._watch.was_interrupted and self.client._connections.is_silent:
            about += f"; {self.client.url} fails to answer"
        return JobTimeoutError(f"{what} did not end within {limit} ({about})", item_id=self.item_ids[0])

    async def cancel(self) -> None:
        """Cancel the items that have not ended. Finished nodes keep their results."""
        if len(self.item_ids) == 1:
            await self.client.run_queue.cancel(self.item_ids[0])
        else:
            await self.client.run_queue.cancel_batches([self.batch_id])

    async def _cancel_quietly(self) -> str | None:
        """Cancel the items that have not ended; return the reason if that fails."""
        try:
            async with asyncio.timeout(constants.CANCEL_TIMEOUT):
                await self.cancel()
        except (ServerError, TimeoutError) as error:
            return str(error) or f"no answer within {constants.CANCEL_TIMEOUT:g} s"
        return None

    async def _call_back(self, callbacks: Callbacks, *, cancel_on_error: bool) -> None:
        """Call the callbacks until every item has ended."""
        async for event in self.events():
            try:
                await call_back(callbacks, event)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                if cancel_on_error and (trouble := await self._cancel_quietly()):
                    error.add_note(f"queue items {self._numbers} could not be canceled: {trouble}")
                raise

    async def events(self) -> AsyncGenerator[JobEvent, None]:
        """Yield everything that happens to the items, until they have ended.

        It begins with what has happened so far, except progress that is out of date. Without an event connection to
        the server, only changes of the status come.
        """
        watch = await self._followed()
        queue = await bridge(_called(watch.subscribe))
        try:
            while (event := await bridge(queue.get())) is not None:
                yield event
        finally:
            background.loop().call_soon_threadsafe(watch.unsubscribe, queue)

    async def _followed(self) -> Watch:
        """Return the watch of this job: a new one in a forked process, and after `close`."""
        known = self._watch
        if isinstance(known, Watch) and known.process_id == os.getpid() and (known.is_open or known.done.done()):
            return known
        self._watch = watch = await self.client.follow(
            self.batch_id, self.plan.node_labels if self.plan is not None else {}
        )
        await bridge(_called(watch.take_over, known, self.item_ids))
        return watch

    async def _until_done(self, callbacks: Callbacks, *, cancel_on_error: bool) -> None:
        """Wait until every item has ended, and call the callbacks meanwhile."""
        if callbacks:
            await self._call_back(callbacks, cancel_on_error=cancel_on_error)
        await self._followed()
        await super()._until_done(callbacks, cancel_on_error=cancel_on_error)

    def add_done_callback(self, callback: Callable[[Self], object]) -> None:
        """Call a function with this job as soon as every item has ended, or the job cannot be followed any more.

        It is called on the event loop that is running now, and not after `close`. What it raises is logged.
        """
        loop = asyncio.get_running_loop()
        self._when_done(lambda: loop.call_soon_threadsafe(callback, self))

    def _when_done(self, call: Callable[[], object]) -> None:
        """Call a function on the background loop when every item has ended. The job stays alive until then."""

        def done(_future: object) -> None:
            _kept.discard(self)
            call()

        _kept.add(self)
        background.loop().call_soon_threadsafe(self._watch.done.add_done_callback, done)

    async def stream_outputs(self, *, debug: bool = False) -> AsyncGenerator[StreamedOutput, None]:
        """Yield each output as soon as its node has finished; `debug` adds the intermediate images.

        An output behind an `iterate` node comes once per iteration. Raises what `outputs` raises, after the outputs
        that did finish.
        """
        roles = {"user", "result", "debug"} if debug else {"user", "result"}
        outputs = self.plan.outputs if self.plan is not None else ()
        planned = {output.node_id: output for output in outputs if output.role in roles}
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
            await self._raise_for(item)

    async def outputs(self, *, timeout: float | None = None) -> O_co:
        """Wait for the only item, and return its outputs; see `Job.outputs`."""
        item_id = self.item_id
        await self._ended_within(timeout)
        return await self._outputs_of(item_id)

    async def all_outputs(self, *, timeout: float | None = None) -> list[O_co]:
        """Wait for every item, and return the outputs of each, in the order in which they ran; see `Job.all_outputs`."""
        await self._ended_within(timeout)
        return await self.read_outputs()

    async def results(self, *, timeout: float | None = None) -> list[O_co | JobError]:
        """Wait for every item, and return its outputs, or its error if it did not complete, in the order they ran."""
        await self._ended_within(timeout)
        found: list[O_co | JobError] = []
        for item_id in self.item_ids:
            try:
                found.append(await self._outputs_of(item_id))
            except JobError as error:
                found.append(error)
        return found

    async def items(self) -> list[QueueItem]:
        """Return the queue items, with timings and sessions, as the server has them now."""
        return [await self._item(item_id) for item_id in self.item_ids]

    async def position(self) -> int | None:
        """Return how many items run before the first one of these: 0 while it runs, `None` once it has ended."""
        return await self.client.queue.position(self.item_ids[0])

    async def timings(self) -> Timings:
        """Return when the first item was created and started, and when the last one ended; `None` for what is still to come."""
        return Timings.spanning([item.timings for item in await self.items()])

    async def cleanup_inputs(self) -> Removal:
        """Delete the images and videos that this job uploaded as its inputs, unless another run still uses them."""
        return await self.uploads.remove(self.client)

    async def cleanup_outputs(
        self, *, delete_images: bool = True, delete_from_board: bool = False, check_other_items: bool = True
    ) -> Removal:
        """Delete the images and videos that the items made; see `WorkflowOutputs.cleanup_outputs` for what is kept."""
        return await remove_outputs(
            self.client,
            await self.items(),
            delete_images=delete_images,
            delete_from_board=delete_from_board,
            check_other_items=check_other_items,
        )

    async def cleanup_boards(self) -> Removal:
        """Delete the boards that `create_boards` created for this job, unless they hold images of others.

        This job's own images stay, unless `cleanup_outputs` deletes them first.
        """
        return await remove_boards(self.client, self._prepared, await self._known_items())

    async def cleanup_queue_items(self) -> Removal:
        """Remove the items from the queue, cancelling those that have not ended. Their images stay."""
        return await self.client.queue.delete(self.item_ids)

    async def clean_up(self, targets: Iterable[CleanupTarget], *, timeout: float | None = None) -> Removal:
        """Delete several of the above within `timeout` seconds. What could not be deleted is in `failed`, with the reason.

        Raises no `ServerError`.
        """
        deadline, removal, wanted = Deadline(timeout), Removal(), cleanup_targets(targets)
        steps = {
            "outputs": self.cleanup_outputs,
            "boards": self.cleanup_boards,
            "inputs": self.cleanup_inputs,
            "queue_items": self.cleanup_queue_items,
        }
        for name, step in steps.items():
            if name in wanted:
                try:
                    async with deadline.within("it was not deleted"):
                        removal += await step()
                except ServerError as error:
                    removal += Removal(failed={name: str(error)})
        return removal

    async def close(self) -> None:
        """Stop following the job. The server goes on with it."""
        _kept.discard(self)
        await super().close()

    async def _take_back(self) -> None:
        """Cancel a job that nobody has, because an interrupt came together with it; delete what was uploaded for it."""
        async with self:
            pass
        await self.clean_up(("boards", "inputs"), timeout=constants.CLEANUP_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if not self.is_done:
            await self._cancel_quietly()
        await self.close()

    async def _ended_within(self, timeout: float | None) -> None:
        if timeout is not None:
            await self.wait(timeout)

    async def _known_items(self) -> list[QueueItem]:
        """Return the items that are still in the queue or were fetched before."""
        found: list[QueueItem] = []
        for item_id in self.item_ids:
            with contextlib.suppress(NotFoundError):
                found.append(await self._item(item_id))
        return found


def overall_status(statuses: Iterable[str]) -> str:
    """Return one status for several items: the one that says most about what is still to come, unknown ones first."""
    found = set(statuses)
    unknown = sorted(found.difference(_STATUS_ORDER))
    return next((status for status in (*_STATUS_ORDER[:3], *unknown, *_STATUS_ORDER[3:]) if status in found), "pending")


async def _called(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function on the loop that awaits it."""
    return call(*args, **kwargs)
