"""The dask workers that run the items of a sweep, each beside a server: in this process, or in a cluster of the caller's.

A `ServerItem` goes to a worker, `run` runs it there, and its `Outcome` comes back. `Cluster` has the workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

from invokeai_gen.core.batch import Binding, Values
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.request import build_request
from invokeai_gen.runtime.called import renewed
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.options import SubmitOptions
from invokeai_gen.runtime.resolve import resolve_board
from invokeai_gen.runtime.runner import enqueue
from invokeai_gen.server import background
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.client import AsyncInvokeAIClient, shared_client
from invokeai_gen.server.errors import ConnectionFailedError, JobDeletedError, NotFoundError, ServerError
from invokeai_gen.server.run_errors import EnqueueUncertainError, ValueResolutionError
from invokeai_gen.server.status_errors import RejectedError
from invokeai_gen.server.uploads import MediaKind, Uploads
from invokeai_gen.sweeps.batching import Data, binding_of
from invokeai_gen.sweeps.layout import resolve_columns
from invokeai_gen.sweeps.results import DELETED, slim
from invokeai_gen.sweeps.state import SweepState

GONE: Final = (ConnectionFailedError, EnqueueUncertainError)
"""Errors that mean that a server is gone."""

_LOCAL: Final = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Options of the cluster in this process; dask opens a port for its dashboard even if that is off."""


