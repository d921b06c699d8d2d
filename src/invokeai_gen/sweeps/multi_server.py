"""A sweep over several servers: each item goes to whichever is free. `dask.distributed` decides which that is.

Every server is a worker of a small cluster inside this process, with one item at a time in its queue. What a server that
goes away has not finished is run by the others; it has nothing waiting that it could run after all when it comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.core.request import build_request
from invokeai_gen.runtime.async_job import expect
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.resolve import resolve_board, resolve_columns
from invokeai_gen.runtime.runner import enqueue
from invokeai_gen.server import background
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    EnqueueUncertainError,
    JobDeletedError,
    NotFoundError,
    ServerError,
)
from invokeai_gen.server.records import QueueItem
from invokeai_gen.sweeps.batching import Group, own_items
from invokeai_gen.sweeps.results import DELETED, slim
from invokeai_gen.sweeps.space import Space
from invokeai_gen.sweeps.state import SweepState

if TYPE_CHECKING:
    from invokeai_gen.runtime.options import SweepOptions

_spreaders: WeakValueDictionary[str, MultiServer] = WeakValueDictionary()
"""For the tasks, which the workers know by their arguments alone."""

log = logging.getLogger("invokeai_gen")
_GONE: Final = (ConnectionFailedError, EnqueueUncertainError)


class MultiServer(SweepState):
    """Sends the items of a sweep to several servers, one at a time to each, and follows them."""

    def __init__(
        self,
        plan: WorkflowPlan,
        clients: Sequence[AsyncInvokeAIClient],
        space: Space[Any],
        groups: Sequence[Group],
        options: SweepOptions,
    ) -> None:
        super().__init__(space, groups, options.get("runs", 1))
        self.preparations: Mapping[str, Preparations] = {client.url: Preparations() for client in clients}
        """What was made on each server for the sweep."""
        self._plan = plan
        self._clients = {client.url: client for client in clients}
        self._space = space
        self._groups = groups
        self._options = options
        self._key = str(uuid.uuid4())
        self._url_of: dict[int, str] = {}
        self._items: dict[int, QueueItem] = {}
        """What has ended, read at once: its server may not be there later."""
        self._running: dict[str, tuple[AsyncInvokeAIClient, int]] = {}
        """Server and item of each batch that is under way."""
        self._abandoned: dict[str, list[str]] = {}
        """Batches on servers that went away, which must not run when these come back."""
        self._is_stopped = False
        self._thread: threading.Thread | None = None
        _spreaders[self._key] = self

    def is_cached(self, index: int) -> bool:
        return index in self._items

    async def items(self, indexes: Iterable[int]) -> dict[int, QueueItem]:
        return {index: self._items[index] for index in indexes if index in self._items}

    def client_of(self, index: int) -> AsyncInvokeAIClient:
        return self._clients.get(self._url_of.get(index, ""), next(iter(self._clients.values())))

    def begin(self, indexes: Iterable[int]) -> None:
        """Starts the cluster, which ends by itself when these items have ended."""
        self.failure, self._is_stopped = None, False
        self._thread = threading.Thread(
            target=self._coordinate, args=([*indexes],), name="invokeai-gen sweep", daemon=True
        )
        self._thread.start()

    async def again(self, *, deleted: bool = False) -> int:
        await self._join()
        for index in self.tally.lost(deleted=deleted):
            self.tally.reset(index)
        running = {index for _, index in self._running.values()}  # of a cluster that has ended with an error
        left = [index for index in range(len(self.tally.statuses)) if not self.tally.has_ended(index)]
        self.begin([index for index in left if index not in running])
        return len(left)

    async def cancel(self) -> None:
        """Sends nothing more, and cancels what runs."""
        self._is_stopped = True
        for index in range(len(self.tally.statuses)):
            self.tally.withdraw(index)
        running = [client.queue.cancel_batches([batch_id]) for batch_id, (client, _) in self._running.items()]
        answers = await asyncio.gather(*running, return_exceptions=True)  # each, even if one server is away
        self._changed.set()
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def close(self) -> None:
        """Sends nothing more and stops following."""
        self._is_stopped = True
        await self._join()
        self._end()

    # -- in the thread of the cluster -----------------------------------------------------------------------------------

    def _coordinate(self, indexes: Sequence[int]) -> None:
        try:
            self._map(indexes)
        except Exception as error:  # noqa: BLE001 - whoever waits for the sweep gets it
            self.failure = error
        finally:
            background.loop().call_soon_threadsafe(self._changed.set)

    def _map(self, indexes: Sequence[int]) -> None:
        """Has the cluster run all items, those of a server that goes away on the others."""
        from distributed import Client, Scheduler, SpecCluster, Worker, as_completed

        local = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}  # dask opens a port for its pages all the same
        workers = {url: {"cls": Worker, "options": {"name": url, "nthreads": 1, **local}} for url in self._clients}
        scheduler = {"cls": Scheduler, "options": {"protocol": "inproc://", **local}}
        with (
            SpecCluster(workers, scheduler, silence_logs=logging.CRITICAL) as cluster,
            Client(cluster, set_as_default=False) as dask,
        ):
            addresses = {worker["id"]: address for address, worker in dask.scheduler_info(-1)["workers"].items()}
            tasks = as_completed(
                [dask.submit(run_item, self._key, index, pure=False) for index in indexes], loop=dask.loop
            )
            for task in tasks:
                index, gone, error = task.result()
                if gone is None:
                    continue
                if gone in addresses:
                    log.warning("%s takes no further part in the sweep: %s", gone, error)
                    dask.retire_workers([addresses.pop(gone)])
                if not addresses:
                    raise error
                tasks.add(dask.submit(run_item, self._key, index, pure=False))

    def run(self, url: str, index: int) -> tuple[int, str | None, Exception | None]:
        """Runs an item on a server: its index, and where that fails the server that went away, and the error."""
        if self._is_stopped:
            return index, None, None
        try:
            background.run(self._run(self._clients[url], index))
        except _GONE as error:
            if self._is_stopped:
                return index, None, None
            return index, url, error
        return index, None, None

    # -- on the background loop -------------------------------------------------------------------------------------------

    async def _run(self, client: AsyncInvokeAIClient, index: int) -> None:
        request, batch_id = await self._request(client, index), str(uuid.uuid4())
        watch = await client.follow(batch_id, {}, keeps_events=False)
        request["batch"]["batch_id"] = batch_id
        try:
            if self._is_stopped:
                return
            self._running[batch_id] = client, index
            (item_id,) = (await enqueue(self._plan, request, client, watch, cancel=True)).item_ids
            self._url_of[index] = client.url
            self.tally.send(index, item_id)
            if self._is_stopped:  # while it was on its way, when there was nothing to cancel yet
                await client.queue.cancel_batches([batch_id])
            await expect(watch, (item_id,))
            await asyncio.shield(watch.done)
            self._items[index] = slim(await client.queue.get(item_id))
            self.tally.tell(index, item_id, self._items[index].status)
        except (JobDeletedError, NotFoundError):
            self.tally.tell(index, item_id, DELETED)
        except _GONE:
            self._abandoned.setdefault(client.url, []).append(batch_id)
            self.tally.reset(index)
            raise
        finally:
            self._running.pop(batch_id, None)
            await client.forget(watch)
            self._changed.set()

    async def _request(self, client: AsyncInvokeAIClient, index: int) -> dict[str, JsonValue]:
        """The request of one item, all names in it those of this server."""
        cell = self.cell(index)
        columns = {binding: [value] for binding, value in self._space.params(cell.point).values().items()}
        made = self.preparations[client.url]
        more = made.branch()
        found = await resolve_columns(
            self._plan,
            columns,
            client,
            more,
            resolve_models=self._options.get("resolve_models", "auto"),
            create_boards=self._options.get("create_boards", False),
        )
        made.add(more)
        return build_request(
            self._plan,
            {binding: value for binding, (value,) in found.items()},
            auto_board_id=await resolve_board(client, self._options.get("auto_board")),
            data=own_items(self._groups[self.numbering.group_of[cell.point]], cell),
            prepend=self._options.get("prepend", False),
        )

    async def _join(self) -> None:
        """Waits for the end of the cluster, and takes back what is left on servers that have come back since."""
        while self._thread is not None and self._thread.is_alive():
            await in_thread(self._thread.join)
        for url, batch_ids in self._abandoned.items():
            with contextlib.suppress(ServerError):
                await self._clients[url].queue.cancel_batches(batch_ids)


def run_item(key: str, index: int) -> tuple[int, str | None, Exception | None]:
    """What a worker does for one item, on the server that it is named after."""
    from distributed import get_worker

    return _spreaders[key].run(str(get_worker().name), index)
