"""What a sweep sends and when, and what it makes of faults at every step: against a queue in memory."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.core.problems import ParamsError
from invokeai_gen.server import background
from invokeai_gen.server.errors import ConnectionFailedError, NotFoundError
from invokeai_gen.server.run_errors import EnqueueUncertainError, JobFailedError, ValueResolutionError
from invokeai_gen.sweeps import dask_workers, dispatch
from invokeai_gen.sweeps import sweep as sweeps
from invokeai_gen.sweeps.batching import Group, Layout
from invokeai_gen.sweeps.journal import Journal, SweepFileError
from invokeai_gen.sweeps.multi_server import MultiServer
from invokeai_gen.sweeps.results import SweepCounts
from invokeai_gen.sweeps.space import space_of
from invokeai_gen.sweeps.state import SweepClosedError
from invokeai_gen.sweeps.sweep import AsyncSweep
from tests import plans
from tests.unit.memory_queue import GUARD, FakeClient, counted, settle, to_thread

Sweep = AsyncSweep[plans.PictureParams, plans.PictureOutputs]
COLORS = {"color": ["#ff0000", "#00ff00"]}
"""Two enqueues: colours are no batch data."""


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs on the background loop, and does not hang for ever."""

    def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dispatch, "ROOM_POLL", 3600.0)
        monkeypatch.setattr(asyncio, "to_thread", counted)
        background.run(asyncio.wait_for(test(tmp_path / "it.sweep"), GUARD))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def start(client: FakeClient, count: int = 2, **options: Any) -> Sweep:
    return await plans.picture().asweep(
        product={"width": range(8, 8 + count)}, client=client, errors="collect", **options
    )


async def start_two(client: FakeClient, **options: Any) -> Sweep:
    return await plans.picture().asweep(product=COLORS, client=client, errors="collect", **options)


@scenario
async def test_a_sweep_that_nobody_keeps_is_followed_and_retried(_file: Path) -> None:
    client = FakeClient()
    await start(client, 1, retries=1)
    await settle()
    gc.collect()
    client.finish(1, status="failed")
    await settle()
    assert [*client.fake.status.values()] == ["failed", "pending"]


@scenario
async def test_a_full_queue_is_asked_for_room_only_when_there_may_be_some(_file: Path) -> None:
    client = FakeClient(limit=20)
    sweep = await start(client, 40)
    await settle()
    assert (client.fake.asked["enqueue"], client.fake.asked["counts"], sweep.counts.unsent) == (1, 1, 20)
    for item_id in range(1, 10):
        client.finish(item_id)
        await settle()
    assert client.fake.asked["counts"] == 1
    client.finish(10)
    await settle()
    assert (client.fake.asked["enqueue"], client.fake.asked["counts"], sweep.counts.unsent) == (2, 3, 10)
    await sweep.close()


@scenario
async def test_a_sweep_with_a_client_of_its_own_does_not_look_for_the_shared_one(_file: Path) -> None:
    client = FakeClient()
    sweep = await start(client)
    client.finish()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVOKEAI_URL", "not an address")
        assert [result.status for result in await sweep.results()] == ["completed", "completed"]


@scenario
async def test_a_queue_that_takes_less_than_it_says_is_not_flooded(_file: Path) -> None:
    client = FakeClient(limit=2)
    client.fake.told_limit = 10_000
    sweep = await start(client, 4)
    await settle()
    assert (client.fake.asked["enqueue"], sweep.counts) == (2, SweepCounts(total=4, pending=2, unsent=2))
    await sweep.close()


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_smallest_queues_take_everything_in_the_end(limit: int) -> None:
    async def main() -> None:
        client = FakeClient(limit)
        sweep = await start(client, 7, runs=2)
        while not sweep.is_done:
            await settle()
            client.finish()
        assert sweep.counts == SweepCounts(total=14, completed=14)
        assert len(client.fake.status) == 14

    background.run(asyncio.wait_for(main(), GUARD))


@scenario
async def test_an_enqueue_on_its_way_is_taken_back_when_it_has_arrived(_file: Path) -> None:
    client = FakeClient()
    client.fake.gates["enqueue"] = asyncio.Event()
    task = asyncio.create_task(start(client))
    await settle()
    assert client.fake.asked["enqueue"] == 1
    task.cancel()
    await settle()
    client.fake.gates["enqueue"].set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {*client.fake.status.values()} == {"canceled"}


