"""How a workflow is run: from values to a request, from the request to a job, from the job to its outputs."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from invokeai_gen.runtime.async_job import CANCEL_TIME, AsyncJob, expect
from invokeai_gen.runtime.batch import batch_data, batch_items, check_items, queue_size, server_queries
from invokeai_gen.runtime.cleanup import Preparations, cleanup_targets
from invokeai_gen.runtime.failures import in_labels, node_labels
from invokeai_gen.runtime.options import WAIT_OPTIONS, RunOptions, SubmitOptions
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.params import WorkflowParams
from invokeai_gen.runtime.plan import JsonValue, WorkflowPlan
from invokeai_gen.runtime.problems import ParamsError, Problem, shown
from invokeai_gen.runtime.progress import Display
from invokeai_gen.runtime.request import build_request
from invokeai_gen.runtime.resolve import resolve, resolve_board
from invokeai_gen.server.background import bridge
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import RejectedError, ServerError, SeveralItemsError

O = TypeVar("O", bound=WorkflowOutputs)


@dataclass(frozen=True, slots=True)
class Runner(Generic[O]):
    """Runs the workflow of a plan; what stands behind the methods of `Workflow`."""

    plan: WorkflowPlan
    params_type: type[WorkflowParams]
    outputs: type[O]

    async def run(
        self,
        params: WorkflowParams,
        client: AsyncInvokeAIClient,
        timeout: float | None,
        options: RunOptions,
        *,
        only_one: bool,
    ) -> list[O]:
        """Submits the workflow, waits until it is done, and returns the outputs of every queue item."""
        waiting: dict[str, Any] = {key: value for key, value in options.items() if key in WAIT_OPTIONS}
        submitting = cast("SubmitOptions", {key: value for key, value in options.items() if key not in WAIT_OPTIONS})
        cleanup = cleanup_targets(waiting.pop("cleanup", ()))
        show = waiting.pop("progress", False)
        waiting = {"cancel_on_timeout": True, "cancel_on_interrupt": True, **waiting}
        interrupting = waiting["cancel_on_interrupt"]
        job = await self.submit(params, client, submitting, only_one=only_one, cancel=interrupting)
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

    async def submit(
        self,
        params: WorkflowParams,
        client: AsyncInvokeAIClient,
        options: SubmitOptions,
        *,
        only_one: bool = False,
        cancel: bool = True,
    ) -> AsyncJob[O]:
        """Puts the workflow into the queue, with all that it needs there beforehand."""
        unknown = sorted(set(options).difference(SubmitOptions.__annotations__))
        if unknown:
            raise TypeError(
                f"unknown option {', '.join(map(repr, unknown))}; {', '.join(SubmitOptions.__annotations__)}"
            )
        if not isinstance(params, self.params_type):
            wanted = f"{self.params_type.__module__}.{self.params_type.__qualname__}"
            raise ParamsError([Problem("", f"this workflow takes {wanted}, not {shown(params)}")])
        runs = options.get("runs", 1)
        if runs < 1:
            raise ParamsError([Problem("runs", f"runs is {runs}, but should be 1 or more")])
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
        except BaseException:
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
        check_items(plan, values, items)
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
            outputs=self.outputs,
            preparations=preparations,
        )
