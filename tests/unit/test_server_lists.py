"""What lists and single answers of a server become, also those of older servers and those that get lost."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from invokeai_gen import AsyncInvokeAIClient, InvokeAIClient
from invokeai_gen.server import constants
from invokeai_gen.server.accounts import Account
from invokeai_gen.server.errors import InvalidUrlError, JobTimeoutError, NotFoundError
from invokeai_gen.server.events import InvocationComplete, JobEvent, StatusChanged, events_so_far
from invokeai_gen.server.facades import iterate
from invokeai_gen.server.images import Image
from invokeai_gen.server.models import FoundModel, InstallJob
from invokeai_gen.server.records import QueueCounts, QueueItem

MISSING = httpx.Response(404, json={"detail": "Not Found"})


pytestmark = pytest.mark.usefixtures("no_pauses")


class Server:
    """Has `count` images, of which the last `starred` are starred, and those in `gone` are deleted while it is read."""

    def __init__(self, count: int, *, starred: int = 0, gone: tuple[int, ...] = ()) -> None:
        self.names = [f"{number}.png" for number in range(count)]
        self.starred = self.names[count - starred :]
        self.gone = {f"{number}.png" for number in gone}
        self.pages: list[int] = []
        self.wanted: dict[str, str] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/names"):
            self.wanted = dict(request.url.params)
            rest = [name for name in self.names if name not in self.starred]
            starred = self.starred if self.wanted["starred_first"] == "true" else []
            names = [*starred, *rest] if starred else self.names
            return httpx.Response(200, json={"image_names": names, "starred_count": len(starred), "total_count": 0})
        names = [name for name in json.loads(request.content)["image_names"] if name not in self.gone]
        self.pages.append(len(names))
        return httpx.Response(200, json=[{"image_name": name, "width": 1, "height": 1} for name in names])


def client_of(handler: Any) -> InvokeAIClient:
    return InvokeAIClient("http://server", http_backend=httpx.MockTransport(handler))


@pytest.mark.parametrize("count", [0, 1, constants.PAGE, constants.PAGE + 1])
def test_every_image_is_listed_once_page_by_page(count: int) -> None:
    server = Server(count)
    assert [image.image_name for image in client_of(server).images.list()] == server.names
    assert all(0 < size <= constants.PAGE for size in server.pages)
    assert len(server.pages) == -(-count // constants.PAGE)


def test_images_that_are_deleted_meanwhile_are_left_out_and_no_other_is() -> None:
    found = [image.image_name for image in client_of(Server(4, gone=(0, 2))).images.list()]
    assert found == ["1.png", "3.png"]


def test_starred_images_come_first_unless_that_is_switched_off_and_can_be_had_alone() -> None:
    server = Server(3, starred=1)
    images = client_of(server).images
    assert images.names() == ["2.png", "0.png", "1.png"]
    assert [image.image_name for image in images.list()] == ["2.png", "0.png", "1.png"]
    assert images.names(starred_first=False) == ["0.png", "1.png", "2.png"]
    assert [image.image_name for image in images.starred()] == ["2.png"]
    assert images.names(only_starred=True, starred_first=False) == ["2.png"]


def test_the_list_of_a_board_has_results_and_intermediate_images_only_if_they_are_wanted() -> None:
    server = Server(1)
    board = client_of(server).boards.handle("b")
    wanted = []
    for options in ({}, {"is_intermediate": True}, {"is_intermediate": None}):
        assert len([*board.list(**options)]) == 1
        wanted.append((server.wanted["board_id"], server.wanted.get("is_intermediate")))
    assert wanted == [("b", "false"), ("b", "true"), ("b", None)]


def test_what_an_older_server_leaves_out_is_what_it_means_there() -> None:
    image = Image.of({"image_name": "a.png", "width": 1, "height": 1})
    assert (image.is_intermediate, image.starred, image.has_workflow, image.board_id) == (False, False, False, None)
    job = InstallJob.of({"id": 1})
    assert (job.bytes, job.total_bytes, job.is_final, job.model) == (0, 0, False, None)
    account = Account.of({"user_id": "u", "email": "a@b"})
    assert (account.is_active, account.is_admin) == (True, False)
    assert not FoundModel.of({"path": "/m"}).is_installed


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, json={"config": {"max_queue_size": 7}}), 7),
        (httpx.Response(200, json={"config": {}}), constants.DEFAULT_CAPACITY),
        (httpx.Response(403, json={"detail": "for administrators"}), constants.DEFAULT_CAPACITY),
    ],
)
def test_a_queue_has_room_for_what_the_server_says_or_for_what_invokeai_takes(
    answer: httpx.Response, expected: int
) -> None:
    assert client_of(lambda _request: answer).queue.capacity() == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (httpx.Response(200, json={"multiuser_enabled": True}), True),
        (httpx.Response(200, json={"multiuser_enabled": False}), False),
        (MISSING, False),
    ],
)
def test_a_server_from_before_accounts_has_none(status: httpx.Response, expected: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"version": "6.11.0"}) if request.url.path.endswith("version") else status

    assert client_of(answer).accounts.are_enabled() is expected


def test_canceled_and_failed_items_have_ended_too() -> None:
    counts = QueueCounts.of({"pending": 1, "in_progress": 2, "completed": 4, "failed": 8, "canceled": 16, "total": 31})
    assert counts.finished == 28


@pytest.mark.parametrize("lost", [httpx.ReadError("reset"), httpx.Response(504)])
def test_what_is_missing_after_the_answer_was_lost_was_deleted(lost: httpx.Response | Exception) -> None:
    given = iter([lost, httpx.Response(404, json={"detail": "Workflow not found"})])

    def answer(_request: httpx.Request) -> httpx.Response:
        this = next(given)
        if isinstance(this, Exception):
            raise this
        return this

    client_of(answer).workflows.delete("w")
    assert next(given, None) is None


def test_what_was_missing_before_cannot_be_deleted() -> None:
    with pytest.raises(NotFoundError, match="Workflow not found"):
        client_of(lambda _request: httpx.Response(404, json={"detail": "Workflow not found"})).workflows.delete("w")


@pytest.mark.parametrize(("status", "has_ended"), [("pending", False), ("in_progress", False), ("failed", True)])
def test_a_late_listener_learns_the_end_of_what_has_ended(status: str, has_ended: bool) -> None:
    session = {"results": {"p1": {"type": "image_output"}}, "errors": {"p2": "boom"} if has_ended else {}}
    item = QueueItem.of(
        {"item_id": 1, "batch_id": "b", "status": status, "started_at": "2026-11-20 20:53:48", "session": session}
    )
    events: list[JobEvent] = [*events_so_far(item, {"p1": "Canvas"})]
    assert [event.status for event in events if isinstance(event, StatusChanged)] == (
        ["in_progress", status] if has_ended else ["in_progress"]
    )
    assert [event.node_label for event in events if isinstance(event, InvocationComplete)] == ["Canvas"]
    assert len(events) == (5 if has_ended else 3)


def test_an_iterator_that_is_left_early_is_closed() -> None:
    closed = threading.Event()

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            closed.set()

    for number in iterate(numbers()):
        assert number == 1
        break
    assert closed.wait(60)


def test_a_board_handle_is_about_the_images_on_no_board_unless_an_id_is_given() -> None:
    boards = AsyncInvokeAIClient("http://server").boards
    assert boards.handle().is_uncategorized
    assert not boards.handle("a").is_uncategorized


def test_waiting_for_an_idle_queue_for_no_time_looks_once() -> None:
    counts = iter([{"queue": {"pending": 1}}, {"queue": {}}])
    queue = client_of(lambda _request: httpx.Response(200, json=next(counts))).queue
    with pytest.raises(JobTimeoutError, match="still has 1 unfinished items after 0 s"):
        queue.wait_until_idle(0)


def test_a_path_to_ask_for_cannot_name_another_host() -> None:
    hosts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(200, json={})

    client = client_of(answer)
    for path in ("@elsewhere.example/api", ".elsewhere.example/api", "api/v1/app/version"):
        with pytest.raises(InvalidUrlError, match="begins with '/'"):
            client.ask("GET", path)
    assert client.ask("GET", "/api/v1/app/version") == {}
    assert hosts == ["server"]
