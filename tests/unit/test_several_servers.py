"""How the items of a sweep are spread over several servers: against queues in memory, and threads for a dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import logging
import threading
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.server import background
from invokeai_gen.server.client import _shared
from invokeai_gen.server.errors import ConnectionFailedError
from invokeai_gen.server.events import StatusChanged
from invokeai_gen.server.records import Enqueued, QueueItem
from invokeai_gen.server.status_errors import RejectedError
from invokeai_gen.server.watch import Watch
from invokeai_gen.sweeps import dask_workers, multi_server
from invokeai_gen.sweeps.journal import Journal, SweepFileError
from invokeai_gen.sweeps.results import SweepCounts
from invokeai_gen.sweeps.sweep import AsyncSweep
from tests import plans
from tests.unit.memory_queue import GUARD, FakeClient, FakeQueue

Sweep = AsyncSweep[plans.PictureParams, plans.PictureOutputs]


class QuickQueue(FakeQueue):
    """A queue that ends each item as soon as it has it, as `endings` say, and completed after these."""

    def __init__(self, client: QuickClient) -> None:
        super().__init__(10_000)
        self.client = client
        self.endings: list[str] = []
        self.holds = False
        """Whether items stay in the queue."""
        self.is_used = asyncio.Event()

    async def enqueue(self, request: Mapping[str, Any], *, may_clip: bool) -> Enqueued:
        answer = await super().enqueue(request, may_clip=may_clip)
        self.is_used.set()
        if not self.holds:
            self.client.finish(*answer.item_ids, status=self.endings.pop(0) if self.endings else "completed")
        return answer

    @property
    def widths(self) -> list[int]:
        """What was sent, in order."""
        return [batch["graph"]["nodes"]["blank"]["width"] for batch in self.sent]


class QuickClient(FakeClient):
    """A client of such a queue."""

    def __init__(self, name: str) -> None:
        super().__init__(url=f"http://{name}.invalid")
        self.quick = self.fake = QuickQueue(self)
        vars(self).update(queue=self.fake, run_queue=self.fake)

    async def follow(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> Watch:
        watch = await super().follow(batch_id, labels, keeps_events=keeps_events)
        for item_id in self.fake.batches.get(batch_id, ()):  # as asking the server shows
            watch.add(StatusChanged(item_id=item_id, batch_id=batch_id, status=self.fake.status[item_id]))
        return watch


class Dask:
    """The part of a dask client that sweeps use; each task has a thread, and runs as if it were on another machine."""

    def __init__(self, clients: Iterable[QuickClient], *, is_elsewhere: bool = True) -> None:
        self.workers = {f"tcp://{number}": client.url for number, client in enumerate(clients)}
        self._is_elsewhere = is_elsewhere
        self.fault: Exception | None = None
        self.asked = 0

    def scheduler_info(self, _workers: int) -> dict[str, Any]:
        if self.fault is not None:
            raise self.fault
        self.asked += 1
        is_refreshed = self.asked % 2  # by dask itself, which leaves out the workers, while the answer is on its way
        workers = {} if is_refreshed else {address: {"id": url} for address, url in self.workers.items()}
        return {"workers": workers, "n_workers": len(self.workers)}

    def run(self, call: Callable[..., Any], *args: Any, workers: list[str] | None = None) -> dict[str, Any]:
        if call is dask_workers.server_of_worker:
            return {address: self.workers[address] for address in workers or ()}
        key, batch_ids = args
        for url in self.workers.values():
            background.run(dask_workers.stop(f"elsewhere {key}", batch_ids, _shared[url]))
        return {}

    def submit(self, call: Callable[..., Any], *args: Any, workers: list[str] | None = None, **_options: Any) -> Any:
        future: Future[Any] = Future()
        if call is dask_workers.hold:
            future.set_result(call(*args))
            return future
        item, plan = args
        if self._is_elsewhere:  # where no engine has the key of the sweep
            item = dataclasses.replace(item, key=f"elsewhere {item.key}")
        assert workers is not None
        url = self.workers[workers[0]]

        def work() -> None:
            try:
                future.set_result(background.run(dask_workers.run(item, plan.result(), url)))
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future


Start = Callable[..., Coroutine[Any, Any, Sweep]]


@pytest.fixture(params=["own cluster", "cluster of the caller"])
def servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return `servers=` for these clients: the clients themselves, or a dask cluster with a worker beside each."""

    def make(*clients: QuickClient) -> Any:
        for client in clients:
            monkeypatch.setitem(_shared, client.url, client)
        if request.param != "own cluster":
            return Dask(clients)
        dask = make.dask = Dask((), is_elsewhere=False)  # type: ignore[attr-defined]

        @contextlib.contextmanager
        def own_cluster() -> Iterator[tuple[Any, Callable[[str], None]]]:
            yield dask, lambda url: dask.workers.update({f"tcp://{len(dask.workers)}": url})

        monkeypatch.setattr(dask_workers, "_own_cluster", own_cluster)
        return [*clients]

    return make