@scenario
async def test_cancel_takes_back_the_enqueue_that_is_on_its_way(_file: Path) -> None:
    client = FakeClient(limit=1)
    sweep = await start(client)
    gate = client.fake.gates["enqueue"] = asyncio.Event()
    client.finish()
    await settle()
    assert (client.fake.asked["enqueue"], sweep.counts.unsent) == (2, 1)
    task = asyncio.create_task(sweep.cancel())
    await settle()
    gate.set()
    assert await task == SweepCounts(total=2, completed=1, canceled=1)
    assert client.fake.status == {1: "completed", 2: "canceled"}


@scenario
async def test_a_note_that_fails_after_an_enqueue_loses_nothing(file: Path) -> None:
    client = FakeClient(limit=1)
    sweep = await start(client, file=file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "note", full_disk)
        client.finish()
        with pytest.raises(SweepFileError, match="full"):
            await sweep.wait()
    assert await sweep.retry() == 1
    await settle()
    client.finish()
    assert await sweep.wait() == SweepCounts(total=2, completed=2)
    assert len(client.fake.status) == 2


def full_disk(_journal: Journal, **entry: Any) -> None:
    if "sent" in entry:
        raise SweepFileError("the disk is full")


@scenario
async def test_what_could_not_be_followed_is_followed_by_whichever_retry_can(_file: Path) -> None:
    client = FakeClient()
    sweep = await start(client)
    for watch in client.watches.values():
        watch.fail(ConnectionFailedError("away"))
    with pytest.raises(ConnectionFailedError):
        await sweep.wait()
    client.fake.faults["items"] = [ConnectionFailedError("still away")]
    with pytest.raises(ConnectionFailedError, match="still"):
        await sweep.retry()
    with pytest.raises(ConnectionFailedError):
        await sweep.wait()
    assert await sweep.retry() == 0
    client.finish()
    assert await sweep.wait() == SweepCounts(total=2, completed=2)


@scenario
async def test_nothing_more_is_sent_when_nobody_follows_it(_file: Path) -> None:
    client = FakeClient(limit=2)
    sweep = await start(client, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "ROOM_POLL", 0.0)
        for watch in client.watches.values():
            watch.fail(ConnectionFailedError("the client was closed"))
        await settle()
        client.fake.status |= dict.fromkeys(client.fake.status, "completed")
        await settle()
        assert client.fake.asked["enqueue"] == 1
        assert await sweep.retry() == 1
        await settle()
        client.finish()
        assert await sweep.wait() == SweepCounts(total=3, completed=3)


@scenario
async def test_two_retries_at_once_send_each_item_once(_file: Path) -> None:
    client = FakeClient()
    sweep = await start(client)
    client.finish(status="failed")
    await sweep.wait()
    await asyncio.gather(sweep.retry(), sweep.retry())
    await settle()
    assert len(client.fake.status) == 4
    client.finish()
    assert await sweep.wait() == SweepCounts(total=2, completed=2)


@scenario
async def test_what_is_read_while_it_is_sent_again_is_reported_as_it_was(_file: Path) -> None:
    client = FakeClient()
    sweep = await start(client, 1)
    client.finish(status="failed")
    await sweep.wait()
    gate = client.fake.gates["items"] = asyncio.Event()
    failures = asyncio.create_task(sweep.failures())
    await settle()
    del client.fake.gates["items"]
    assert await sweep.retry() == 1
    gate.set()
    (result,) = await failures
    assert (result.item_id, type(result.error)) == (1, JobFailedError)
    await sweep.close()


@scenario
async def test_a_closed_sweep_tells_that_it_is_and_retry_opens_it_again(file: Path) -> None:
    client = FakeClient(limit=2)
    sweep = await start(client, 3, file=file)
    await sweep.close()
    with pytest.raises(SweepClosedError):
        await sweep.wait()
    with pytest.raises(SweepClosedError):
        await anext(sweep.__aiter__())
    client.finish(1)
    client.fake.limit = 3
    again = asyncio.create_task(sweep.retry())
    await settle()
    client.finish()
    assert await again == 1
    await settle()
    client.finish()
    assert await sweep.wait() == SweepCounts(total=3, completed=3)
    assert len(client.fake.status) == 3


@scenario
async def test_a_sweep_that_ends_by_being_canceled_lets_go_of_its_file(file: Path) -> None:
    client = FakeClient(limit=2)
    sweep = await start(client, 3, file=file)
    client.fake.gates["enqueue"] = asyncio.Event()
    await settle()
    client.finish()
    await settle()
    client.fake.gates["enqueue"].set()
    assert (await sweep.cancel()).finished == 3
    again = await plans.picture().aresume_sweep(file, client=client)
    assert again.is_done