@dataclass(frozen=True, slots=True)
class ServerItem:
    """One item of a sweep, with everything a worker needs to run it besides the plan."""

    key: str
    """The key of the sweep."""
    index: int
    batch_id: str
    values: Mapping[Binding, Any]
    data: Sequence[dict[str, JsonValue]]
    """The item's values of the workflow's own batch nodes, as batch data."""
    places: Mapping[Binding, tuple[int, int]]
    """The place of each of these in the list of its batch node, and the length of that list."""
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

        `varying` are the labels of the inputs that change. A rejected request says nothing about other items.
        """
        if isinstance(self.error, ValueResolutionError):
            return not {error.label for error in (self.error, *self.error.others)} <= {*varying}
        if isinstance(self.error, ParamsError):  # an input that a called workflow does not have on this server
            return not {problem.label for problem in self.error.problems} <= {*varying}
        return self.is_gone or not isinstance(self.error, RejectedError)


_sweeps: WeakValueDictionary[str, SweepState] = WeakValueDictionary()
"""The sweeps of this process by their keys, for items that run in it; a worker of a cluster has none."""
_stopped: set[str] = set()
"""Keys of sweeps that were canceled."""


def new_key(sweep: SweepState) -> str:
    """Return a key for what a sweep sends from now on: a worker starts no more items of a key that was stopped."""
    key = str(uuid.uuid4())
    _sweeps[key] = sweep
    return key


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


async def run(item: ServerItem, plan: WorkflowPlan, url: str) -> Outcome:
    """Run an item on a server: prepare it, enqueue it, and follow it to its end."""
    if item.key in _stopped:
        return Outcome()
    sweep, client = _sweeps.get(item.key), _client(item.key, url)
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
        # Before it was in the queue, 404 means that this is not an InvokeAI server, or that it lacks the queue.
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
        data=_own_data(item, plan, values),
        batch_id=item.batch_id,
        prepend=options.get("prepend", False),
    )


def _own_data(item: ServerItem, plan: WorkflowPlan, values: Values) -> Data:
    """Return the batch data of an item, with the names that images of a list have on the server of `values`."""
    lists = {
        target: values.get((batch.node_id, batch.field_name))
        for batch in plan.batches
        if batch.generator_node_id is None
        for target in batch.targets
    }
    columns = []
    for column in item.data:
        listed, (place, _) = lists.get(binding_of(column)), item.places[binding_of(column)]
        columns.append({**column, "items": [listed[place]]} if isinstance(listed, list) else column)
    return [columns] if columns else []


def _client(key: str, url: str) -> AsyncInvokeAIClient:
    sweep = _sweeps.get(key)
    return shared_client(url) if sweep is None else sweep.clients[url]


@contextlib.contextmanager
def _own_cluster() -> Iterator[tuple[Any, Callable[[str], None]]]:
    """Yield the dask client of a cluster inside this process, and a function that starts a worker for a server."""
    distributed: Any = importlib.import_module("distributed")
    scheduler = {"cls": distributed.Scheduler, "options": {"protocol": "inproc://", **_LOCAL}}
    workers: list[Any] = []
    with (
        distributed.SpecCluster({}, scheduler, silence_logs=logging.CRITICAL) as cluster,
        distributed.Client(cluster, set_as_default=False) as dask,
    ):

        async def start(url: str) -> None:
            workers.append(await distributed.Worker(cluster.scheduler_address, name=url, nthreads=1, **_LOCAL))

        async def stop() -> None:
            await asyncio.gather(*(worker.close() for worker in workers))

        try:
            yield dask, lambda url: cluster.sync(start, url)
        finally:
            cluster.sync(stop)


class Cluster:
    """A dask cluster with a worker for each server. What blocks is called in threads."""

    def __init__(self, plan: WorkflowPlan, dask: Any) -> None:
        """`dask` is the client of the caller's cluster; `None` for one inside this process, which `close` stops."""
        self.is_own = dask is None
        with contextlib.ExitStack() as stack:
            own = stack.enter_context(_own_cluster()) if self.is_own else (dask, None)
            self._dask: Any = own[0]
            self._start: Callable[[str], None] | None = own[1]
            # Sent once; dask recreates it if the worker that holds it goes away.
            self._plan = self._dask.submit(hold, plan, pure=False)
            self._stack = stack.pop_all()
        self._started: set[str] = set()
        self._addresses: dict[str, str] = {}
        """The worker of each server."""
        self._ended: dict[str, asyncio.Event] = {}
        """Set when the item that a server runs has ended, or its worker is gone."""

    def close(self) -> None:
        """Stop the cluster inside this process."""
        self._stack.close()

    async def servers(self, joining: Iterable[str]) -> set[str]:
        """Return the servers that have a worker now; in this process, workers are started for those in `joining`."""
        present = await in_thread(self._find, joining)
        for url in self._ended.keys() - present:
            self._ended[url].set()
        return present

    def _find(self, joining: Iterable[str]) -> set[str]:
        for url in joining:
            if self._start is not None and url not in self._started:
                self._started.add(url)
                self._start(url)
        info = self._dask.scheduler_info(-1)
        while len(info["workers"]) < info.get("n_workers", 0):
            # dask refreshes its totals now and then, and may return those, which list no workers.
            info = self._dask.scheduler_info(-1)
        workers = info["workers"]
        if self.is_own:
            self._addresses = {str(worker["id"]): address for address, worker in workers.items()}
        else:
            known = {url: address for url, address in self._addresses.items() if address in workers}
            new = [address for address in workers if address not in known.values()]
            urls = self._dask.run(server_of_worker, workers=new) if new else {}
            self._addresses = known | {url: address for address, url in urls.items()}
        return {*self._addresses}

    async def run(self, item: ServerItem, url: str) -> Outcome:
        """Run an item on the worker of a server."""
        loop = asyncio.get_running_loop()
        ended = self._ended[url] = asyncio.Event()
        try:
            submit = partial(self._dask.submit, run_on_worker, item, self._plan, pure=False, retries=0)
            future = await in_thread(submit, workers=[self._addresses[url]])
            future.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
            await ended.wait()
            if not future.done():  # the machine of the worker is gone
                future.cancel()
                return Outcome(error=ConnectionFailedError(f"the dask worker of {url} is gone"))
            outcome: Outcome = await in_thread(future.result)
        except Exception as error:  # noqa: BLE001 - the worker died, or could not load what it was sent
            return Outcome(error=ConnectionFailedError(f"the dask worker of {url} failed: {error!r}"))
        finally:
            del self._ended[url]
        return outcome
