"""What a followed batch makes of the events it gets."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any
from weakref import WeakSet

import httpx
import pytest

from invokeai_gen.server import constants
from invokeai_gen.server.errors import ConnectionFailedError, NotFoundError, ServerFaultError, UnexpectedAnswerError
from invokeai_gen.server.events import (
    InvocationError,
    InvocationProgress,
    JobEvent,
    Preview,
    StatusChanged,
    parse_event,
)
from invokeai_gen.server.follow import Follower
from invokeai_gen.server.http import Transport
from invokeai_gen.server.queue import AsyncQueue
from invokeai_gen.server.status_watch import StatusWatch
from invokeai_gen.server.watch import Watch


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def call() -> None:
        asyncio.run(test())

    return call


def status(item_id: int, value: str) -> tuple[str, dict[str, Any]]:
    return "queue_item_status_changed", {"item_id": item_id, "batch_id": "b", "status": value}


def node(name: str, prepared: str = "p", **more: Any) -> tuple[str, dict[str, Any]]:
    invocation = {"id": prepared, "type": "img_blur"}
    return name, {"item_id": 1, "batch_id": "b", "invocation": invocation, "invocation_source_id": "n", **more}


def drain(queue: asyncio.Queue[JobEvent | None]) -> list[JobEvent | None]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


@on_a_loop
async def test_it_is_done_when_every_item_has_ended() -> None:
    watch = Watch("b", {})
    watch.handle(*status(1, "completed"))  # comes before the answer to the enqueue does
    watch.expect((1, 2))
    assert not watch.done.done()
    watch.handle(*status(2, "canceled"))
    assert watch.done.done()


@on_a_loop
async def test_a_status_that_is_not_known_ends_it_too() -> None:
    watch = Watch("b", {})
    watch.expect((1,))
    watch.handle(*status(1, "abducted"))
    assert watch.done.done()


@on_a_loop
async def test_the_waiting_of_a_workflow_call_is_not_the_end() -> None:
    watch = Watch("b", {})
    watch.expect((1,))
    watch.handle(*status(1, "waiting"))
    assert not watch.done.done()


@on_a_loop
async def test_the_error_of_a_node_is_still_heard_after_the_item_failed() -> None:
    watch = Watch("b", {"n": "Soften"})
    watch.expect((1,))
    queue = watch.subscribe()
    watch.handle(*status(1, "failed"))
    assert watch.done.done()
    watch.handle(*node("invocation_error", error_type="E", error_message="m", error_traceback="t"))
    _, error, end = drain(queue)
    assert isinstance(error, InvocationError)
    assert (error.node_label, error.error_type, error.error_message, error.server_traceback) == (
        "Soften",
        "E",
        "m",
        "t",
    )
    assert end is None


@on_a_loop
async def test_a_late_listener_hears_everything_but_outdated_progress() -> None:
    watch = Watch("b", {})
    watch.handle(*node("invocation_started"))
    for step in range(5):
        watch.handle(*node("invocation_progress", message="Denoising", percentage=step / 5, image=None))
    watch.handle(*node("invocation_progress", prepared="other", message="Saving", percentage=None, image=None))
    first, progress, other = drain(watch.subscribe())
    assert first is not None
    assert isinstance(progress, InvocationProgress)
    assert isinstance(other, InvocationProgress)
    assert (progress.percentage, other.message) == (0.8, "Saving")


@on_a_loop
async def test_a_status_that_both_event_and_question_tell_is_heard_once() -> None:
    watch = Watch("b", {})
    watch.expect((1, 2))
    queue = watch.subscribe()
    for value in ("in_progress", "in_progress", "completed", "canceled"):
        watch.handle(*status(1, value))
    assert [event.status for event in drain(queue) if isinstance(event, StatusChanged)] == ["in_progress", "completed"]


@on_a_loop
async def test_giving_up_is_an_error_for_whoever_waits_and_the_end_for_whoever_listens() -> None:
    watch = Watch("b", {})
    queue = watch.subscribe()
    watch.fail(ConnectionFailedError("gone"))
    with pytest.raises(ConnectionFailedError):
        await watch.done
    assert drain(queue) == [None]
    assert drain(watch.subscribe()) == [None]


def test_a_preview_gives_the_bytes_of_its_picture() -> None:
    event = parse_event(
        *node(
            "invocation_progress",
            message="Denoising",
            percentage=0.5,
            image={"width": 64, "height": 32, "dataURL": "data:image/jpeg;base64,/9j/"},
        ),
        labels={},
    )
    assert isinstance(event, InvocationProgress)
    assert event.preview is not None
    assert event.preview == Preview(64, 32, "data:image/jpeg;base64,/9j/")
    assert event.preview.bytes() == b"\xff\xd8\xff"
    assert event.node_label == "img_blur"


def test_events_of_no_interest_are_left_out() -> None:
    assert parse_event("model_load_started", {}, {}) is None


@on_a_loop
async def test_an_answer_that_nobody_expected_ends_the_waiting_of_that_job_alone() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/b/odd/status"):
            return httpx.Response(200, json=["not", "counts"])
        if path.endswith("/b/fine/status"):
            return httpx.Response(200, json={"total": 1, "completed": 1})
        return httpx.Response(200, json={"item_id": 2, "batch_id": "fine", "status": "completed"})

    transport = Transport("http://127.0.0.1:9", http_backend=httpx.MockTransport(answer))
    follower = Follower(transport, AsyncQueue(transport))
    try:
        odd, fine = await follower.watch("odd", {}), await follower.watch("fine", {})
        odd.expect((1,))
        fine.expect((2,))
        await asyncio.wait_for(fine.done, 30)
        with pytest.raises(UnexpectedAnswerError):
            await asyncio.wait_for(odd.done, 30)
    finally:
        await follower.close()


@on_a_loop
async def test_a_server_that_answers_now_and_then_is_not_given_up() -> None:
    loop = asyncio.get_running_loop()
    real_time, skipped, answered = loop.time, [0.0], [False]
    loop.time = lambda: real_time() + skipped[0]  # type: ignore[method-assign]

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"total": 1, "pending": 1}) if answered[0] else httpx.Response(500)

    transport = Transport("http://server", http_backend=httpx.MockTransport(answer), unreachable_after=1000)
    follower, watch = Follower(transport, AsyncQueue(transport)), Watch("b", {})
    watch.expect((1,))
    for answered[0], skipped[0] in ((False, 0), (True, 900), (False, 1800), (False, 2700)):
        await follower._ask(watch)
        assert not watch.done.done()
    skipped[0] = 2900
    await follower._ask(watch)
    with pytest.raises(ServerFaultError):
        await watch.done


@on_a_loop
async def test_how_long_a_server_was_away_is_counted_anew_for_the_next_job() -> None:
    loop = asyncio.get_running_loop()
    real_time, skipped = loop.time, [0.0]
    loop.time = lambda: real_time() + skipped[0]  # type: ignore[method-assign]
    backend = httpx.MockTransport(lambda _request: httpx.Response(500))
    transport = Transport("http://server", http_backend=backend, unreachable_after=1000)
    follower = Follower(transport, AsyncQueue(transport))
    first = follower.watch_status("a")
    first.expect((1,))
    for skipped[0] in (0.0, 2000.0):
        await follower._ask(first)
    with pytest.raises(ServerFaultError):
        await first.done
    second = follower.watch_status("b")
    second.expect((2,))
    await follower._ask(second)
    assert not second.done.done(), "it was given up at the first fault"
    await follower.close()


@on_a_loop
async def test_events_of_an_unknown_shape_are_a_reason_to_ask_and_no_more() -> None:
    transport = Transport("http://server")
    follower = Follower(transport, AsyncQueue(transport))
    watch = Watch("b", {})
    follower._watches["b"] = WeakSet([watch])
    odd: list[Any] = [None, [], "text", {"batch_id": "b"}, {"batch_id": "b", "invocation": 7}, {"batch_id": ["b"]}]
    for name in ("queue_item_status_changed", "invocation_complete", "invocation_progress"):
        for data in odd:
            follower._due = None
            follower._receive(name, data)
            assert follower._due is not None
    follower._receive(*status(1, "in_progress"))
    assert watch.statuses == {1: "in_progress"}


def unreachable() -> Follower:
    """A follower whose server refuses every request at once."""

    def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"total": 1, "pending": 1})

    transport = Transport("http://127.0.0.1:9", http_backend=httpx.MockTransport(refuse))
    return Follower(transport, AsyncQueue(transport))


@pytest.mark.parametrize("ticks", range(6))
def test_closing_at_the_moment_of_a_wake_up_ends(ticks: int) -> None:
    """`asyncio.wait_for` swallowed the cancellation here on Python 3.11, and closing hung."""

    @on_a_loop
    async def close() -> None:
        follower = unreachable()
        watch = await follower.watch("b", {})
        for _ in range(20):
            await asyncio.sleep(0)
        follower._due_changed.set()
        for _ in range(ticks):
            await asyncio.sleep(0)
        closing = asyncio.create_task(follower.close())
        done, _ = await asyncio.wait([closing], timeout=10)
        assert done
        assert watch.done.done()

    close()


@on_a_loop
async def test_memory_stays_flat_over_ten_thousand_jobs_that_are_dropped() -> None:
    follower = unreachable()
    await follower.watch("first", {})
    sizes = []
    for number in range(10_000):
        watch = await follower.watch(f"batch {number}", {})
        watch.expect((number,))
        watch.handle(*status(number, "in_progress"))
        if number % 2_500 == 2_499:
            del watch
            sizes.append(len(follower._all()) + len(follower._watches))
    await follower.close()
    assert sizes == [0, 0, 0, 0]


@on_a_loop
async def test_a_lost_item_of_a_batch_that_has_ended_does_not_stop_the_polling() -> None:
    """The list of unfinished items may become empty while the server is asked."""
    follower = unreachable()
    watch = Watch("b", {})
    watch.expect((1,))

    async def gone(_batch_id: str) -> Any:
        watch.add(StatusChanged(item_id=1, batch_id="b", status="completed"))
        raise NotFoundError("GET", "/b", 404)

    vars(follower._queue)["batch_counts"] = gone
    await follower._ask(watch)
    assert watch.done.done()


@pytest.mark.parametrize("other_left", [True, False])
def test_a_sweep_that_begins_after_a_polled_one_has_its_events(other_left: bool) -> None:
    @on_a_loop
    async def begin() -> None:
        follower = unreachable()
        other = await follower.watch("b", {}, keeps_events=False)
        other.expect((1,))
        assert follower._link is not None
        follower._link.close()  # as the pace of `other` asks for
        if not other_left:
            other.handle(*status(1, "completed"))
        await follower.watch("next", {}, keeps_events=False)
        assert (follower._link.state == "off") is other_left
        await follower.close()

    begin()


@pytest.mark.parametrize(("is_over", "level"), [(True, "DEBUG"), (False, "WARNING")])
def test_a_lost_connection_is_worth_a_warning_only_if_something_is_waited_for(
    is_over: bool, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that ends right after a run breaks off the connection that is being made."""
    caplog.set_level("DEBUG", logger="invokeai_gen")

    @on_a_loop
    async def lose() -> None:
        follower = unreachable()
        watch = follower.watch_status("b")
        if is_over:
            watch.expect(())
        await follower._open_link()
        async with asyncio.timeout(60):
            while "no event connection" not in caplog.text:
                await asyncio.sleep(0)
        await follower.close()

    lose()
    assert [record.levelname for record in caplog.records if "no event connection" in record.message] == [level]