@scenario
async def test_a_file_is_kept_where_the_server_is_away_when_it_is_resumed(file: Path) -> None:
    client = FakeClient()
    sweep = await plans.picture().asweep(product={"board": ["Cats", "none"]}, client=client, file=file)
    await sweep.close()
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])  # the process died before anything was sent
    client.fake_boards.is_away = True
    with pytest.raises(ConnectionFailedError):
        await plans.picture().aresume_sweep(file, client=client)
    client.fake_boards.is_away = False
    again = await plans.picture().aresume_sweep(file, client=client)
    assert again.total == 2
    await again.close()


@scenario
async def test_items_of_a_server_that_counts_from_one_again_are_gone(file: Path) -> None:
    sweep = await start(FakeClient(), 2, file=file)
    await sweep.close()
    client = FakeClient()
    client.fake.batches["of somebody else"] = [next(client.fake.ids)]
    client.fake.status[1] = "completed"
    again = await plans.picture().aresume_sweep(file, client=client, errors="collect")
    assert [failure.status for failure in await again.failures()] == ["deleted", "deleted"]
    assert await again.retry(deleted=True) == 2
    client.finish()
    assert await again.wait() == SweepCounts(total=2, completed=2)


@scenario
async def test_an_id_that_a_server_gives_twice_belongs_to_the_later_item(file: Path) -> None:
    sweep = await start(FakeClient(limit=1), 2, file=file)
    await sweep.close()
    client = FakeClient()
    for _ in range(2):  # the first time, the second item gets the id of the first
        again = await plans.picture().aresume_sweep(file, client=client, errors="collect")
        await settle()
        assert again.counts == SweepCounts(total=2, pending=1, other=1)
        await again.close()
    last = await plans.picture().aresume_sweep(file, client=client, errors="collect")
    client.finish()
    assert await last.wait() == SweepCounts(total=2, completed=1, other=1)
    assert [result.status for result in await last.results()] == ["deleted", "completed"]


def sent_images(client: FakeClient) -> set[str]:
    """The images that the last enqueue names."""
    (((column,),),) = (client.fake.sent[-1]["data"],)
    return {item["image_name"] for item in column["items"]}


@scenario
async def test_what_was_deleted_again_is_uploaded_again_by_whoever_goes_on(file: Path) -> None:
    client = FakeClient()
    one, two = file.with_name("one.png"), file.with_name("two.png")
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    sweep = await plans.resize().asweep(product={"picture": [one, two]}, client=client, file=file)
    await sweep.close()
    entries = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(entry for entry in entries if b'"sweep"' in entry or b'"uploaded"' in entry))
    uploaded = {*client.fake_images.names}
    two.unlink()
    with pytest.raises(ValueResolutionError):
        await plans.resize().aresume_sweep(file, client=client)
    assert client.fake_images.names == uploaded
    two.write_bytes(b"2")
    again = await plans.resize().aresume_sweep(file, client=client, errors="collect")
    assert sent_images(client) == client.fake_images.names
    client.finish(status="failed")
    await again.wait()
    assert len((await again.cleanup_inputs()).deleted) == 2
    last = await plans.resize().aresume_sweep(file, client=client)
    assert await last.retry() == 2
    assert len(sent_images(client)) == 2
    assert sent_images(client) == client.fake_images.names
    await last.close()


@scenario
async def test_a_process_that_died_before_a_retry_was_sent_sends_it_when_it_goes_on(file: Path) -> None:
    client = FakeClient()
    sweep = await start_two(client, file=file)
    await settle()
    client.finish(status="failed")
    await sweep.wait()
    await sweep.retry()
    await sweep.close()
    entries = file.read_bytes().splitlines(keepends=True)
    last = max(place for place, entry in enumerate(entries) if b'"block"' in entry)
    file.write_bytes(b"".join(entries[: last + 1]))
    client.fake.batches = {batch_id: ids for batch_id, ids in client.fake.batches.items() if {*ids} <= {1, 2}}
    client.fake.status = {1: "failed", 2: "failed"}
    client.fake.limit = client.fake.told_limit = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "ROOM_POLL", 0.0)
        again = await plans.picture().aresume_sweep(file, client=client, errors="collect")
        assert again.counts == SweepCounts(total=2, unsent=1, pending=1), "what failed before is to be sent"
        client.finish()
        await settle()
        client.finish()
        assert await again.wait() == SweepCounts(total=2, completed=2)
    assert sorted(client.fake.status.values()) == ["completed", "completed", "failed", "failed"]
    assert [result.index async for result in again] == [0, 1]


