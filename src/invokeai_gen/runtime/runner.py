"""Run a workflow: from values to a request, from the request to a job, from the job to its outputs."""

from __future__ import annotations

import asyncio
import importlib
import uuid
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from invokeai_gen.core.json_writing import plain_values
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.core.request import CALL_SAVED_WORKFLOW, build_request
from invokeai_gen.core.terminal import wants_progress
from invokeai_gen.loading import load
from invokeai_gen.runtime import decoding as decoding  # for the outputs: an event loop must not wait for its import
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server import constants
from invokeai_gen.server.background import bridge, in_thread, loop
from invokeai_gen.server.client import AsyncInvokeAIClient, ClientFacade, core_of
from invokeai_gen.server.deadline import Deadline
from invokeai_gen.server.errors import JobDeletedError, NotFoundError, StatusError
from invokeai_gen.server.run_queue import batch_size
from invokeai_gen.server.status_watch import StatusWatch, is_final

if TYPE_CHECKING:
    from invokeai_gen.core.batch import Values
    from invokeai_gen.runtime.cleanup import Preparations
    from invokeai_gen.runtime.options import CleanupTarget, RunOptions, SubmitOptions
    from invokeai_gen.server.events import Callbacks
    from invokeai_gen.server.records import Enqueued, QueueItem

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)
O_co = TypeVar("O_co", bound=WorkflowOutputs, covariant=True)
T = TypeVar("T")
AnyClient: TypeAlias = AsyncInvokeAIClient | ClientFacade
_FULL_JOB: Final = "invokeai_gen.runtime.async_job"
_OTHER_LOOPS: Final = "invokeai_gen.server.other_loops"


@dataclass(frozen=True, slots=True)
class Runner(Generic[P, O]):
    """Runs the workflow of a plan: the steps behind the methods of `RunnableWorkflow`."""

    plan: WorkflowPlan
    params_type: type[P]
    outputs: type[O]

    async def run(self, params: P, client: AnyClient | None, timeout: float | None, options: RunOptions) -> O:
        """Submit the workflow, wait for its only queue item, and return the outputs."""
        return (await self.run_all(params, client, timeout, options, only_one=True))[0]

    async def run_all(
        self, params: P, client: AnyClient | None, timeout: float | None, options: RunOptions, *, only_one: bool = False
    ) -> list[O]:
        """Submit the workflow, wait for it, and return the outputs of every queue item.

        `timeout` limits all of it. After an error or a timeout, cancelling and clean-up may take `CANCEL_TIMEOUT` and
        `CLEANUP_TIMEOUT` seconds more.
        """
        deadline = Deadline(timeout)
        submit: SubmitOptions = {}
        callbacks: Callbacks = {}
        cleanup: Collection[CleanupTarget] = ()
        if options:
            known = await load("invokeai_gen.runtime.options")
            submit, callbacks, cleanup = known.run_options(options)
        is_shown = wants_progress(options.get("progress"))
        is_watched, display, cancel = bool(callbacks) or is_shown, None, options.get("cancel_on_interrupt", True)
        # Loaded before anything is sent: a run that was cancelled between enqueue and wait would leave its items there.
        if is_watched:
            await load(_FULL_JOB)
        if is_shown:
            progress = await load("invokeai_gen.runtime.progress")
            display = partial(progress.Display, await in_thread(progress.screen, self.plan.info.name))  # loads rich
        async with deadline.within("the server did not confirm that the workflow is in the queue"):
            job = await self.start(params, client, submit, only_one=only_one, cancel=cancel, keeps_events=is_watched)
        try:
            if is_watched:
                job = await job._full()
            on_timeout = options.get("cancel_on_timeout", True)
            wait = partial(job.wait_until, deadline, cancel_on_timeout=on_timeout, cancel_on_interrupt=cancel)
            if display is None:
                await wait(callbacks)
            else:
                with display(len(job.item_ids)) as shown:
                    await wait(shown.wrapped(callbacks))
            late = f"queue item {job.item_ids[0]} has ended, but its outputs could not be read"
            async with deadline.within(late, job.item_ids[0]):
                outputs = await job.read_outputs()
        except BaseException as error:
            if cleanup:
                removal = await (await job._full()).clean_up(cleanup, timeout=constants.CLEANUP_TIMEOUT)
                importlib.import_module("invokeai_gen.runtime.cleanup").note_what_is_left(error, removal)
            raise
        finally:
            await job.close()
        if cleanup:
            left = deadline.left
            limit = None if left is None else max(left, constants.CLEANUP_TIMEOUT)
            removal = await (await job._full()).clean_up(cleanup, timeout=limit)
            for output in outputs:
                output.cleanup = removal
        return outputs

    async def start(
        self,
        params: P,
        client: AnyClient | None,
        options: SubmitOptions,
        *,
        only_one: bool = False,
        cancel: bool = True,
        keeps_events: bool = True,
    ) -> RunningJob[O]:
        """Put the workflow into the queue, after uploading and looking up what its values need.

        Anything that was uploaded or created is deleted again if the workflow does not get into the queue. With
        `cancel`, so are the queue items themselves if the caller is cancelled meanwhile.
        """
        client = core_of(client)
        await self.check(params, options)
        values, preparations = await self._resolved(params, client, options)
        try:
            request = await self.request(values, client, options, batch_id=str(uuid.uuid4()))
            batch = request["batch"]
            if only_one and (size := batch_size(batch)) != 1:
                run_errors = await load("invokeai_gen.server.run_errors")
                raise run_errors.SeveralItemsError(size)
            watch: StatusWatch = (
                await client.follow(batch["batch_id"], self.plan.node_labels)
                if keeps_events
                else await client.follow_status(batch["batch_id"])
            )
            enqueued = await enqueue(self.plan, request, client, watch, cancel=cancel)
            # Nothing is awaited from here on: what is in the queue has its job.
            loop().call_soon_threadsafe(watch.expect, enqueued.item_ids)
        except BaseException as error:
            if preparations is not None:
                await importlib.import_module(_OTHER_LOOPS).unbroken(preparations.undo(client, error))
            raise
        ids, plan, outputs = enqueued.item_ids, self.plan, self.outputs
        return RunningJob(client, ids, watch, plan=plan, outputs=outputs, params=params, preparations=preparations)

    async def check(self, params: WorkflowParams, options: SubmitOptions) -> None:
        """Raise `ParamsError` for the `Params` of another workflow, and what `check_options` raises."""
        if options:
            known = await load("invokeai_gen.runtime.options")
            known.check_options(options, known.SubmitOptions.__annotations__)
        if not isinstance(params, self.params_type):
            from invokeai_gen.core.problems import ParamsError, Problem
            from invokeai_gen.texts import shown

            wanted = f"{self.params_type.__module__}.{self.params_type.__qualname__}"
            raise ParamsError([Problem("", f"this workflow takes {wanted}, not {shown(params)}")])

    async def _resolved(
        self, params: P, client: AsyncInvokeAIClient, options: SubmitOptions
    ) -> tuple[Values, Preparations | None]:
        """Return the values as JSON, and what was uploaded and created for them; many need neither."""
        given = params.values()
        if (plain := plain_values(self.plan, given)) is not None:
            return plain, None
        resolving = await load("invokeai_gen.runtime.resolve")
        found: tuple[Values, Preparations] = await resolving.resolve(self.plan, given, client, **options)
        return found

    async def request(
        self, values: Values, client: AsyncInvokeAIClient, options: SubmitOptions, *, batch_id: str | None = None
    ) -> dict[str, JsonValue]:
        """Return the request for values that are JSON, after asking the server for what it calls and generates."""
        plan, auto_board_id = self.plan, None
        if any(node.type == CALL_SAVED_WORKFLOW for node in plan.nodes):
            called = await load("invokeai_gen.runtime.called")
            plan = await called.renewed(plan, values, client)
        if (board := options.get("auto_board")) is not None:
            resolving = await load("invokeai_gen.runtime.resolve")
            auto_board_id = await resolving.resolve_board(client, board)
        data: list[list[dict[str, JsonValue]]] = []
        if self.plan.batches:
            batches = await load("invokeai_gen.core.batch")
            data = await batches.own_batches(self.plan, values, client.ask)
        return build_request(
            plan,
            values,
            runs=options.get("runs", 1),
            auto_board_id=auto_board_id,
            data=data,
            batch_id=batch_id,
            prepend=options.get("prepend", False),
        )


