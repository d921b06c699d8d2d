"""Uploads whose answers get lost: found again, sent once more, or told as uncertain."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.server import constants
from invokeai_gen.server.errors import ServerFaultError, UnreachableError
from invokeai_gen.server.run_errors import UploadUncertainError

Trouble = httpx.Response | Exception


pytestmark = pytest.mark.usefixtures("no_pauses")


class Server:
    """Answers uploads as told, a good one after that; keeps those that arrive, and lists them after `late` questions."""

    def __init__(self, *troubles: Trouble, keeps: bool = True, late: int = 0) -> None:
        self.calls: list[str] = []
        self._troubles: Iterator[Trouble] = iter(troubles)
        self._keeps = keeps
        self._late = late
        self._kept: list[dict[str, object]] = [
            {"image_name": f"of-others-{number}.png", "session_id": None, "starred": True}
            for number in range(constants.PAGE)
        ]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        if request.method == "GET":
            self._late -= 1
            return httpx.Response(200, json={"items": self._listed(request.url.params) if self._late < 0 else []})
        trouble = next(self._troubles, None)
        image = {"image_name": f"{len(self.calls)}.png", "width": 1, "height": 1}
        if trouble is None or self._keeps:
            self._kept.append({**image, "session_id": request.url.params["session_id"]})
        if isinstance(trouble, Exception):
            raise trouble
        return trouble or httpx.Response(201, json=image)

    def _listed(self, wanted: httpx.QueryParams) -> list[dict[str, object]]:
        """What InvokeAI lists: newest first, but starred ones before all others unless that is switched off."""
        newest = self._kept[::-1]
        if wanted.get("starred_first", "true") == "true":
            newest.sort(key=lambda image: "starred" not in image)
        return newest[: int(wanted["limit"])]

    @property
    def uploads(self) -> int:
        return sum(call.endswith("/upload") for call in self.calls)


def upload(server: Callable[[httpx.Request], httpx.Response]) -> str:
    client = InvokeAIClient("http://server", http_backend=httpx.MockTransport(server))
    return client.images.upload(b"png", "fox.png").image_name


HALF_AN_ANSWER = httpx.Response(201, content=b'{"image_na', headers={"content-type": "application/json"})


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize(
    "trouble", [httpx.ReadError("reset"), httpx.ReadTimeout("late"), httpx.Response(502), HALF_AN_ANSWER]
)
def test_an_upload_whose_answer_was_lost_is_found_by_its_mark(trouble: Trouble, late: int) -> None:
    server = Server(trouble, late=late)
    assert upload(server) == "1.png"
    assert server.uploads == 1


@pytest.mark.parametrize("trouble", [httpx.ReadError("reset"), httpx.Response(503), HALF_AN_ANSWER])
def test_an_upload_that_left_nothing_is_sent_once_more(trouble: Trouble) -> None:
    server = Server(trouble, keeps=False)
    assert upload(server) == "4.png"
    assert server.uploads == 2


def test_an_upload_is_sent_no_third_time() -> None:
    server = Server(*[httpx.ReadError("reset")] * 9, keeps=False)
    with pytest.raises(UploadUncertainError, match=re.escape("'fox.png' (the connection to")):
        upload(server)
    assert server.uploads == 2


def test_a_silent_server_may_still_be_at_work_and_gets_nothing_twice() -> None:
    for trouble in (httpx.ReadTimeout("late"), httpx.Response(504)):
        server = Server(trouble, keeps=False)
        with pytest.raises(UploadUncertainError, match="among the newest assets"):
            upload(server)
        assert server.uploads == 1


def test_a_server_that_failed_says_so_once_it_was_asked_whether_it_kept_anything() -> None:
    server = Server(httpx.Response(500, json={"detail": "Failed to create image"}), keeps=False)
    with pytest.raises(ServerFaultError, match="Failed to create image"):
        upload(server)
    assert server.calls == ["POST /api/v1/images/upload", "GET /api/v1/images/"]


def test_a_server_that_is_gone_leaves_it_uncertain() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("reset") if request.method == "POST" else httpx.ConnectError("refused")

    with pytest.raises(UploadUncertainError) as caught:
        upload(handle)
    assert isinstance(caught.value.__cause__, Exception)
    assert "broke during POST" in str(caught.value.__cause__)


def test_what_was_never_sent_is_not_looked_for() -> None:
    calls: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        raise httpx.ConnectError("refused")

    with pytest.raises(UnreachableError):
        upload(handle)
    assert calls == ["POST"] * (constants.MAX_RETRIES + 1)
