"""The dask workers that run the items of a sweep, each beside a server: in this process, or in a cluster of the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.errors import ConnectionFailedError
from invokeai_gen.sweeps import server_item
from invokeai_gen.sweeps.server_item import Outcome, ServerItem

_LOCAL: Final = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Options of the cluster in this process; dask opens a port for its dashboard even if that is off."""


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
            self._plan = self._dask.submit(server_item.hold, plan, pure=False)
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
            urls = self._dask.run(server_item.server_of_worker, workers=new) if new else {}
            self._addresses = known | {url: address for address, url in urls.items()}
        return {*self._addresses}

    async def run(self, item: ServerItem, url: str) -> Outcome:
        """Run an item on the worker of a server."""
        loop = asyncio.get_running_loop()
        ended = self._ended[url] = asyncio.Event()
        try:
            future = await in_thread(self._submit, item, self._addresses[url])
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

    def _submit(self, item: ServerItem, address: str) -> Any:
        return self._dask.submit(server_item.run_on_worker, item, self._plan, workers=[address], pure=False, retries=0)