def a_server_where_runs_end_after(looks: Mapping[str, int], seen: list[str], seconds: float) -> Transport:
    """Return a transport on which each item has ended after so many looks, and took so long by the server's clock."""

    def answer(request: httpx.Request) -> httpx.Response:
        place, item_id = request.url.path.removesuffix("/status").split("/")[-2:]
        seen.append(f"{item_id} {place}")
        has_ended = sum(each.split()[0] == item_id for each in seen) >= looks[item_id]
        status = "completed" if has_ended else "in_progress"
        if place == "b":
            return httpx.Response(200, json={"total": 1, status: 1})
        begin = datetime(2026, 1, 1, tzinfo=UTC)
        times = {
            "created_at": str(begin),
            "completed_at": str(begin + timedelta(seconds=seconds)) if has_ended else None,
        }
        return httpx.Response(200, json={"item_id": int(item_id), "batch_id": item_id, "status": status, **times})

    return Transport("http://server", http_backend=httpx.MockTransport(answer))


async def follow_one_after_the_other(follower: Follower, item_ids: Iterable[str]) -> None:
    for item_id in item_ids:
        watch = follower.watch_status(item_id)
        watch.expect((int(item_id),))
        await asyncio.wait_for(watch.done, 30)
        assert watch.ended[int(item_id)].status == "completed"


