"""A sweep over several servers: each item runs on whichever server is free, one item at a time on each.

The servers are dask workers: of a small cluster inside this process, or of a `dask.distributed` cluster of the caller's.
What a server has not finished when it goes away is run by the others. When it comes back, that is canceled in its queue, so
that nothing runs a second time, and it takes items again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from invokeai_gen.runtime.options import submit_options
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.client import AsyncInvokeAIClient, shared_client
from invokeai_gen.server.errors import ConnectionFailedError, JobDeletedError, ServerError
from invokeai_gen.server.records import QueueItem
from invokeai_gen.sweeps import dask_workers
from invokeai_gen.sweeps.batching import Layout
from invokeai_gen.sweeps.dask_workers import Cluster, Outcome, ServerItem
from invokeai_gen.sweeps.journal import Journal
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.results import UNSENT, NoServerError
from invokeai_gen.sweeps.state import SweepState
from invokeai_gen.sweeps.sweep_file import ServerAttempt, preparations_in, replay_attempts

WORKER_POLL: Final = 1.0
"""Seconds between checks for servers that have joined or left."""

RETURN_POLL: Final = 10.0
"""Seconds between checks whether a server that went away is back."""

log = logging.getLogger("invokeai_gen")


class MultiServer(SweepState):
    """Sends the items of a sweep to several servers, one at a time to each, and follows them."""

    def __init__(
        self,
        layout: Layout,
        clients: Sequence[AsyncInvokeAIClient],
        options: SweepOptions,
        journal: Journal | None,
        entries: Sequence[Mapping[str, Any]] = (),
        *,
        dask: Any = None,
    ) -> None:
        """`entries` are those of an earlier process in the sweep file; `dask` is a cluster of the caller's."""
        super().__init__(layout, options, journal)
        self._entries = entries
        self._named = {client.url for client in clients}
        """Servers that take part by their address, and not as a worker of the caller's cluster."""
        self._leaving: set[str] = set()
        self._out: dict[str, Exception] = {}
        """Servers that take no further part, and why."""
        self._serving: set[str] = set()
        """Servers that take items now."""
        self._submit_options = submit_options(options)
        self._dask = dask
        self._key = dask_workers.new_key(self)
        self._items: dict[int, bytes] = {}
        """Items that have ended, fetched at once: their server may be gone later. As compressed JSON, which is a tenth."""
        self._refused: dict[int, dict[str, Exception]] = {}
        """Why servers cannot run an item."""
        self._earlier: dict[int, ServerAttempt] = {}
        """Where an item may have been sent, by this process or an earlier one."""
        self._running: dict[str, int] = {}
        """The item that each server runs."""
        self._abandoned: dict[str, list[str]] = {}
        """Batches on servers that went away, which must not run when these come back."""
        self._returning: set[asyncio.Task[None]] = set()
        """Wait for servers that went away."""
        self._left: list[int] = []
        """Items that no server has yet."""
        self._is_stopped = False
        self._task: asyncio.Task[None] | None = None
        """Runs the items."""
        for client in clients:
            self._know(client)

    @override
    def is_cached(self, index: int) -> bool:
        return index in self._items

    @override
    def _known_item(self, index: int) -> QueueItem | None:
        kept = self._items.get(index)
        return None if kept is None else QueueItem.of(json.loads(zlib.decompress(kept)))

    @override
    async def _fetch(
        self, client: AsyncInvokeAIClient, numbers: Mapping[int, int], *, with_sessions: bool = True
    ) -> dict[int, QueueItem]:
        try:
            found = await super()._fetch(client, numbers, with_sessions=with_sessions)
        except ConnectionFailedError as error:  # it may never come back, and its files may have been saved
            for item_id, index in numbers.items():
                message = f"queue item {item_id} is on {client.url}, which cannot be reached: {error}"
                self.errors[index] = JobDeletedError(message, item_id=item_id)
                self.tally.delete(index, item_id)
            return {}
        for index in found:
            self.errors.pop(index, None)
        return found

    # -- starting, resuming and stopping -------------------------------------------------------------------------------

    @property
    def _is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def _begin(self, indexes: Iterable[int]) -> None:
        """Run these items too."""
        self._left += indexes
        if self._left and not self._is_running:
            self.failure, self._is_stopped = None, False
            self._key = dask_workers.new_key(self)
            self._task = asyncio.create_task(self._run())

    async def resume(self) -> None:
        """Run all items, or those that an earlier process has left. Raise `DAMAGE` for impossible entries."""
        completed: dict[AsyncInvokeAIClient, dict[int, int]] = {}
        for index, attempt in replay_attempts(len(self.layout), self._entries).items():
            if not attempt.status:
                self._earlier[index] = attempt
            elif attempt.item_id is None:
                self.tally.withdraw([index])
            else:
                self._url_of[index] = self.known_url(attempt.server)
                self.tally.send(index, attempt.item_id)
                self.tally.update(index, attempt.item_id, attempt.status)
                if attempt.status == "completed":
                    completed.setdefault(self.client_of(index), {})[attempt.item_id] = index
        for client, numbers in completed.items():
            await self._fetch(client, numbers, with_sessions=False)
        self._begin(self._not_ended())

    def _not_ended(self) -> list[int]:
        return [index for index in range(len(self.tally.statuses)) if not self.tally.has_ended(index)]

    def known_url(self, url: str) -> str:
        """Return an address after making sure that it has a client."""
        if url not in self.clients:
            self._know(shared_client(url))
        return url

    def _know(self, client: AsyncInvokeAIClient) -> None:
        self.clients[client.url] = client
        if client.url not in self.preparations:
            self.preparations[client.url] = preparations_in(self._journal, self._entries, client.url)

    @override
    async def add_server(self, client: AsyncInvokeAIClient) -> None:
        self._know(client)
        self._leaving.discard(client.url)
        self._named.add(client.url)
        self._out.pop(client.url, None)

    @override
    async def remove_server(self, url: str) -> None:
        self._named.discard(url)
        self._leaving.add(url)

    @override
    async def again(self, choose: Callable[[], Sequence[int]]) -> int:
        if self._is_stopped or not self._is_running:
            await self._join()
            self._left.clear()
        lost = [*choose()]
        self.tally.reset(lost)
        for index in lost:
            self.errors.pop(index, None)
        self._refused.clear()
        self._out.clear()
        if self._journal is not None and self._not_ended():
            self._journal.take()
        self._begin(lost if self._is_running else self._not_ended())
        return self.tally.statuses.count(UNSENT)

    @override
    async def cancel(self) -> None:
        self._is_stopped = True
        batches: dict[str, list[str]] = {}
        for index, attempt in self._earlier.items():
            if not self.tally.has_ended(index):
                batches.setdefault(self.known_url(attempt.server), []).append(attempt.batch_id)
        withdrawn = [index for index in self._not_ended() if index not in self._running.values()]
        self.tally.withdraw(withdrawn)
        # What may be in a queue is looked up there by the next process.
        await self._noted(withdrawn=[index for index in withdrawn if index not in self._earlier])
        canceling = [dask_workers.stop(self._key, ids, self.clients[url]) for url, ids in batches.items()]
        answers = await asyncio.gather(*canceling, return_exceptions=True)  # each, even if one server is away
        if self._dask is not None and batches:
            ids = [batch_id for several in batches.values() for batch_id in several]
            with contextlib.suppress(Exception):
                await in_thread(self._dask.run, dask_workers.stop_on_worker, self._key, ids)
        self._changed.set()
        for answer in answers:
            if isinstance(answer, BaseException) and self._dask is None:
                raise answer

    @override
    async def close(self) -> None:
        self._is_stopped = True
        await self._join()
        self._end()

    async def _join(self) -> None:
        """Wait for the cluster to stop, and cancel what is left on servers that have come back since."""
        if self._task is not None:
            await asyncio.wait([self._task])
        for url, batch_ids in self._abandoned.items():
            with contextlib.suppress(ServerError):
                await self.clients[url].queue.cancel_batches(batch_ids)

    # -- running items -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self._left and not self._is_stopped:  # also what is added while the cluster stops
                cluster = await in_thread(Cluster, self.layout.plan, self._dask)
                try:
                    await self._share_out(cluster)
                finally:
                    await in_thread(cluster.close)
        except Exception as error:  # noqa: BLE001 - raised where the sweep is waited for
            self.failure = error
        finally:
            self._changed.set()

    async def _share_out(self, cluster: Cluster) -> None:
        """Give each server its next item, one at a time, until every item has ended, or no server is left.

        If all are gone, wait for one to come back, as long as a run would wait for its server.
        """
        self._out.clear()
        tasks: dict[str, asyncio.Task[None]] = {}
        clock, idle_since = asyncio.get_running_loop().time, None
        try:
            while tasks or (self._left and not self._is_stopped):
                present = await cluster.servers({*self._named})
                for url in present:
                    self.known_url(url)
                self._serving = {url for url in present if url not in self._out and url not in self._leaving}
                for url in self._serving - tasks.keys():
                    fit = next((index for index in self._left if self._may_run(index, url)), None)
                    if fit is not None and not self._is_stopped:
                        self._left.remove(fit)
                        tasks[url] = asyncio.create_task(self._run_item(cluster, self.hand_out(fit, url), url))
                is_idle = self._left and self._out and not tasks and not self._serving
                idle_since = (idle_since or clock()) if is_idle else None
                if idle_since is not None and clock() - idle_since >= self._patience:
                    raise next(reversed(self._out.values()))
                pause = asyncio.create_task(asyncio.sleep(WORKER_POLL))
                await asyncio.wait({pause, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
                for url, task in [*tasks.items()]:
                    if task.done():
                        del tasks[url]
                        task.result()
        finally:
            ending = [*tasks.values(), *self._returning]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
            self._running.clear()

    @property
    def _patience(self) -> float:
        """Seconds to wait for servers that went away; 0 if none ever took an item, as with wrong addresses."""
        is_begun = bool(self._returning and self._url_of)
        return max(client._transport.unreachable_after for client in self.clients.values()) if is_begun else 0.0

    def _may_run(self, index: int, url: str) -> bool:
        """Return whether a server may run an item. An item that may have run on a server already goes back to that server."""
        if url in self._refused.get(index, ()):
            return False
        earlier = self._earlier.get(index)
        return (
            earlier is None
            or earlier.server == url
            or earlier.server in self._out
            or (self._dask is None and earlier.server not in self._serving)
        )

    def hand_out(self, index: int, url: str) -> ServerItem:
        """Return an item that a server is to run now."""
        cell = self.layout.cells[index]
        earlier = self._earlier.get(index)
        may_be_sent = earlier is not None and earlier.server == url
        group = self.layout.groups[self.layout.group_of(index)]
        batch_id = earlier.batch_id if earlier is not None and may_be_sent else str(uuid.uuid4())
        self._running[url], self._earlier[index] = index, ServerAttempt(batch_id, url)
        return ServerItem(
            key=self._key,
            index=index,
            batch_id=batch_id,
            values=self.layout.space.params(cell.point).values(),
            data=group.own_data([cell]),
            places=group.own_places(cell),
            options=self._submit_options,
            may_be_sent=may_be_sent,
            uploads={} if self._dask is None else {**self.preparations[url].uploads.known},
        )

    async def _run_item(self, cluster: Cluster, item: ServerItem, url: str) -> None:
        """Run an item on a server; depending on how that ends, it is to be run again, on this server or another."""
        index = item.index
        await self._noted(sending=item.batch_id, index=index, server=url)
        outcome = await cluster.run(item, url)
        del self._running[url]
        for (kind, digest), name in outcome.uploads.items():
            await self.preparations[url].uploads.add(kind, digest, name)
        self.preparations[url].boards += outcome.boards
        if outcome.error is not None and not self._is_stopped:
            self._note_error(item, url, outcome, outcome.error)
        elif outcome.item_id is None:
            self.tally.withdraw([index])
            return
        elif not self._is_stopped and self._should_retry(index, outcome.status, outcome.was_interrupted):
            await self._noted(ended=item.batch_id, status=outcome.status)
        else:
            await self._noted(ended=item.batch_id, status=outcome.status, item=outcome.item_id)
            self._earlier.pop(index, None)
            if self.tally.item_ids[index] != outcome.item_id:
                self.note_sent(index, url, outcome.item_id)
            if outcome.item is not None:
                self._items[index] = zlib.compress(json.dumps(outcome.item).encode())
            self.tally.update(index, outcome.item_id, outcome.status)
            self._settle()
            return
        self._earlier.pop(index, None)
        self.tally.reset([index])
        if not self._serving or any(self._may_run(index, one) for one in self._serving):
            self._left.insert(0, index)
        else:
            reasons = "; ".join(f"{one}: {error}" for one, error in self._refused.get(index, {}).items())
            self.errors[index] = NoServerError(f"no server can run item {index} of the sweep: {reasons}")
            self.tally.update(index, None, "failed")
        self._settle()

    def _note_error(self, item: ServerItem, url: str, outcome: Outcome, error: Exception) -> None:
        """Note that a server has not run an item, and whether it takes further part."""
        varying = {planned.label for planned in self.layout.plan.inputs if planned.name in self.layout.space.names}
        if outcome.is_unfit(varying):
            self._out[url] = error
            self._serving.discard(url)
            what = "is gone; the sweep continues without it" if outcome.is_gone else "is left out of the sweep"
            log.warning("%s %s: %s", url, what, error)
        if outcome.is_gone:
            self._abandoned.setdefault(url, []).append(item.batch_id)
            task = asyncio.create_task(self._take_back(url))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)
        else:
            self._refused.setdefault(item.index, {})[url] = error

    async def _take_back(self, url: str) -> None:
        """Wait until a server that went away is back, cancel what it must not run now, and let it take items again."""
        while url in self._abandoned:
            await asyncio.sleep(RETURN_POLL)
            with contextlib.suppress(ServerError):
                await self.clients[url].queue.cancel_batches(self._abandoned[url])
                self._abandoned.pop(url, None)
        if self._out.pop(url, None) is not None:
            log.warning("%s is back, and takes items of the sweep again", url)
