"""How a workflow is run: from values to a request, from the request to a job, from the job to its outputs."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

from invokeai_gen.core.batch import Binding, batch_data, batch_items, check_items, server_queries
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.core.problems import ParamsError, Problem, shown
from invokeai_gen.core.request import build_request
from invokeai_gen.js_json import Unset
from invokeai_gen.runtime.async_job import CANCEL_TIMEOUT, AsyncJob, expect, in_time, wait_since
from invokeai_gen.runtime.cleanup import Preparations, cleanup_targets, note_what_is_left
from invokeai_gen.runtime.failures import in_labels, node_labels
from invokeai_gen.runtime.options import WAIT_OPTIONS, RunOptions, SubmitOptions
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.resolve import resolve, resolve_board
from invokeai_gen.server.background import bridge
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import RejectedError, ServerError, SeveralItemsError
from invokeai_gen.server.follow import Watch
from invokeai_gen.server.queue import batch_size
from invokeai_gen.server.records import Enqueued

O = TypeVar("O", bound=WorkflowOutputs)
CLEANUP_TIMEOUT: Final = 30.0
"""Seconds that cleaning up may take after an error."""


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
        began = asyncio.get_running_loop().time()
        async with in_time(began, timeout, "the workflow was not put into the queue"):
            job = await self.submit(params, client, submitting, only_one=only_one, cancel=interrupting)
        try:
            if show:
                from invokeai_gen.runtime.progress import Display  # needs rich

                with Display(self.plan.info.name, len(job.item_ids)) as display:
                    await wait_since(job, began, timeout, **display.wrapped(waiting))
            else:
                await wait_since(job, began, timeout, **waiting)
            late = f"queue item {job.item_ids[0]} has ended, but its outputs could not be read"
            async with in_time(began, timeout, late, job.item_ids[0]):
                outputs = await job.all_outputs()
        except BaseException as error:
            note_what_is_left(error, await job.clean_up(cleanup, timeout=CLEANUP_TIMEOUT))
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
        self.check(params, options)
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
        except BaseException as error:
            await preparations.undo(client, error)
            raise

    def check(self, params: WorkflowParams, options: SubmitOptions) -> None:
        """Raise `ParamsError` for the `Params` of another workflow, and what `check_options` raises."""
        check_options(options, SubmitOptions.__annotations__)
        if not isinstance(params, self.params_type):
            wanted = f"{self.params_type.__module__}.{self.params_type.__qualname__}"
            raise ParamsError([Problem("", f"this workflow takes {wanted}, not {shown(params)}")])

    async def _request(
        self,
        values: Mapping[Binding, JsonValue | Unset],
        client: AsyncInvokeAIClient,
        options: SubmitOptions,
        *,
        only_one: bool,
    ) -> dict[str, JsonValue]:
        request = build_request(
            self.plan,
            values,
            runs=options.get("runs", 1),
            auto_board_id=await resolve_board(client, options.get("auto_board")),
            data=await own_batches(self.plan, values, client),
            batch_id=str(uuid.uuid4()),
            prepend=options.get("prepend", False),
        )
        size = batch_size(request["batch"])
        if only_one and size != 1:
            raise SeveralItemsError(size)
        return request

    async def _enqueue(
        self, request: dict[str, JsonValue], client: AsyncInvokeAIClient, preparations: Preparations, *, cancel: bool
    ) -> AsyncJob[O]:
        batch_id = request["batch"]["batch_id"]
        watch = await client.follow(batch_id, node_labels(self.plan))
        enqueued = await enqueue(self.plan, request, client, watch, cancel=cancel)
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


async def own_batches(
    plan: WorkflowPlan, values: Mapping[Binding, JsonValue | Unset], client: AsyncInvokeAIClient
) -> list[list[dict[str, JsonValue]]]:
    """The batch data of the workflow's batch nodes, after asking the server for what only it can generate.

    Raises `ParamsError` for lists that are empty, of unequal length, or hold what their fields cannot.
    """
    generated: dict[str, list[JsonValue]] = {}
    for query in server_queries(plan, values):
        answer = await client.ask(query.method, query.path, params=dict(query.params or {}), json=query.json)
        generated[query.node_id] = query.items(answer)
    items = batch_items(plan, values, generated)
    check_items(plan, values, items)
    return batch_data(plan, values, items)


async def enqueue(
    plan: WorkflowPlan,
    request: Mapping[str, JsonValue],
    client: AsyncInvokeAIClient,
    watch: Watch,
    *,
    cancel: bool,
    may_clip: bool = False,
) -> Enqueued:
    """Sends a request whose batch is followed already; stops following it where it does not come about.

    `cancel` takes it out of the queue again when the caller is canceled meanwhile. Raises what `AsyncQueue.enqueue`
    raises, a rejection told in labels.
    """
    sending = asyncio.create_task(client.queue.enqueue(request, may_clip=may_clip))
    try:
        return await asyncio.shield(sending)
    except BaseException as error:
        await client.forget(watch)
        if isinstance(error, RejectedError):
            raise in_labels(error, plan) from None
        if isinstance(error, asyncio.CancelledError):
            if cancel:
                await asyncio.wait(
                    [asyncio.create_task(_take_back(sending, watch.batch_id, client))], timeout=CANCEL_TIMEOUT
                )
            else:
                sending.cancel()
        raise


async def _take_back(sending: asyncio.Task[Enqueued], batch_id: str, client: AsyncInvokeAIClient) -> None:
    """Cancels a batch that is being enqueued, once it is: the server goes on with a request that is broken off."""
    await asyncio.gather(sending, return_exceptions=True)
    with contextlib.suppress(ServerError):
        await client.queue.cancel_batches([batch_id])


def check_options(given: Mapping[str, object], known: Iterable[str]) -> None:
    """Raises `TypeError` for a keyword that is no option, and `ParamsError` for a number of runs below 1."""
    unknown = sorted(set(given).difference(known))
    if unknown:
        raise TypeError(f"unknown option {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    for name, allowed in (("errors", ("raise", "collect")), ("resolve_models", ("auto", "off"))):
        if given.get(name, allowed[0]) not in allowed:
            wanted = " or ".join(map(repr, allowed))
            raise ParamsError([Problem(name, f"{name} is {shown(given[name])}, but should be {wanted}")])
    runs = given.get("runs", 1)
    if not isinstance(runs, int) or runs < 1:
        raise ParamsError([Problem("runs", f"runs is {shown(runs)}, but should be 1 or more")])