@on_a_loop
async def test_a_run_that_should_have_ended_as_the_last_one_did_is_asked_for_itself() -> None:
    seen: list[str] = []
    looks = {"1": 2, "2": 1, "3": 4, "4": 1}
    transport = a_server_where_runs_end_after(looks, seen, 0.05)
    follower = Follower(transport, AsyncQueue(transport))
    await follow_one_after_the_other(follower, looks)
    await follower.close()
    assert seen == [
        *("1 b", "1 b", "1 i"),
        "2 i",
        *("3 i", "3 i", "3 b", "3 b", "3 i"),  # it took longer
        "4 i",
    ]


@pytest.mark.parametrize(("seconds", "is_closed"), [(0.05, True), (constants.BRIEF_RUN, False)])
def test_runs_that_end_soon_are_followed_without_the_connection_that_others_left_open(
    seconds: float, is_closed: bool
) -> None:
    @on_a_loop
    async def follow() -> None:
        seen: list[str] = []
        transport = a_server_where_runs_end_after({"1": 1, "2": 1}, seen, seconds)
        follower = Follower(transport, AsyncQueue(transport))
        await follow_one_after_the_other(follower, "1")
        await follower._open_link()
        assert follower._link is not None
        watch = follower.watch_status("2")
        assert (follower._link.state == "off") is is_closed
        watch.expect((2,))
        await asyncio.wait_for(watch.done, 30)
        at_once = follower.watch_status("3"), follower.watch_status("4")  # which says nothing about when they end
        assert follower._link.state != "off"
        await follower.close()
        assert all(watch.done.done() for watch in at_once)

    follow()