@scenario
async def test_what_was_canceled_while_it_was_sent_is_canceled_by_whoever_goes_on(file: Path) -> None:
    client = FakeClient()
    client.fake.faults["enqueue"] = [EnqueueUncertainError("x", TimeoutError())]
    with pytest.raises(EnqueueUncertainError):
        await start(client, file=file)
    entries = [json.loads(line) for line in file.read_bytes().splitlines()]
    (batch_id,) = [entry["sending"] for entry in entries if "sending" in entry]
    with file.open("ab") as noted:
        noted.write(json.dumps({"withdrawn": [batch_id]}).encode() + b"\n")
    again = await plans.picture().aresume_sweep(file, client=client, errors="collect")
    assert {*client.fake.status.values()} == {"canceled"}
    assert again.counts == SweepCounts(total=2, canceled=2)
    await again.close()


@scenario
async def test_a_slip_of_the_pen_is_refused(_file: Path) -> None:
    with pytest.raises(ParamsError, match="2 × 1000000000 items"):
        await start(FakeClient(), runs=10**9)


def multi_server(*clients: FakeClient) -> MultiServer:
    space = space_of(plans.PictureParams, None, product={"width": [8, 16]})
    layout = Layout(plans.picture().plan, space, [Group(((0, 1),), [])])
    return MultiServer(layout, clients, {}, None)


def run_on(shared: MultiServer, client: FakeClient, index: int) -> asyncio.Task[dask_workers.Outcome]:
    """What the worker of a server does for an item."""
    item = shared.hand_out(index, client.url)
    return asyncio.create_task(dask_workers.run(item, shared.layout.plan, client.url))


@scenario
async def test_over_several_servers_an_item_on_its_way_is_taken_back_too(_file: Path) -> None:
    client = FakeClient()
    shared = multi_server(client)
    gate = client.fake.gates["enqueue"] = asyncio.Event()
    running = run_on(shared, client, 0)
    await settle()
    await shared.cancel()
    gate.set()
    await settle()
    assert client.fake.status == {1: "canceled"}
    client.finish(1, status="canceled")
    assert (await running).status == "canceled"
    assert await run_on(shared, client, 1) == dask_workers.Outcome()
    assert client.fake.asked["enqueue"] == 1, "nothing is sent after it"


@scenario
async def test_cancel_reaches_every_server_that_is_there(_file: Path) -> None:
    away, here = FakeClient(url="http://away.invalid"), FakeClient(url="http://here.invalid")
    shared = multi_server(away, here)
    running = [run_on(shared, client, index) for index, client in enumerate((away, here))]
    await settle()
    away.fake.faults["cancel"] = [ConnectionFailedError("away")]
    gate = here.fake.gates["cancel"] = asyncio.Event()
    canceling = asyncio.create_task(shared.cancel())
    await settle()
    assert not canceling.done(), "it waits for the server that is there"
    gate.set()
    with pytest.raises(ConnectionFailedError):
        await canceling
    assert (away.fake.status, here.fake.status) == ({1: "pending"}, {1: "canceled"})
    for task in running:
        task.cancel()


