"""Running one item of a sweep on one server. Runs on a dask worker: in this process, or on a machine of a cluster."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import WeakValueDictionary

from invokeai_gen.core.batch import Binding
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.request import build_request
from invokeai_gen.runtime.called import renewed
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.options import SubmitOptions
from invokeai_gen.runtime.resolve import resolve_board
from invokeai_gen.runtime.runner import enqueue
from invokeai_gen.server import background
from invokeai_gen.server.client import AsyncInvokeAIClient, core_of, shared_client
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    JobDeletedError,
    NotFoundError,
    ServerError,
)
from invokeai_gen.server.resolution_errors import ValueResolutionError
from invokeai_gen.server.run_errors import EnqueueUncertainError
from invokeai_gen.server.status_errors import RejectedError
from invokeai_gen.server.uploads import MediaKind, Uploads
from invokeai_gen.sweeps.batching import Data
from invokeai_gen.sweeps.layout import resolve_columns
from invokeai_gen.sweeps.results import DELETED, slim
from invokeai_gen.sweeps.state import SweepState

GONE: Final = (ConnectionFailedError, EnqueueUncertainError)
"""Errors that mean that a server is gone."""


@dataclass(frozen=True, slots=True)
class ServerItem:
    """One item of a sweep, with everything a worker needs to run it besides the plan."""

    key: str
    """Of the sweep."""
    index: int
    batch_id: str
    values: Mapping[Binding, Any]
    data: Data
    """The item's values of the workflow's own batch nodes."""
    options: SubmitOptions
    may_be_sent: bool = False
    """Whether an earlier process may have sent it to this server."""
    uploads: Mapping[tuple[MediaKind, str], str] = field(default_factory=dict)
    """For a worker of a cluster: what the sweep has uploaded to this server already (see `Uploads.known`)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an item ended on a server."""

    status: str = ""
    """Its final status; empty if it did not run there."""
    item_id: int | None = None
    item: Mapping[str, Any] | None = None
    """The queue item, as JSON."""
    error: Exception | None = None
    """Why it did not run there."""
    was_interrupted: bool = False
    """Whether the server could not be reached for a while."""
    uploads: Mapping[tuple[MediaKind, str], str] = field(default_factory=dict)
    """What a worker of a cluster has uploaded for it."""
    boards: tuple[str, ...] = ()
    """The boards that a worker of a cluster has created for it."""

    @property
    def is_gone(self) -> bool:
        """Return whether the server went away."""
        return isinstance(self.error, GONE)

    def is_unfit(self, varying: Collection[str]) -> bool:
        """Return whether the server cannot run any item: it is away, or lacks a value that all items have.

        `varying` are the labels of the inputs that change. A request that is rejected as a whole says nothing of others.
        """
        if isinstance(self.error, ValueResolutionError):
            return not {error.label for error in (self.error, *self.error.others)} <= {*varying}
        if isinstance(self.error, ParamsError):  # an input that a called workflow does not have on this server
            return not {problem.label for problem in self.error.problems} <= {*varying}
        return self.is_gone or not isinstance(self.error, RejectedError)


sweeps: WeakValueDictionary[str, SweepState] = WeakValueDictionary()
"""The sweeps of this process by their key, for items that run in it; a worker of a cluster has none."""
_stopped: set[str] = set()
"""Keys of sweeps that were canceled."""


def hold(plan: WorkflowPlan) -> WorkflowPlan:
    """Return a plan: a task whose result every other task can use."""
    return plan


def run_on_worker(item: ServerItem, plan: WorkflowPlan) -> Outcome:
    """Run an item on the server of the dask worker that this is called on."""
    return background.run(run(item, plan, server_of_worker()))


def server_of_worker(dask_worker: Any = None) -> str:
    """Return the server of this dask worker: its name or a resource, if that is an address, else `INVOKEAI_URL`.

    `Client.run` passes the worker; a task finds its own.
    """
    distributed: Any = importlib.import_module("distributed")
    worker = dask_worker or distributed.get_worker()
    names = [str(worker.name), *map(str, worker.state.total_resources)]
    return next((name for name in names if name.startswith(("http://", "https://"))), "") or shared_client().url


def stop_on_worker(key: str, batch_ids: list[str], dask_worker: Any = None) -> None:
    """Start no more items of a sweep in this process, and cancel these batches on the server of this worker."""
    background.run(stop(key, batch_ids, _client(key, server_of_worker(dask_worker))))


async def stop(key: str, batch_ids: list[str], client: AsyncInvokeAIClient) -> None:
    """Start no more items of a sweep in this process, and cancel these batches."""
    _stopped.add(key)
    await client.queue.cancel_batches(batch_ids)


def resume(key: str) -> None:
    """Let items of a sweep start again in this process."""
    _stopped.discard(key)


async def run(item: ServerItem, plan: WorkflowPlan, url: str) -> Outcome:
    """Run an item on a server: prepare it, enqueue it, and follow it to its end."""
    if item.key in _stopped:
        return Outcome()
    sweep, client = sweeps.get(item.key), _client(item.key, url)
    if sweep is not None:
        return await _run(item, plan, client, sweep.preparations[url], sweep)
    made = Preparations(Uploads(known={**item.uploads}))
    outcome = await _run(item, plan, client, made, None)
    new = {key: name for key, name in made.uploads.known.items() if key not in item.uploads}
    return replace(outcome, uploads=new, boards=tuple(made.boards))


async def _run(
    item: ServerItem, plan: WorkflowPlan, client: AsyncInvokeAIClient, made: Preparations, sweep: SweepState | None
) -> Outcome:
    item_id = None
    watch = await client.follow(item.batch_id, {}, keeps_events=False)
    try:
        item_ids = await client.queue.find_batch(item.batch_id) if item.may_be_sent else []
        if not item_ids:
            request = await _request(item, plan, client, made)
            if item.key in _stopped:
                return Outcome()
            item_ids = [*(await enqueue(plan, request, client, watch, cancel=True)).item_ids]
        item_id = item_ids[0]
        if sweep is not None:
            sweep.note_sent(item.index, client.url, item_id)
        if item.key in _stopped:  # while it was on its way, when there was nothing to cancel yet
            await client.queue.cancel_batches([item.batch_id])
        watch.expect((item_id,))
        await asyncio.shield(watch.done)
        found = slim(await client.queue.get(item_id))
        return Outcome(found.status, item_id, found.raw, was_interrupted=watch.was_interrupted)
    except (JobDeletedError, NotFoundError) as error:
        # Before it was in the queue, 404 means that this is no InvokeAI server, or has no such queue.
        return Outcome(error=error) if item_id is None else Outcome(DELETED, item_id)
    except (ServerError, ParamsError) as error:
        return Outcome(error=error)
    finally:
        await client.forget(watch)


async def _request(
    item: ServerItem, plan: WorkflowPlan, client: AsyncInvokeAIClient, made: Preparations
) -> dict[str, Any]:
    """Return the request of one item with the names of files, models and boards that this server has."""
    options = item.options
    given = {binding: [value] for binding, value in item.values.items()}
    found = await resolve_columns(plan, given, client, options, made)
    values = {binding: value for binding, (value,) in found.items()}
    return build_request(
        await renewed(plan, values, client),
        values,
        auto_board_id=await resolve_board(client, options.get("auto_board")),
        data=item.data,
        batch_id=item.batch_id,
        prepend=options.get("prepend", False),
    )


def _client(key: str, url: str) -> AsyncInvokeAIClient:
    sweep = sweeps.get(key)
    return core_of(shared_client(url)) if sweep is None else sweep.clients[url]