class RunningJob(Generic[O_co]):
    """One submitted workflow: waited for and read. `AsyncJob` can do more."""

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
        return (await load(_FULL_JOB)).AsyncJob.of(self)

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


async def enqueue(
    plan: WorkflowPlan,
    request: Mapping[str, JsonValue],
    client: AsyncInvokeAIClient,
    watch: StatusWatch,
    *,
    cancel: bool,
    may_clip: bool = False,
) -> Enqueued:
    """Enqueue an already watched batch; drop the watch if it fails.

    With `cancel`, a batch that the server still accepts after the caller was cancelled is taken out of the queue
    again. Raises what `AsyncQueue.enqueue` raises; a rejection names labels instead of ids.
    """
    sending = asyncio.create_task(client.run_queue.enqueue(request, may_clip=may_clip))
    try:
        return await asyncio.shield(sending)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            if cancel:
                taking_back = asyncio.create_task(_take_back(client, sending, watch.batch_id))
                waiting = asyncio.wait([taking_back], timeout=constants.CANCEL_TIMEOUT)
                await importlib.import_module(_OTHER_LOOPS).unbroken(waiting)
            else:
                sending.cancel()
        await client.forget(watch)
        if isinstance(error, StatusError) and error.status == 422:
            failures = await load("invokeai_gen.runtime.failures")
            raise failures.in_labels(error, plan) from None
        raise


async def _take_back(client: AsyncInvokeAIClient, sending: asyncio.Task[Enqueued], batch_id: str) -> None:
    queues = await load("invokeai_gen.server.queue")
    await queues.take_back(client.run_queue, sending, batch_id)


async def _finished(watch: StatusWatch) -> None:
    await asyncio.shield(watch.done)
