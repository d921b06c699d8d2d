"""A sweep of many fast items, during which the server sends no events: nothing is lost or late because of it."""

from __future__ import annotations

from collections import Counter

import pytest

from invokeai_gen import InvokeAIClient, Sweep
from invokeai_gen.server import constants, pacing
from invokeai_gen.server.errors import JobCanceledError
from invokeai_gen.server.events import InvocationComplete, InvocationStarted
from tests import plans
from tests.live.proxy import Proxy
from tests.live.test_events import follower_of, wait_for

TIME = 120.0
PictureSweep = Sweep[plans.PictureParams, plans.PictureOutputs]


@pytest.fixture(autouse=True)
def any_pace_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine does beside: after the first items no event is wanted, and none near the end."""
    for name, value in (("FAST", 1e9), ("SLOW", 1e9), ("FAR", 0.0), ("NEAR", 0.0)):
        monkeypatch.setattr(pacing, name, value)
    monkeypatch.setattr(constants, "BATCH_POLL", 0.2)


def begun(client: InvokeAIClient, count: int) -> PictureSweep:
    """A sweep that is already followed without events."""
    sweep = plans.picture().sweep(product={"width": range(8, 8 + count)}, client=client, errors="collect")
    wait_for(lambda: sweep.counts.finished >= pacing.MIN_ENDED, "nothing ends")
    wait_for(lambda: not follower_of(client).is_connected, "events are still received")
    return sweep


def test_every_result_comes_once_and_few_requests_are_sent(proxy: Proxy) -> None:
    with InvokeAIClient(proxy.url) as client:
        sweep = begun(client, 80)
        results = sorted(sweep, key=lambda result: result.index)
        assert [result.index for result in results] == [*range(80)]
        assert [result.outputs.picture.width for result in results] == [*range(8, 88)]
        assert sweep.counts.completed == 80
        assert proxy.asked("enqueue_batch") == 1
        assert proxy.asked("/i/") <= 1, "at most for the last one"
        fetched = Counter(result.item_id for result in sweep.results())
        assert [*fetched.values()] == [1] * 80


def test_it_is_canceled_and_sent_again(proxy: Proxy) -> None:
    with InvokeAIClient(proxy.url) as client:
        sweep = begun(client, 120)
        counts = sweep.cancel()
        assert counts.finished == 120
        assert counts.canceled > 0
        assert counts.completed + counts.canceled == 120
        lost = [result for result in sweep if not result.is_ok]
        assert {type(result.error) for result in lost} == {JobCanceledError}
        assert len(lost) == counts.canceled
        assert sweep.retry() == counts.canceled
        assert [result.outputs.picture.width for result in sweep.results()] == [*range(8, 128)]


def test_an_item_that_somebody_else_cancels_is_noticed(proxy: Proxy, server_url: str) -> None:
    with InvokeAIClient(proxy.url) as client, InvokeAIClient(server_url) as other:
        sweep = begun(client, 120)
        last = max(item.item_id for item in other.queue.list(status="pending"))
        other.queue.cancel(last)
        wait_for(lambda: sweep.counts.canceled == 1, "the canceled item was not noticed")
        sweep.cancel()


def test_a_job_meanwhile_has_all_its_events_and_then_they_are_left_out_again(proxy: Proxy) -> None:
    with InvokeAIClient(proxy.url) as client:
        sweep = begun(client, 120)
        job = plans.picture().submit(plans.PictureParams(width=64), client=client, prepend=True)
        assert follower_of(client).is_connected
        events = [*job.events()]
        for kind in (InvocationStarted, InvocationComplete):
            assert len({event.node_id for event in events if isinstance(event, kind)}) == 3
        assert job.wait(TIME) == "completed"
        wait_for(lambda: not follower_of(client).is_connected or sweep.is_done, "events are still received")
        assert [result.outputs.picture.width for result in sweep.results()] == [*range(8, 128)]


def test_events_come_back_when_the_end_is_near(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    with InvokeAIClient(proxy.url) as client:
        sweep = begun(client, 120)
        monkeypatch.setattr(pacing, "NEAR", 1e9)
        monkeypatch.setattr(pacing, "FAR", 1e9)
        wait_for(lambda: follower_of(client).is_connected, "no events are received")
        assert not sweep.is_done
        assert [result.outputs.picture.width for result in sweep.results()] == [*range(8, 128)]
