"""Enqueueing when answers get lost or the queue is full, and who comes before whom."""

import json
from typing import Any

import httpx
import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.server.queue import queue_position
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.run_errors import EnqueueClippedError, EnqueueUncertainError

REQUEST: dict[str, Any] = {"prepend": False, "batch": {"batch_id": "b1", "graph": {}}}
ENQUEUED = httpx.Response(200, json={"enqueued": 2, "requested": 2, "item_ids": [8, 7]})


pytestmark = pytest.mark.usefixtures("no_pauses")


class Server:
    """Answers an enqueue as told, and knows the batch from `known_after` questions on."""

    def __init__(
        self, *enqueues: httpx.Response | Exception, known_after: int | None = None, is_old: bool = False
    ) -> None:
        self.is_old = is_old
        self.calls: list[str] = []
        self._enqueues = list(enqueues)
        self._known_after = known_after

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1/queue/default/")
        self.calls.append(path)
        if path == "enqueue_batch":
            answer = self._enqueues.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if path == "b/b1/status":
            asked = self.calls.count(path)
            known = self._known_after is not None and asked > self._known_after
            return httpx.Response(200, json={"total": 2 if known else 0, "pending": 2 if known else 0})
        if path == "item_ids":
            return httpx.Response(200, json={"item_ids": [5, 6, 7, 8, 9], "total_count": 5})
        if path == "item_summaries_by_ids" and self.is_old:
            return httpx.Response(405, json={"detail": "Method Not Allowed"})
        if path in ("items_by_ids", "item_summaries_by_ids"):
            asked_for = json.loads(request.content)["item_ids"]

            def batch_of(item: int) -> str:
                return "b1" if item in (7, 8) else "other"

            return httpx.Response(
                200, json=[{"item_id": item, "batch_id": batch_of(item), "status": "pending"} for item in asked_for]
            )
        return httpx.Response(200, json={"canceled": 1})


def enqueue(server: Server) -> tuple[int, ...]:
    client = InvokeAIClient("http://server", http_backend=httpx.MockTransport(server))
    return client.queue.enqueue(REQUEST).item_ids


def test_item_ids_are_in_the_order_in_which_they_run() -> None:
    assert enqueue(Server(ENQUEUED)) == (7, 8)


@pytest.mark.parametrize("trouble", [httpx.ReadError("reset"), httpx.ReadTimeout("late"), httpx.Response(504)])
def test_a_batch_whose_answer_was_lost_is_found_and_not_sent_again(trouble: httpx.Response | Exception) -> None:
    server = Server(trouble, ENQUEUED, known_after=1)
    assert enqueue(server) == (7, 8)
    assert server.calls.count("enqueue_batch") == 1


def test_it_is_found_on_older_servers_too() -> None:
    assert enqueue(Server(httpx.ReadError("reset"), known_after=0, is_old=True)) == (7, 8)


def test_a_batch_that_never_arrived_is_sent_once_more() -> None:
    server = Server(httpx.RemoteProtocolError("closed"), ENQUEUED)
    assert enqueue(server) == (7, 8)
    assert server.calls.count("enqueue_batch") == 2


def test_a_server_that_is_too_slow_to_tell_leaves_the_decision_to_a_person() -> None:
    server = Server(httpx.ReadTimeout("late"))
    with pytest.raises(EnqueueUncertainError, match="Check the queue"):
        enqueue(server)
    assert server.calls.count("enqueue_batch") == 1


def test_a_full_queue_is_an_error_and_what_went_in_is_canceled() -> None:
    server = Server(httpx.Response(200, json={"enqueued": 1, "requested": 2, "item_ids": [7]}))
    with pytest.raises(EnqueueClippedError, match="only 1 of 2 items went in") as caught:
        enqueue(server)
    assert (caught.value.enqueued, caught.value.requested) == (1, 2)
    assert server.calls[-1] == "cancel_by_batch_ids"


def item(item_id: int, status: str = "pending", priority: int = 0) -> QueueItem:
    return QueueItem(item_id=item_id, status=status, batch_id="b", priority=priority)


def test_the_position_counts_what_runs_before() -> None:
    items = [item(1, "completed"), item(2, "in_progress"), item(3), item(4), item(5, priority=1)]
    assert [queue_position(items, item_id) for item_id in (1, 2, 5, 3, 4)] == [None, 0, 1, 2, 3]
