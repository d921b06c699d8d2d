"""`Workflow`: a plan that can be run; what stands behind `run`, `arun`, `submit` and `asubmit` of a generated module."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, Self, TypedDict, TypeVar, Unpack, cast

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.runtime.async_job import CANCEL_TIME, AsyncJob, expect
from invokeai_gen.runtime.batch import batch_data, batch_items, check_items, queue_size, server_queries
from invokeai_gen.runtime.callbacks import Callbacks
from invokeai_gen.runtime.cleanup import CleanupTarget, Preparations, cleanup_targets
from invokeai_gen.runtime.failures import in_labels, node_labels
from invokeai_gen.runtime.job import Job
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.params import WorkflowParams
from invokeai_gen.runtime.plan import JsonValue, WorkflowPlan
from invokeai_gen.runtime.progress import Display
from invokeai_gen.runtime.request import build_request
from invokeai_gen.runtime.resolve import ResolveModels, resolve, resolve_board
from invokeai_gen.runtime.values import BoardRef
from invokeai_gen.server import background
from invokeai_gen.server.background import bridge
from invokeai_gen.server.client import AsyncInvokeAIClient, InvokeAIClient, core_of
from invokeai_gen.server.errors import RejectedError, ServerError, SeveralItemsError

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)


class PlanFileError(InvokeAIGenError):
    """The file with a generated module's plan is missing, or no plan that this version can execute."""


class SubmitOptions(TypedDict, total=False):
    """How a workflow is submitted."""

    runs: int
    """How often, 1 unless given; each run is a queue item (or, with batch nodes, a set of them) of its own."""
    auto_board: BoardRef | str | None
    """The board that `auto` stands for, by name or id; no board unless given."""
    create_boards: bool
    """Make boards that are given by a name that no board has, instead of raising an error."""
    resolve_models: ResolveModels
    """`"auto"` finds each model on this server by key, hash or name; `"off"` sends it as it is given."""
    prepend: bool
    """Put it before everything that waits in the queue."""


class WaitOptions(Callbacks, total=False):
    """How a run is waited for, beside the callbacks."""

    cancel_on_timeout: bool
    """Cancel the queue item when the time is over; on unless switched off."""
    cancel_on_interrupt: bool
    """Cancel the queue item on Ctrl-C and when the waiting task is canceled; on unless switched off."""
    cleanup: Iterable[CleanupTarget]
    """What to delete at the end, in whichever way it comes: `"inputs"` (uploads), `"outputs"`, `"boards"` (those
    that `create_boards` made), `"queue_items"`. What came of it is in `cleanup` of the outputs; after an error, what
    could not be deleted is noted on that error."""
    progress: bool
    """Show progress in the terminal or notebook; off unless switched on."""


class RunOptions(SubmitOptions, WaitOptions, total=False):
    """How a workflow is submitted and waited for."""


_WAIT_OPTIONS: Final = frozenset(WaitOptions.__annotations__) | frozenset(Callbacks.__annotations__)