@scenario
async def test_a_server_that_went_away_twice_comes_back_once(_file: Path) -> None:
    client = FakeClient()
    shared = multi_server(client)
    shared._abandoned[client.url] = ["a batch"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("invokeai_gen.sweeps.multi_server.RETURN_POLL", 0.0)
        await asyncio.gather(shared._take_back(client.url), shared._take_back(client.url))
    assert shared._abandoned == {}


@scenario
async def test_a_server_that_answers_404_to_an_enqueue_is_named(_file: Path) -> None:
    client = FakeClient()
    client.fake.faults["enqueue"] = [NotFoundError("POST", "/enqueue_batch", 404, "Not Found")]
    shared = multi_server(client)
    outcome = await run_on(shared, client, 0)
    assert isinstance(outcome.error, NotFoundError)
    assert outcome.is_unfit({"Width"})


@scenario
async def test_the_call_returns_when_the_first_of_many_enqueues_is_there(_file: Path) -> None:
    client = FakeClient()
    sweep = await plans.picture().asweep(
        product={"color": [(r, 0, 0) for r in range(200)]}, client=client, errors="collect"
    )
    assert client.fake.asked["enqueue"] < 10
    while not sweep.is_done:
        await settle()
        client.finish()
    assert (client.fake.asked["enqueue"], len(client.fake.status)) == (200, 200)
    assert sweep.counts == SweepCounts(total=200, completed=200)


@scenario
async def test_an_item_that_fails_is_sent_again_as_often_as_is_wanted(file: Path) -> None:
    client = FakeClient()
    sweep = await start(client, 3, retries=2, file=file)
    client.finish(1)
    for item_id in (2, 4, 5):
        client.finish(item_id, status="failed")
        await settle()
    client.finish(3)
    assert await sweep.wait() == SweepCounts(total=3, completed=2, failed=1)
    assert [*client.fake.status] == [1, 2, 3, 4, 5]
    again = await plans.picture().aresume_sweep(file, client=client)
    assert again.counts == SweepCounts(total=3, completed=2, failed=1)


@scenario
async def test_a_file_is_never_written_on_the_event_loop(file: Path) -> None:
    images = [file.with_name(name) for name in ("one.png", "two.png")]
    for image in images:
        image.write_bytes(image.name.encode())
    on_the_loop: dict[str, bool] = {}
    note = Journal.note

    def noted(journal: Journal, **entry: Any) -> None:
        kind = next(iter(entry))
        on_the_loop[kind] = background.is_here() or on_the_loop.get(kind, False)
        note(journal, **entry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "note", noted)
        client = FakeClient(limit=1)
        sweep = await plans.resize().asweep(product={"picture": images}, client=client, file=file, errors="collect")
        client.finish(status="failed")
        await sweep.retry()
        await sweep.cancel()
        await sweep.cleanup_inputs()
    kinds = ("layout", "uploaded", "sending", "split", "sent", "block", "withdrawn", "removed")
    assert on_the_loop == dict.fromkeys(kinds, False)


@scenario
async def test_what_is_canceled_while_its_retry_is_noted_is_not_sent_by_whoever_goes_on(file: Path) -> None:
    client = FakeClient()
    noting, goes_on = threading.Event(), threading.Event()
    note = Journal.note

    def noted(journal: Journal, **entry: Any) -> None:
        if "block" in entry:
            noting.set()
            assert goes_on.wait(GUARD)
        note(journal, **entry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "note", noted)
        sweep = await start(client, file=file, retries=1)
        client.finish(status="failed")
        assert await to_thread(noting.wait, GUARD)
        canceling = asyncio.create_task(sweep.cancel())
        for _ in range(100):
            await asyncio.sleep(0)
        goes_on.set()
        assert await canceling == SweepCounts(total=2, canceled=2)
    again = await plans.picture().aresume_sweep(file, client=client, errors="collect")
    assert again.counts == SweepCounts(total=2, failed=2)
    assert client.fake.asked["enqueue"] == 1


@pytest.mark.parametrize("retries", [-1, 1.5, "2", True])
def test_retries_are_a_number(retries: object) -> None:
    with pytest.raises(ParamsError, match="retries is .* should be 0 or more"):
        plans.picture().sweep(product={"width": [8]}, client=None, retries=retries)  # type: ignore[arg-type]


@scenario
async def test_what_was_canceled_while_its_server_was_away_is_sent_again_once(_file: Path) -> None:
    client = FakeClient()
    sweep = await start(client)
    for item_id in (1, 3):
        for watch in client.watches.values():
            watch.was_interrupted = True
        client.finish(item_id, status="canceled")
        await settle()
    client.finish(2)
    assert await sweep.wait() == SweepCounts(total=2, completed=1, canceled=1)
    assert len(client.fake.status) == 3


@scenario
async def test_a_cancel_by_somebody_else_is_not_undone(_file: Path) -> None:
    client = FakeClient()
    sweep = await start(client)
    client.finish(1, status="canceled")
    client.finish(2)
    assert await sweep.wait() == SweepCounts(total=2, completed=1, canceled=1)


def test_an_interrupt_that_comes_together_with_a_result_cancels_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, whose loop notices an interrupt only when something else wakes it."""
    monkeypatch.setattr(sweeps, "FIRST_DEBOUNCE", 0.0)

    async def main() -> None:
        client = FakeClient()

        async def confirm() -> None:
            client.finish(2, status="canceled")

        async def end_the_first() -> None:
            client.finish(1)
            await settle()

        vars(client).update(ask_soon=confirm)
        sweep = await start(client)

        async def first() -> object:
            return await anext(aiter(sweep))

        task = asyncio.create_task(first())
        await asyncio.sleep(0)
        background.run(settle())
        background.run(end_the_first())  # which holds up this loop: the result is there, but nobody has seen it
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sweep.counts == SweepCounts(total=2, completed=1, canceled=1)

    asyncio.run(asyncio.wait_for(main(), GUARD))


@scenario
async def test_leaving_the_block_knows_what_was_canceled(_file: Path) -> None:
    client = FakeClient()
    async with await start(client, 18) as sweep:
        asyncio.get_running_loop().call_later(0.2, functools.partial(client.finish, *range(1, 19), status="canceled"))
    assert sweep.counts == SweepCounts(total=18, canceled=18)


@scenario
async def test_counts_and_results_agree_after_a_prune(_file: Path) -> None:
    client = FakeClient()
    sweep = await start(client, 3)
    client.finish()
    assert (await sweep.wait()).completed == 3
    client.fake.batches.clear()
    assert [result.status for result in await sweep.results()] == ["deleted"] * 3
    assert sweep.counts == SweepCounts(total=3, other=3)
    assert [result.index async for result in sweep] == [0, 1, 2]
    assert await sweep.retry() == 0
    assert await sweep.retry(deleted=True) == 3
    await sweep.close()


async def finished_file(file: Path) -> FakeClient:
    client = FakeClient()
    sweep = await plans.picture().asweep(
        product={"width": [8, 16], "color": ["#ff0000", "#00ff00"]}, client=client, file=file, errors="collect"
    )
    await settle()
    client.finish(status="failed")
    await sweep.wait()
    await sweep.retry()
    await settle()
    client.finish()
    await sweep.wait()
    return client


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    """The path of everything in a JSON value, itself included."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(item, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A JSON value with something else at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


@scenario
async def test_a_file_that_was_tampered_with_is_refused_or_read_and_never_breaks(file: Path) -> None:
    client = await finished_file(file)
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    refused = total = 0
    for number, line in enumerate(lines):
        for path in [*leaves(line)]:
            junk: Any
            for junk in (None, -1, 10**9, "x", [], {}, [[0]]):
                total += 1
                broken = [*lines[:number], changed(line, path, junk), *lines[number + 1 :]]
                file.write_bytes(b"".join(json.dumps(each).encode() + b"\n" for each in broken))
                try:
                    sweep = await plans.picture().aresume_sweep(file, client=client, errors="collect")
                except (SweepFileError, ParamsError):
                    refused += 1
                else:
                    await sweep.close()
    for number in range(len(lines)):
        file.write_bytes(b"".join(json.dumps(each).encode() + b"\n" for each in lines[:number] + lines[number + 1 :]))
        with contextlib.suppress(SweepFileError, ParamsError):
            sweep = await plans.picture().aresume_sweep(file, client=client, errors="collect")
            await sweep.close()
    assert total > 500
    assert refused > total / 2


@scenario
async def test_another_layout_of_the_json_is_the_same_workflow_and_localhost_the_same_server(file: Path) -> None:
    client = await finished_file(file)
    header, end, rest = file.read_bytes().partition(b"\n")
    told = json.loads(header)
    told["workflow"]["sha256"] = "0" * 64
    for server, other in (
        ("http://localhost:9090", "http://127.0.0.1:9090/"),
        ("http://[::1]:9090", "http://localhost:9090"),
    ):
        file.write_bytes(json.dumps({**told, "server": server}).encode() + end + rest)
        here = FakeClient(url=other)
        vars(here).update(queue=client.fake, run_queue=client.fake)
        assert (await plans.picture().aresume_sweep(file, client=here)).counts.completed == 4
    for server in ("http://localhost:9091", "https://localhost:9090", "http://other:9090"):
        file.write_bytes(json.dumps({**told, "server": server}).encode() + end + rest)
        with pytest.raises(SweepFileError, match="name that server"):
            await plans.picture().aresume_sweep(file, client=here)
    told["workflow"]["content"] = "0" * 64
    file.write_bytes(json.dumps({**told, "server": here.url}).encode() + end + rest)
    with pytest.raises(SweepFileError, match="the workflow has changed since"):
        await plans.picture().aresume_sweep(file, client=here)
