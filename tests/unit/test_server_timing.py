"""Waits and limits, on a clock that goes on by itself whenever there is nothing to do: hours pass at once."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from invokeai_gen import AsyncInvokeAIClient
from invokeai_gen.server import background, constants, event_link
from invokeai_gen.server.errors import JobTimeoutError, RequestTimeoutError
from invokeai_gen.server.event_link import EventLink
from invokeai_gen.server.follow import Follower
from invokeai_gen.server.http import Transport
from invokeai_gen.server.queue import AsyncQueue
from invokeai_gen.sweeps.sweep import MAX_DEBOUNCE
from tests import plans
from tests.unit import memory_queue
from tests.unit.memory_queue import FakeClient, counted, settle

Handler = Callable[[httpx.Request], httpx.Response]


class _Selector(selectors.DefaultSelector):
    """A selector that does not wait, but notes how long it would have; for work in threads it does wait."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or memory_queue.in_threads:
            return super().select(timeout)
        found = super().select(0)
        if not found and timeout:
            self.waited += timeout
        return found


@pytest.fixture
def on_the_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a coroutine on a loop of such a clock, which begins at 0 and stands in for the background loop."""
    selector = _Selector()

    def call(test: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: selector.waited  # type: ignore[method-assign]
        gc.collect()  # clients of earlier tests would be closed on this loop, which ends before they are
        background.run(_closed_clients())
        monkeypatch.setattr(background, "_loop", loop)
        monkeypatch.setattr(asyncio, "to_thread", counted)
        monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
        try:
            loop.run_until_complete(test)
        finally:
            loop.close()

    return call


async def _closed_clients() -> None:
    """Wait for the clients that are being closed on the real loop: half of that would happen on the other one."""
    tasks = asyncio.all_tasks()
    await asyncio.gather(*(task for task in tasks if "Connections.close" in repr(task.get_coro())))


def now() -> float:
    return asyncio.get_running_loop().time()


def transport(handler: Handler) -> Transport:
    return Transport("http://server", http_backend=httpx.MockTransport(handler))


Clock = Callable[[Coroutine[Any, Any, None]], None]


def busy(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"total": 1, "pending": 1, "queue": {"pending": 1}})


class Link(EventLink):
    """An event connection that notes when it is tried; that succeeds if `connects`, for ever."""

    connects = False

    async def _connection(self) -> None:
        attempts.append(now())
        if not self.connects:
            raise OSError("refused")
        self._note_connection()
        await asyncio.Event().wait()


attempts: list[float] = []


def following(handler: Handler, monkeypatch: pytest.MonkeyPatch, *, connects: bool = False) -> Follower:
    attempts.clear()
    monkeypatch.setattr(Link, "connects", connects)
    monkeypatch.setattr(event_link, "EventLink", Link)
    return Follower(transport(handler), AsyncQueue(transport(handler)))


def test_an_event_connection_that_is_lost_is_tried_less_and_less_often(
    on_the_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def follow() -> None:
        follower = following(busy, monkeypatch)
        watch = await follower.watch("b", {})
        watch.expect((1,))
        await asyncio.sleep(3600)
        await follower.close()
        pauses = [after - before for before, after in itertools.pairwise(attempts)]
        assert pauses[0] == pytest.approx(constants.FIRST_RECONNECT)
        assert pauses[-1] == pytest.approx(constants.MAX_RECONNECT)
        assert pauses == sorted(pauses)
        assert len(pauses) < 3600 / constants.MAX_RECONNECT + 10

    on_the_clock(follow())


@pytest.mark.parametrize("connects", [True, False])
def test_a_job_is_asked_about_seldom_while_events_arrive_and_often_without(
    on_the_clock: Clock, monkeypatch: pytest.MonkeyPatch, connects: bool
) -> None:
    asked: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(now())
        return busy(request)

    async def follow() -> None:
        follower = following(answer, monkeypatch, connects=connects)
        watch = await follower.watch("b", {})
        watch.expect((1,))
        await asyncio.sleep(600)
        await follower.close()
        often, seldom = 600 / (2 * constants.MAX_POLL), 2 * 600 / constants.SAFETY_POLL
        assert len(asked) < seldom if connects else len(asked) > often
        assert max(after - before for before, after in itertools.pairwise(asked)) < 2 * (
            constants.SAFETY_POLL if connects else constants.MAX_POLL
        )

    on_the_clock(follow())


@pytest.mark.parametrize("timeout", [30, 0.05])
def test_waiting_for_an_idle_queue_asks_now_and_then_and_ends_in_time(on_the_clock: Clock, timeout: float) -> None:
    asked: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(now())
        return busy(request)

    async def wait() -> None:
        with pytest.raises(JobTimeoutError, match=f"still has 1 unfinished items after {timeout:g} s"):
            await AsyncQueue(transport(answer)).wait_until_idle(timeout)
        assert now() == pytest.approx(timeout)
        pauses = [after - before for before, after in itertools.pairwise(asked)][:-1]
        assert all(constants.FIRST_POLL <= pause <= constants.MAX_POLL + 1e-6 for pause in pauses)
        assert len(asked) <= timeout / constants.MAX_POLL + 10

    on_the_clock(wait())


@pytest.mark.parametrize(("size", "more"), [(0, 0.0), (1 << 20, 1024.0)])
def test_a_server_that_never_answers_is_given_up_after_what_the_request_may_take(
    on_the_clock: Clock, size: int, more: float
) -> None:
    """The time to connect, the silence that is allowed, and a second for each kilobyte that is sent."""

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    async def ask() -> None:
        client = AsyncInvokeAIClient("http://server", http_backend=Silent(), timeout=7, max_retries=0)
        with pytest.raises(RequestTimeoutError):
            await client.ask("POST", "/x", json="x" * (size - 2) if size else None)
        assert now() == pytest.approx(constants.CONNECT_TIMEOUT + 7 + more)

    on_the_clock(ask())


def test_waiting_for_a_sweep_ends_at_its_timeout_and_the_sweep_goes_on(on_the_clock: Clock) -> None:
    async def wait() -> None:
        client = FakeClient()
        sweep = await plans.picture().asweep(product={"width": [8, 16]}, client=client, errors="collect")
        await settle()
        began = now()
        with pytest.raises(JobTimeoutError):
            await sweep.wait(timeout=90)
        assert now() - began == pytest.approx(90)
        assert [*client.fake.status.values()] == ["pending", "pending"]
        client.finish()
        await sweep.wait(timeout=90)
        assert sweep.counts.completed == 2
        await sweep.close()

    on_the_clock(wait())


def test_results_that_follow_one_another_are_fetched_together(on_the_clock: Clock) -> None:
    async def collect() -> None:
        client = FakeClient()
        sweep = await plans.picture().asweep(product={"width": range(8, 108)}, client=client, errors="collect")
        await settle()

        async def work() -> None:
            for item_id in sorted(client.fake.status):
                await asyncio.sleep(0.1)
                client.finish(item_id)

        before = client.fake.asked["items"]
        working = asyncio.create_task(work())
        waits = [now() - 0.1 * (result.index + 1) async for result in sweep]
        await working
        assert client.fake.asked["items"] - before < 20
        assert len(waits) == 100
        assert max(waits) <= MAX_DEBOUNCE + 0.1
        assert waits[0] < 0.5, "the first one is shown soon"
        await sweep.close()

    on_the_clock(collect())