class Workflow(Generic[P, O]):
    """One workflow with its plan, its class of parameters and its class of outputs."""

    def __init__(self, plan: WorkflowPlan, *, params: type[P], outputs: type[O]) -> None:
        self._plan: WorkflowPlan | None = plan
        self._path: Path | None = None
        self.params_type = params
        self.outputs_type = outputs

    @classmethod
    def beside(cls, module_file: str, *, params: type[P], outputs: type[O]) -> Self:
        """The workflow whose plan is the JSON file beside a module, with the same stem; it is read on first use."""
        made = cls.__new__(cls)
        made._plan, made._path = None, Path(module_file).with_suffix(".json")
        made.params_type, made.outputs_type = params, outputs
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._plan.info.name if self._plan else str(self._path)!r})"

    @property
    def plan(self) -> WorkflowPlan:
        """Everything that is known of the workflow. Raises `PlanFileError` where its file cannot be used."""
        if self._plan is None:
            assert self._path is not None
            self._plan = read_plan(self._path)
        return self._plan

    def run(
        self,
        params: P,
        *,
        client: InvokeAIClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> O:
        """Submits the workflow, waits until it is done, and returns its outputs.

        `client` is by default one that is shared by all (`INVOKEAI_URL`, else http://localhost:9090); `timeout` is in
        seconds, without it there is no limit. Raises `ValueResolutionError`, `EnqueueError`, `JobFailedError`,
        `JobCanceledError`, `JobTimeoutError`, `ConnectionFailedError`, and `SeveralItemsError` for a batch, which is
        not submitted then: use `run_all`.
        """
        return background.run(self._run_one(params, core_of(client), timeout, options))

    async def arun(
        self,
        params: P,
        *,
        client: AsyncInvokeAIClient | InvokeAIClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> O:
        """Like `run`, to be awaited."""
        return await self._run_one(params, core_of(client), timeout, options)

    def run_all(
        self,
        params: P,
        *,
        client: InvokeAIClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> list[O]:
        """Like `run`, for batch nodes and several runs: the outputs of every queue item, in order."""
        return background.run(self._run_all(params, core_of(client), timeout, options))

    async def arun_all(
        self,
        params: P,
        *,
        client: AsyncInvokeAIClient | InvokeAIClient | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> list[O]:
        """Like `run_all`, to be awaited."""
        return await self._run_all(params, core_of(client), timeout, options)

    def submit(self, params: P, *, client: InvokeAIClient | None = None, **options: Unpack[SubmitOptions]) -> Job[O]:
        """Submits the workflow and returns at once, with a job to follow. Raises what `run` raises before it waits."""
        return Job(background.run(self._submit(params, core_of(client), options)))

    async def asubmit(
        self,
        params: P,
        *,
        client: AsyncInvokeAIClient | InvokeAIClient | None = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncJob[O]:
        """Like `submit`, to be awaited."""
        return await self._submit(params, core_of(client), options)

    def resume(self, item_id: int, *, client: InvokeAIClient | None = None) -> Job[O]:
        """The job of a queue item of this workflow that was submitted before, perhaps by another process."""
        return Job.resume(client, item_id, plan=self.plan, outputs=self.outputs_type)

    async def aresume(self, item_id: int, *, client: AsyncInvokeAIClient | InvokeAIClient | None = None) -> AsyncJob[O]:
        """Like `resume`, to be awaited."""
        return await AsyncJob.resume(client, item_id, plan=self.plan, outputs=self.outputs_type)

    async def _run_one(self, params: P, client: AsyncInvokeAIClient, timeout: float | None, options: RunOptions) -> O:
        return (await self._run_items(params, client, timeout, options, only_one=True))[0]

    async def _run_all(
        self, params: P, client: AsyncInvokeAIClient, timeout: float | None, options: RunOptions
    ) -> list[O]:
        return await self._run_items(params, client, timeout, options, only_one=False)

    async def _run_items(
        self, params: P, client: AsyncInvokeAIClient, timeout: float | None, options: RunOptions, *, only_one: bool
    ) -> list[O]:
        waiting: dict[str, Any] = {key: value for key, value in options.items() if key in _WAIT_OPTIONS}
        submitting = cast("SubmitOptions", {key: value for key, value in options.items() if key not in _WAIT_OPTIONS})
        cleanup = cleanup_targets(waiting.pop("cleanup", ()))
        show = waiting.pop("progress", False)
        waiting = {"cancel_on_timeout": True, "cancel_on_interrupt": True, **waiting}
        interrupting = waiting["cancel_on_interrupt"]
        job = await self._submit(params, client, submitting, only_one=only_one, cancel=interrupting)
        try:
            if show:
                with Display(self.plan.info.name, len(job.item_ids)) as display:
                    await job.wait(timeout, **display.wrapped(waiting))
            else:
                await job.wait(timeout, **waiting)
            outputs = await job.all_outputs()
        except BaseException as error:
            for name, reason in (await job.clean_up(cleanup)).failed.items():
                error.add_note(f"clean-up: {name} is still there: {reason}")
            raise
        finally:
            await job.close()
        if cleanup:
            removal = await job.clean_up(cleanup)
            for output in outputs:
                output.cleanup = removal
        return outputs

    async def _submit(
        self,
        params: P,
        client: AsyncInvokeAIClient,
        options: SubmitOptions,
        *,
        only_one: bool = False,
        cancel: bool = False,
    ) -> AsyncJob[O]:
        unknown = sorted(set(options).difference(SubmitOptions.__annotations__))
        if unknown:
            raise TypeError(
                f"unknown option {', '.join(map(repr, unknown))}; {', '.join(SubmitOptions.__annotations__)}"
            )
        plan = self.plan
        values, preparations = await resolve(
            plan,
            params.values(),
            client,
            resolve_models=options.get("resolve_models", "auto"),
            create_boards=options.get("create_boards", False),
        )
        try:
            request = await self._request(values, client, options, only_one=only_one)
            return await self._enqueue(request, client, preparations, cancel=cancel)
        except (InvokeAIGenError, asyncio.CancelledError):
            with contextlib.suppress(ServerError):
                await preparations.undo(client)
            raise

    async def _request(
        self,
        values: Mapping[tuple[str, str], Any],
        client: AsyncInvokeAIClient,
        options: SubmitOptions,
        *,
        only_one: bool,
    ) -> dict[str, JsonValue]:
        plan, runs = self.plan, options.get("runs", 1)
        generated: dict[str, list[JsonValue]] = {}
        for query in server_queries(plan, values):
            answer = await client.ask(query.method, query.path, params=dict(query.params or {}), json=query.json)
            generated[query.node_id] = query.items(answer)
        items = batch_items(plan, values, generated)
        check_items(plan, items)
        size = queue_size(batch_data(plan, values, items), runs)
        if only_one and size != 1:
            raise SeveralItemsError(size)
        return build_request(
            plan,
            values,
            runs=runs,
            auto_board_id=await resolve_board(client, options.get("auto_board")),
            items=items,
            batch_id=str(uuid.uuid4()),
            prepend=options.get("prepend", False),
        )

    async def _enqueue(
        self, request: dict[str, JsonValue], client: AsyncInvokeAIClient, preparations: Preparations, *, cancel: bool
    ) -> AsyncJob[O]:
        batch_id = request["batch"]["batch_id"]
        watch = await client.follow(batch_id, node_labels(self.plan))
        try:
            enqueued = await client.queue.enqueue(request)
        except RejectedError as error:
            await client.forget(watch)
            raise in_labels(error, self.plan) from None
        except asyncio.CancelledError:
            await client.forget(watch)
            if cancel:
                with contextlib.suppress(ServerError, TimeoutError):
                    await asyncio.wait_for(client.queue.cancel_batches([batch_id]), CANCEL_TIME)
            raise
        except BaseException:
            await client.forget(watch)
            raise
        await bridge(expect(watch, enqueued.item_ids))
        return AsyncJob(
            client,
            batch_id,
            enqueued.item_ids,
            watch,
            plan=self.plan,
            outputs=self.outputs_type,
            preparations=preparations,
        )


def read_plan(path: Path) -> WorkflowPlan:
    """The plan in a file that the generator wrote. Raises `PlanFileError` with what to do about it."""
    import json

    try:
        return WorkflowPlan.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PlanFileError(
            f"{path} is missing: it belongs to {path.with_suffix('.py').name} and holds its workflow. "
            "Generate the module again, or bring both files along when you move it."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanFileError(f"{path} is not the plan of a workflow that this version can run: {error}") from error