def on_the_loop(test: Coroutine[Any, Any, None]) -> None:
    background.run(asyncio.wait_for(test, GUARD))


async def start(servers: Any, count: int = 6, **options: Any) -> Sweep:
    return await plans.picture().asweep(
        product={"width": range(8, 8 + count)}, servers=servers, errors="collect", **options
    )


def test_each_item_runs_once_and_each_server_takes_part(servers: Callable[..., Any]) -> None:
    async def run() -> None:
        one, two = QuickClient("one"), QuickClient("two")
        sweep = await start(servers(one, two), runs=2)
        assert await sweep.wait() == SweepCounts(total=12, completed=12)
        assert sorted(one.quick.widths + two.quick.widths) == sorted([*range(8, 14)] * 2)
        assert one.quick.widths
        assert two.quick.widths
        results = {result.index: result async for result in sweep}
        assert [results[index].values["width"] for index in range(12)] == [*range(8, 14)] * 2
        assert {results[index].run for index in range(6, 12)} == {1}
        await sweep.close()

    on_the_loop(run())


def test_a_sweep_goes_on_without_a_server_that_is_gone(
    servers: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        gone, here = QuickClient("gone"), QuickClient("here")
        gone.fake.faults["enqueue"] = [ConnectionFailedError("away")]
        sweep = await start(servers(gone, here))
        assert await sweep.wait() == SweepCounts(total=6, completed=6)
        assert sorted(here.quick.widths) == [*range(8, 14)]
        assert len(gone.quick.widths) == 1
        await sweep.close()

    with caplog.at_level(logging.WARNING, "invokeai_gen"):
        on_the_loop(run())
    assert [record.getMessage() for record in caplog.records] == [
        "http://gone.invalid is gone; the sweep continues without it: away"
    ]


def test_a_server_that_was_gone_takes_items_again_when_it_is_back(
    servers: Callable[..., Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multi_server, "RETURN_POLL", 0.0)

    async def run() -> None:
        gone, here = QuickClient("gone"), QuickClient("here")
        gone.fake.faults["enqueue"] = [ConnectionFailedError("away")]
        gone.fake.faults["cancel"] = [ConnectionFailedError("still away"), None]
        here.quick.holds = True
        sweep = await start(servers(gone, here), 3)
        while len(gone.quick.widths) < 3:  # the one that it lost, and the two that the other server does not have
            await asyncio.sleep(0.01)
        assert gone.fake.status[1] == "canceled"
        here.finish()
        assert await sweep.wait() == SweepCounts(total=3, completed=3)
        await sweep.close()

    with caplog.at_level(logging.WARNING, "invokeai_gen"):
        on_the_loop(run())
    assert [record.getMessage() for record in caplog.records] == [
        "http://gone.invalid is gone; the sweep continues without it: away",
        "http://gone.invalid is back, and takes items of the sweep again",
    ]


def test_a_sweep_waits_for_servers_that_are_all_gone_and_goes_on_when_one_is_back(
    servers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multi_server, "RETURN_POLL", 0.0)
    monkeypatch.setattr(multi_server, "WORKER_POLL", 0.01)

    async def run() -> None:
        client = QuickClient("gone")
        client.fake.faults["enqueue"] = [None, ConnectionFailedError("away")]
        client.fake.gates["cancel"] = asyncio.Event()
        chosen = servers(client)
        sweep = await start(chosen, 3)
        waiting = asyncio.create_task(sweep.wait())
        while not client.fake.asked["cancel"]:  # what it asks a server that it knows to be gone
            await asyncio.sleep(0.01)
        dask = chosen if isinstance(chosen, Dask) else servers.dask  # type: ignore[attr-defined]
        looked = dask.asked
        while dask.asked < looked + 10 and not waiting.done():
            await asyncio.sleep(0.01)
        client.fake.gates["cancel"].set()
        assert await waiting == SweepCounts(total=3, completed=3)
        await sweep.close()

    on_the_loop(run())


@pytest.mark.parametrize("is_begun", [True, False])
def test_a_sweep_ends_if_no_server_comes_back_or_none_was_ever_there(
    servers: Callable[..., Any], is_begun: bool
) -> None:
    async def run() -> None:
        client = QuickClient("gone")
        client._transport.unreachable_after = 0.05 if is_begun else 3600.0
        client.fake.faults["enqueue"] = [*([None] if is_begun else []), ConnectionFailedError("away")]
        sweep = await start(servers(client), 3)
        with pytest.raises(ConnectionFailedError, match="away"):
            await sweep.wait()
        assert await sweep.retry() == 3 - is_begun
        assert await sweep.wait() == SweepCounts(total=3, completed=3)
        await sweep.close()

    on_the_loop(run())


def test_a_value_that_no_server_takes_is_an_error_that_names_them_and_the_rest_runs(
    servers: Callable[..., Any],
) -> None:
    async def run() -> None:
        one, two = QuickClient("one"), QuickClient("two")
        for client in (one, two):
            client.fake.faults["enqueue"] = [RejectedError("POST", "/enqueue_batch", 422, "too wide")]
        sweep = await start(servers(one, two))
        counts = await sweep.wait()
        failures = await sweep.failures()
        assert counts.completed + len(failures) == 6
        for failure in failures:
            assert "http://one.invalid" in str(failure.error)
            assert "http://two.invalid" in str(failure.error)
        await sweep.close()

    on_the_loop(run())


@pytest.mark.parametrize(("retries", "failed"), [(None, 1), (0, 1), (1, 0)])
def test_an_item_that_fails_is_sent_again_only_as_often_as_is_wanted(
    servers: Callable[..., Any], retries: int | None, failed: int
) -> None:
    async def run() -> None:
        client = QuickClient("one")
        client.quick.endings = ["failed"]
        sweep = await start(servers(client), 2, **({} if retries is None else {"retries": retries}))
        assert await sweep.wait() == SweepCounts(total=2, completed=2 - failed, failed=failed)
        assert len(client.quick.sent) == 3 - failed
        await sweep.close()

    on_the_loop(run())


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_nothing_is_sent_any_more_after_it_was_closed_or_canceled(servers: Callable[..., Any], how: str) -> None:
    async def run() -> None:
        client = QuickClient("one")
        client.quick.holds = True
        sweep = await start(servers(client), 3)
        await client.quick.is_used.wait()
        stopping = asyncio.create_task(getattr(sweep, how)())
        await asyncio.sleep(0)
        client.quick.holds = False
        client.finish(1, status="completed" if how == "close" else "canceled")
        await stopping
        await sweep.close()
        assert client.quick.widths == [8]
        assert (client.fake.asked["cancel"] > 0) == (how == "cancel")
        expected = SweepCounts(total=3, completed=1, unsent=2) if how == "close" else SweepCounts(total=3, canceled=3)
        assert sweep.counts == expected

    on_the_loop(run())


def test_what_was_canceled_runs_when_it_is_tried_again(servers: Callable[..., Any]) -> None:
    async def run() -> None:
        client = QuickClient("one")
        client.quick.holds = True
        sweep = await start(servers(client), 3)
        await client.quick.is_used.wait()
        canceling = asyncio.create_task(sweep.cancel())
        await asyncio.sleep(0)
        client.quick.holds = False
        client.finish(1, status="canceled")
        assert (await canceling).canceled == 3
        assert await sweep.retry() == 3
        assert await sweep.wait() == SweepCounts(total=3, completed=3)
        await sweep.close()

    on_the_loop(run())


def test_what_breaks_the_cluster_is_raised_where_the_sweep_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        client = QuickClient("one")
        monkeypatch.setitem(_shared, client.url, client)
        dask = Dask([client])
        dask.fault = OSError("the scheduler is gone")
        sweep = await start(dask)
        with pytest.raises(OSError, match="the scheduler is gone"):
            await sweep.wait()
        dask.fault = None
        assert await sweep.retry() == 6
        assert (await sweep.wait()).completed == 6
        await sweep.close()

    on_the_loop(run())


def test_what_one_server_has_already_is_not_sent_to_another_when_it_is_resumed(
    servers: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "it.sweep"

    async def run() -> None:
        first, second = QuickClient("first"), QuickClient("second")
        sweep = await start(servers(first), 3, file=file)
        await sweep.wait()
        await sweep.close()
        entries = [json.loads(line) for line in file.read_bytes().splitlines()]
        last = [entry["sending"] for entry in entries if entry.get("index") in (1, 2)]
        # As if the process had died before it knew how the last two had ended.
        left = [entry for entry in entries if entry.get("ended") not in last]
        file.write_bytes(b"".join(json.dumps(entry).encode() + b"\n" for entry in left))
        again = await plans.picture().aresume_sweep(file, errors="collect", servers=servers(first, second))
        assert (await again.wait()).completed == 3
        assert (first.quick.widths, second.quick.widths) == ([8, 9, 10], [])
        assert first.fake.asked["find"] == 2
        assert sorted([result.values["width"] async for result in again]) == [8, 9, 10]
        await again.close()

    on_the_loop(run())


def test_an_item_runs_elsewhere_if_the_machine_of_its_worker_is_gone(
    servers: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        gone, here = QuickClient("gone"), QuickClient("here")
        gone.quick.holds = True
        here.quick.holds = True
        chosen = servers(gone, here)
        sweep = await start(chosen, 3)
        await gone.quick.is_used.wait()
        await here.quick.is_used.wait()
        dask = chosen if isinstance(chosen, Dask) else servers.dask  # type: ignore[attr-defined]
        dask.workers = {address: url for address, url in dask.workers.items() if url == here.url}
        here.quick.holds = False
        here.finish()
        assert await sweep.wait() == SweepCounts(total=3, completed=3)
        assert sorted(here.quick.widths) == [8, 9, 10]
        assert len(gone.quick.widths) == 1
        await sweep.close()
        assert {*gone.fake.status.values()} == {"canceled"}, "it must not run when its server is back"

    with caplog.at_level(logging.WARNING, "invokeai_gen"):
        on_the_loop(run())
    assert [record.getMessage() for record in caplog.records] == [
        "http://gone.invalid is gone; the sweep continues without it: the dask worker of http://gone.invalid is gone"
    ]


def test_what_may_be_in_a_queue_when_a_sweep_breaks_off_is_not_sent_again(
    servers: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Journal.note
    is_full = True

    def noted(journal: Journal, **entry: Any) -> None:
        if is_full and "ended" in entry:
            raise SweepFileError("the disk is full")
        note(journal, **entry)

    monkeypatch.setattr(Journal, "note", noted)

    async def run() -> None:
        nonlocal is_full
        one, two = QuickClient("one"), QuickClient("two")
        one.quick.holds = two.quick.holds = True
        sweep = await start(servers(one, two), 2, file=tmp_path / "it.sweep")
        await one.quick.is_used.wait()
        await two.quick.is_used.wait()
        one.finish()
        with pytest.raises(SweepFileError, match="full"):
            await sweep.wait()
        is_full = False
        two.finish()
        await sweep.retry()
        assert await sweep.wait() == SweepCounts(total=2, completed=2)
        assert sorted(one.quick.widths + two.quick.widths) == [8, 9]
        await sweep.close()

    on_the_loop(run())


class LongSessions(QuickQueue):
    """A queue whose items have the results of many nodes."""

    async def get(self, item_id: int) -> QueueItem:
        ids = [f"{item_id} {node}" for node in range(300)]
        session = {
            "results": {prepared: {"type": "integer_output", "value": item_id} for prepared in ids},
            "prepared_source_mapping": {prepared: f"node {prepared}" for prepared in ids},
        }
        return QueueItem.of({**(await super().get(item_id)).raw, "session": session})


def test_items_that_have_ended_take_little_memory_and_are_there_when_their_server_is_gone(
    servers: Callable[..., Any],
) -> None:
    async def run() -> None:
        client = QuickClient("one")
        queue = LongSessions(client)
        vars(client).update(quick=queue, fake=queue, queue=queue, run_queue=queue)
        chosen = servers(client)
        first = await start(chosen, 1)  # loads what is loaded once
        await first.wait()
        await first.close()
        tracemalloc.start()
        try:
            sweep = await start(chosen, 40)
            await sweep.wait()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < 2_500_000, "as objects they take more than 4 MB"
        finally:
            tracemalloc.stop()
        queue.faults["items"] = [ConnectionFailedError("away")]
        sessions = [result.outputs.queue_item.session async for result in sweep]
        assert [len(session["results"]) for session in sessions] == [300] * 40
        assert queue.faults["items"], "nothing was fetched again"
        await sweep.close()

    on_the_loop(run())


def test_a_damaged_file_of_several_servers_is_named(servers: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "it.sweep"

    async def run() -> None:
        client = QuickClient("one")
        chosen = servers(client)
        sweep = await start(chosen, 2, file=file)
        await sweep.wait()
        await sweep.close()
        with file.open("ab") as noted:
            noted.write(b'{"sending": "b", "index": 99, "server": "http://one.invalid"}\n')
        with pytest.raises(SweepFileError, match=r"it\.sweep is damaged"):
            await plans.picture().aresume_sweep(file, servers=chosen)

    on_the_loop(run())