@on_a_loop
async def test_the_connection_stays_for_a_failed_run_whose_last_event_is_still_to_come() -> None:
    transport = a_server_where_runs_end_after({"1": 1}, [], 0.05)
    follower = Follower(transport, AsyncQueue(transport))
    await follow_one_after_the_other(follower, "1")
    failed = await follower.watch("2", {})
    failed.expect((2,))
    failed.handle("queue_item_status_changed", {"item_id": 2, "batch_id": "2", "status": "failed"})
    assert failed.done.done()
    watch = follower.watch_status("3")
    assert follower._link is not None
    assert follower._link.state != "off"
    await follower.close()
    assert watch.done.done()


@on_a_loop
async def test_events_come_back_for_a_run_that_takes_longer_than_the_last_one() -> None:
    seen: list[str] = []
    transport = a_server_where_runs_end_after({"1": 1, "2": 99}, seen, 0.05)
    follower = Follower(transport, AsyncQueue(transport))
    await follow_one_after_the_other(follower, "1")
    await follower._open_link()
    watch = follower.watch_status("2")
    watch.expect((2,))
    assert follower._link is not None
    assert follower._link.state == "off"
    async with asyncio.timeout(60):
        while follower._link.state == "off":
            await asyncio.sleep(0)
    assert seen.count("2 b") == constants.MAX_SHORT_POLLS - 2
    await follower.close()


def test_a_time_that_cannot_be_read_only_costs_requests() -> None:
    async def lasted(**times: object) -> float | None:
        watch = StatusWatch("b")
        watch.expect((1,))
        watch.take_status({"item_id": 1, "status": "completed", **times})
        assert watch.done.done()
        return watch.lasted

    begin = "2026-01-01 00:00:00.000"
    known = asyncio.run(lasted(created_at=begin, completed_at="2026-01-01 00:00:00.500"))
    assert known == 0.5
    unknown: tuple[dict[str, object], ...] = (
        {},
        {"created_at": None, "completed_at": begin},
        {"created_at": begin, "completed_at": "later"},
    )
    for times in unknown:
        assert asyncio.run(lasted(**times)) is None
