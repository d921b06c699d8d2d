"""Giving each server its next item, one at a time, as tasks of a dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from invokeai_gen.server import background
from invokeai_gen.server.errors import ConnectionFailedError
from invokeai_gen.sweeps import server_item
from invokeai_gen.sweeps.multi_server import MultiServer
from invokeai_gen.sweeps.server_item import Outcome, ServerItem

WORKER_POLL: Final = 1.0
"""Seconds between checks for servers that have joined or left."""
_LOCAL: Final = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Options of the cluster in this process; dask opens a port for its dashboard even if that is off."""

log = logging.getLogger("invokeai_gen")


def coordinate(sweep: MultiServer, dask: Any) -> None:
    """Run the items of a sweep to their end, on the caller's dask cluster or else on one inside this process."""
    with _own_cluster() if dask is None else contextlib.nullcontext((dask, None)) as (cluster, add):
        _Coordinator(sweep, cluster, add).run()


@contextlib.contextmanager
def _own_cluster() -> Iterator[tuple[Any, Callable[[str], None]]]:
    """Yield the dask client of a cluster inside this process, and a function that adds a worker for a server."""
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


@dataclass(eq=False)
class _Coordinator:
    """Gives each server its next item; runs in the thread of the cluster."""

    sweep: MultiServer
    dask: Any
    add: Callable[[str], None] | None
    """Adds a worker for a server to the cluster inside this process; `None` for the caller's own cluster."""

    def __post_init__(self) -> None:
        # Sent once; dask recreates it if the worker that holds it goes away.
        self._plan = self.dask.submit(server_item.hold, self.sweep.layout.plan, pure=False)
        self._added: set[str] = set()
        self._addresses: dict[str, str] = {}
        """The dask worker of each server."""
        self._out: dict[str, Exception] = {}
        """Servers that take no further part, and why."""
        self._futures: dict[Any, tuple[ServerItem, str]] = {}
        self._news = threading.Event()
        """Set when an item has ended."""

    def run(self) -> None:
        """Run until every item has ended, or no server is left."""
        while self.sweep.goes_on(bool(self._futures)):
            self._find_servers()
            self._assign()
            if self.sweep.left and self._out and not self._futures and not self._addresses:
                raise next(reversed(self._out.values()))
            self._news.wait(WORKER_POLL)
            self._news.clear()
            self._collect()

    def _find_servers(self) -> None:
        """Add servers that have joined, and forget workers that are gone."""
        sweep = self.sweep
        while sweep.joining:
            url = sweep.joining.pop()
            self._out.pop(url, None)
            if self.add is not None and url not in self._added:
                self._added.add(url)
                self.add(url)
        info = self.dask.scheduler_info(-1)
        while len(info["workers"]) < info.get("n_workers", 0):
            # dask refreshes its totals now and then, and may return those, which list no workers.
            info = self.dask.scheduler_info(-1)
        workers = info["workers"]
        if self.add is not None:
            present = {str(worker["id"]): address for address, worker in workers.items()}
        else:
            new = [address for address in workers if address not in self._addresses.values()]
            present = {url: address for url, address in self._addresses.items() if address in workers}
            if new:
                urls = self.dask.run(server_item.server_of_worker, workers=new)
                present |= {url: address for address, url in urls.items()}
                for url in present:
                    sweep.known_url(url)
        self._addresses = {
            url: address for url, address in present.items() if url not in self._out and url not in sweep.leaving
        }
        for future, (item, url) in [*self._futures.items()]:
            if url not in present:  # the machine of the worker is gone
                future.cancel()
                self._futures.pop(future, None)
                self._done(item, url, Outcome(error=ConnectionFailedError(f"the dask worker of {url} is gone")))

    def _assign(self) -> None:
        sweep = self.sweep
        for url, address in self._addresses.items():
            if url in sweep.running or sweep.is_stopped:
                continue
            index = next((index for index in sweep.left if self._may_run(index, url)), None)
            if index is None:
                continue
            sweep.left.remove(index)
            item = sweep.running[url] = sweep.item(index, url)
            future = self.dask.submit(
                server_item.run_on_worker, item, self._plan, workers=[address], pure=False, retries=0
            )
            self._futures[future] = item, url
            future.add_done_callback(lambda _future: self._news.set())

    def _may_run(self, index: int, url: str) -> bool:
        """Return whether a server may run an item. One that a server may have run already goes back to that server."""
        if url in self.sweep.refused.get(index, ()):
            return False
        earlier = self.sweep.earlier.get(index)
        return (
            earlier is None
            or earlier.server == url
            or earlier.server in self._out
            or (self.add is not None and earlier.server not in self._addresses)
        )

    def _collect(self) -> None:
        for future in [future for future in self._futures if future.done()]:
            item, url = self._futures.pop(future)
            try:
                outcome: Outcome = future.result()
            except Exception as error:  # noqa: BLE001 - the worker died, or could not load what it was sent
                outcome = Outcome(error=ConnectionFailedError(f"the dask worker of {url} failed: {error!r}"))
            self._done(item, url, outcome)

    def _done(self, item: ServerItem, url: str, outcome: Outcome) -> None:
        layout = self.sweep.layout
        varying = {planned.label for planned in layout.plan.inputs if planned.name in layout.space.names}
        if outcome.error is not None and not self.sweep.is_stopped and outcome.is_unfit(varying):
            self._out[url] = outcome.error
            self._addresses.pop(url, None)
            what = "is gone; the sweep continues without it" if outcome.is_gone else "is left out of the sweep"
            log.warning("%s %s: %s", url, what, outcome.error)
        if not background.run(self.sweep.take(item, url, outcome)):
            return
        if self._addresses and not any(self._may_run(item.index, one) for one in self._addresses):
            background.run(self.sweep.fail(item.index))
        else:
            self.sweep.left.insert(0, item.index)
