"""Requests that go wrong in ways which a healthy server cannot show."""

import asyncio
import gzip
import os
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from invokeai_gen import AsyncInvokeAIClient, InvokeAIClient
from invokeai_gen.server import constants, http
from invokeai_gen.server.answers import ignored
from invokeai_gen.server.background import run
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    InvalidUrlError,
    NotFoundError,
    NotInvokeAIError,
    RequestTimeoutError,
    ServerFaultError,
)
from invokeai_gen.server.failed_requests import failure_of
from invokeai_gen.server.http import ApiRequest
from invokeai_gen.server.status_errors import (
    ForbiddenError,
    RejectedError,
    TooManyRequestsError,
    UnauthorizedError,
    UnsupportedByServerError,
)

Handler = Callable[[httpx.Request], httpx.Response]


pytestmark = pytest.mark.usefixtures("no_pauses")


def client_for(handler: Handler, token: str | None = None) -> InvokeAIClient:
    return InvokeAIClient("http://server:9090", token=token, http_backend=httpx.MockTransport(handler))


def answers(*given: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    seen: list[httpx.Request] = []
    rest: Iterator[httpx.Response | Exception] = iter(given)

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = next(rest)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handle, seen


VERSION = httpx.Response(200, json={"version": "6.14.2"})


@pytest.mark.parametrize(
    "trouble", [httpx.Response(503), httpx.ReadError("reset"), httpx.ConnectError("refused"), httpx.ReadTimeout("late")]
)
def test_a_read_is_asked_again(trouble: httpx.Response | Exception) -> None:
    handler, seen = answers(trouble, VERSION)
    assert client_for(handler).version() == "6.14.2"
    assert len(seen) == 2


def test_a_read_is_given_up_after_four_attempts() -> None:
    handler, seen = answers(*[httpx.Response(502, json={"detail": "bad gateway"})] * 9)
    with pytest.raises(ServerFaultError, match="502: bad gateway"):
        client_for(handler).version()
    assert len(seen) == constants.MAX_RETRIES + 1


def test_a_change_is_sent_again_only_if_it_never_arrived() -> None:
    board = httpx.Response(201, json={"board_id": "1", "board_name": "b"})
    handler, seen = answers(httpx.ConnectError("refused"), board)
    assert client_for(handler).boards.create("b").board_id == "1"
    assert len(seen) == 2

    handler, seen = answers(httpx.ReadError("reset"), board)
    with pytest.raises(ConnectionFailedError, match="broke during POST"):
        client_for(handler).boards.create("b")
    assert len(seen) == 1


@pytest.mark.parametrize(("method", "attempts"), [("GET", 2), ("PUT", 2), ("DELETE", 2), ("PATCH", 1), ("POST", 1)])
def test_only_what_has_the_same_effect_twice_is_sent_again_after_a_broken_connection(
    method: str, attempts: int
) -> None:
    handler, seen = answers(httpx.ReadError("reset"), VERSION)
    sending = client_for(handler)._core._transport.send(method, "/x", read=ignored)
    with nullcontext() if attempts == 2 else pytest.raises(ConnectionFailedError, match=f"broke during {method}"):
        run(sending)
    assert [request.method for request in seen] == [method] * attempts


def test_what_is_no_json_is_not_sent() -> None:
    handler, asked = answers(httpx.Response(200, json={}))
    with client_for(handler) as client, pytest.raises(ValueError, match="JSON"):
        client.ask("POST", "/api/v1/x", json={"number": float("nan")})
    assert asked == []


def test_silence_is_reported_as_a_timeout() -> None:
    handler, _ = answers(*[httpx.ReadTimeout("late")] * 9)
    with pytest.raises(RequestTimeoutError, match="did not finish its answer"):
        client_for(handler).version()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (422, RejectedError),
        (500, ServerFaultError),
    ],
)
def test_each_status_has_its_error(status: int, error: type[Exception]) -> None:
    handler, _ = answers(httpx.Response(status, json={"detail": "because"}))
    with pytest.raises(error, match="because"):
        client_for(handler).images.get("x")


def test_an_answer_that_is_no_json_is_reported_as_another_server() -> None:
    handler, _ = answers(httpx.Response(200, text="<html>hello</html>"))
    with pytest.raises(NotInvokeAIError, match="address of an InvokeAI server"):
        client_for(handler).version()


def test_names_cannot_leave_their_place_in_a_path() -> None:
    handler, seen = answers(httpx.Response(404, json={"detail": "no"}))
    with pytest.raises(NotFoundError):
        client_for(handler).images.get("../boards/?x=1#y")
    assert seen[0].url.raw_path == b"/api/v1/images/i/..%2Fboards%2F%3Fx%3D1%23y"


def test_the_token_goes_with_each_request_and_a_refreshed_one_replaces_it() -> None:
    handler, seen = answers(
        httpx.Response(200, json={"version": "1"}, headers={"X-Refreshed-Token": "second"}),
        httpx.Response(200, json={"version": "1"}),
    )
    client = client_for(handler, token="first")
    client.version()
    client.version()
    assert [request.headers["authorization"] for request in seen] == ["Bearer first", "Bearer second"]


def test_no_secret_is_shown() -> None:
    client = InvokeAIClient("http://user:hunter2@127.0.0.1:1/sub/", token="s3cret")
    assert repr(client) == "InvokeAIClient('http://127.0.0.1:1/sub')"
    with pytest.raises(ConnectionFailedError) as caught:
        client.version()
    shown = repr(client._core) + repr(client._core._transport) + str(caught.value) + repr(caught.value)
    assert "hunter2" not in shown
    assert "s3cret" not in shown
    handler, _ = answers(httpx.Response(401, json={"detail": "Invalid email or password"}))
    with pytest.raises(UnauthorizedError) as denied:
        client_for(handler).login("me@example.com", "hunter2")
    assert "hunter2" not in str(denied.value)


def test_no_secret_is_logged_and_a_proxy_still_gets_its_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    handler, seen = answers(VERSION)
    client = InvokeAIClient("http://me%40here:hunter2@server", http_backend=httpx.MockTransport(handler))
    client.version()
    assert seen[0].headers["authorization"] == f"Basic {b64encode(b'me@here:hunter2').decode()}"
    assert "GET /api/v1/app/version" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("url", ["localhost:9090", "ftp://x", "http://", "http://x?y=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrlError, match="not the address of a server"):
        InvokeAIClient(url)


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOKEAI_URL", "http://elsewhere:1234/")
    assert InvokeAIClient().url == AsyncInvokeAIClient().url == "http://elsewhere:1234"
    monkeypatch.delenv("INVOKEAI_URL")
    assert InvokeAIClient().url == "http://localhost:9090"


def test_a_download_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def]
            yield b"half"
            raise httpx.ReadError("reset")

    handler, _ = answers(*(httpx.Response(200, stream=Broken()) for _ in range(constants.MAX_RETRIES + 1)))
    target = tmp_path / "picture.png"
    target.write_bytes(b"old")
    with pytest.raises(ConnectionFailedError):
        client_for(handler).images.download("x", target)
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    assert target.read_bytes() == b"old"


def test_the_http_client_is_closed_with_ours() -> None:
    handler, _ = answers(VERSION, VERSION)
    client = client_for(handler)
    client.version()
    run(client._core.close())
    assert client.version() == "6.14.2"


HALF_OF_JSON = httpx.Response(200, content=b'{"version": "6.1', headers={"content-type": "application/json"})


def test_an_answer_that_is_cut_is_asked_for_again() -> None:
    handler, seen = answers(HALF_OF_JSON, VERSION)
    assert client_for(handler).version() == "6.14.2"
    assert len(seen) == 2
    handler, _ = answers(*[HALF_OF_JSON] * 9)
    with pytest.raises(ConnectionFailedError, match="only a part of it arrived"):
        client_for(handler).version()


def test_json_that_is_nested_without_end_is_no_answer_of_invokeai() -> None:
    handler, _ = answers(httpx.Response(200, content=b"[" * 100_000))
    with pytest.raises(NotInvokeAIError):
        client_for(handler).version()


def test_a_silent_server_is_asked_only_once_more() -> None:
    handler, seen = answers(*[httpx.ReadTimeout("late")] * 9)
    with pytest.raises(RequestTimeoutError):
        client_for(handler).version()
    assert len(seen) == constants.MAX_SILENT_RETRIES + 1


@pytest.mark.parametrize("asked", ["0", "1", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999"])
def test_a_server_that_asks_for_time_gets_it(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    board = httpx.Response(201, json={"board_id": "1", "board_name": "b"})
    handler, seen = answers(httpx.Response(429, headers={"Retry-After": asked}), board)
    assert client_for(handler).boards.create("b").board_id == "1", "it was not worked on, so it may be sent again"
    assert len(seen) == 2
    assert pauses == [{"1": 1.0, "99999999": constants.MAX_RETRY_AFTER}.get(asked, 0.0)]


def test_a_server_that_never_has_time_is_reported() -> None:
    handler, seen = answers(*[httpx.Response(429, headers={"Retry-After": "0"})] * 9)
    with pytest.raises(TooManyRequestsError):
        client_for(handler).boards.create("b")
    assert len(seen) == constants.MAX_RETRIES + 1


def test_what_does_no_harm_twice_is_sent_again_after_a_broken_connection() -> None:
    handler, seen = answers(httpx.ReadError("reset"), httpx.Response(200, json={"canceled": 1}))
    assert client_for(handler).queue.cancel_batches(["b"]) == 1
    handler, seen = answers(httpx.ReadError("reset"), httpx.Response(200, json={"deleted_images": ["a"]}))
    assert client_for(handler).images.delete(["a"]).deleted == ("a",)
    assert len(seen) == 2


def test_a_redirect_to_another_host_carries_no_token_and_brings_none() -> None:
    handler, seen = answers(
        httpx.Response(302, headers={"Location": "http://elsewhere/picture"}),
        httpx.Response(200, content=b"png", headers={"X-Refreshed-Token": "theirs"}),
        VERSION,
    )
    client = client_for(handler, token="s3cret")
    assert client.images.read("x") == b"png"
    assert "authorization" not in seen[1].headers
    client.version()
    assert seen[2].headers["authorization"] == "Bearer s3cret"
    handler, seen = answers(httpx.Response(302, headers={"Location": "http://elsewhere/picture"}), VERSION)
    InvokeAIClient("http://me:hunter2@server", http_backend=httpx.MockTransport(handler)).version()
    assert "authorization" not in seen[1].headers


@pytest.mark.parametrize(("here", "there"), [("http", "https"), ("https", "http")])
def test_certificates_are_read_for_the_first_address_with_tls(
    here: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[str, bool]] = []

    moved = httpx.Response(302, headers={"Location": f"{there}://elsewhere/picture"})
    handler, _ = answers(moved, httpx.Response(200, content=b"png"))

    class Noted(httpx.MockTransport):
        def __init__(self, *, verify: ssl.SSLContext, **_options: Any) -> None:
            super().__init__(handler)
            assert (verify.verify_mode, verify.check_hostname) == (ssl.CERT_REQUIRED, True)
            self.certificates = bool(verify.get_ca_certs())

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            used.append((request.url.scheme, self.certificates))
            return await super().handle_async_request(request)

    monkeypatch.setattr(httpx, "AsyncHTTPTransport", Noted)
    assert InvokeAIClient(f"{here}://server").images.read("x") == b"png"
    assert used == [(here, here == "https"), (there, there == "https")]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nothing_that_has_a_body_is_sent_on_to_another_address(status: int) -> None:
    handler, seen = answers(httpx.Response(status, headers={"Location": "http://u:p@elsewhere/login"}))
    with pytest.raises(NotInvokeAIError, match="to http://elsewhere/login") as caught:
        client_for(handler).login("me@example.com", "hunter2")
    assert len(seen) == 1
    assert "u:p" not in str(caught.value)


def test_an_answer_may_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "MAX_ANSWER", 1000)
    bomb = gzip.compress(b'"' + b"a" * 1_000_000 + b'"')
    for status in (200,):
        handler, _ = answers(httpx.Response(status, content=bomb, headers={"content-encoding": "gzip"}))
        with pytest.raises(NotInvokeAIError, match="larger than 1000 bytes"):
            client_for(handler).version()
    handler, _ = answers(httpx.Response(200, content=b"a" * 2000))
    assert client_for(handler).images.download("x", tmp_path / "a.png") == 2000, "a file may be large"


def test_a_page_is_not_taken_for_a_picture(tmp_path: Path) -> None:
    page = httpx.Response(200, html="<form>Log in</form>")
    handler, _ = answers(page, page)
    with pytest.raises(NotInvokeAIError, match="text/html"):
        client_for(handler).images.download("x", tmp_path / "a.png")
    with pytest.raises(NotInvokeAIError, match="text/html"):
        client_for(handler).images.read("x")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_is_begun_again(tmp_path: Path) -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def]
            yield b"the first half, which is longer"
            raise httpx.ReadError("reset")

    handler, seen = answers(httpx.Response(200, stream=Broken()), httpx.Response(200, content=b"whole"))
    assert client_for(handler).images.download("x", tmp_path / "a.png") == 5
    assert (tmp_path / "a.png").read_bytes() == b"whole"
    assert len(seen) == 2


@pytest.mark.parametrize("name", [".", ".."])
def test_dots_are_no_way_up(name: str) -> None:
    assert httpx.URL(f"http://server/api/v1/images/i/{http.segment(name)}/full").path.count("/") == 6


MISSING = httpx.Response(404, json={"detail": "Not Found"})
"""FastAPI's answer for a path that it does not know."""


def version_is(text: str) -> httpx.Response:
    return httpx.Response(200, json={"version": text})


@pytest.mark.parametrize("status", [404, 405, 422, 501])
def test_a_function_that_the_server_is_too_old_for_names_the_version_it_takes(status: int) -> None:
    missing = httpx.Response(status, json={"detail": "Not Found" if status == 404 else "another reason"})
    handler, seen = answers(missing, version_is("6.8.1"))
    with pytest.raises(UnsupportedByServerError) as caught:
        client_for(handler).workflows.set_public("w")
    error = caught.value
    assert str(error) == (
        "PATCH /api/v1/workflows/i/w/is_public needs InvokeAI 6.13 or newer; http://server:9090 has 6.8.1"
    )
    assert (error.status, error.needed, error.server_version) == (status, "6.13", "6.8.1")
    assert error.__cause__ is None
    assert len(seen) == 2


@pytest.mark.parametrize("version", [version_is("6.14.2"), version_is("6.14.0rc1"), httpx.Response(500), MISSING])
def test_a_path_that_is_missing_for_another_reason_is_not_put_down_to_the_version(version: httpx.Response) -> None:
    handler, _ = answers(MISSING, version)
    with pytest.raises(NotFoundError, match="Is http://server:9090 the address"):
        client_for(handler).videos.get("a.mp4")


def test_a_missing_video_is_no_matter_of_versions() -> None:
    handler, seen = answers(httpx.Response(404, json={"detail": "Video not found"}))
    with pytest.raises(NotFoundError, match="Video not found"):
        client_for(handler).videos.get("a.mp4")
    assert len(seen) == 1


def test_a_request_and_its_retries_share_a_limit() -> None:
    seen: list[httpx.Request] = []

    async def never(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) == 1:
            return httpx.Response(503)
        await asyncio.Event().wait()
        raise AssertionError

    client = InvokeAIClient("http://server", request_timeout=0.3, http_backend=httpx.MockTransport(never))
    with pytest.raises(RequestTimeoutError, match="did not finish its answer to GET /api/v1/app/version within 0.3 s"):
        client.version()
    assert len(seen) == 2


def test_many_requests_at_once_wait_before_they_reach_httpx() -> None:
    at_once: list[int] = []
    sending = 0

    async def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal sending
        sending += 1
        at_once.append(sending)
        for _ in range(5):
            await asyncio.sleep(0)
        sending -= 1
        return httpx.Response(200, json={})

    async def main() -> None:
        transport = http.Transport("http://server", http_backend=httpx.MockTransport(answer))
        await asyncio.gather(*(transport.get("/it", read=ignored) for _ in range(100)))
        await transport.close()

    run(main())
    assert len(at_once) == 100
    assert max(at_once) == constants.MAX_CONNECTIONS


@pytest.mark.parametrize("as_path", [True, False])
def test_an_upload_is_sent_in_small_pieces_and_from_its_beginning_again(tmp_path: Path, as_path: bool) -> None:
    content = bytes(range(256)) * 4096
    path = tmp_path / "large.png"
    path.write_bytes(content)
    pieces: list[int] = []
    bodies: list[bytes] = []

    class Backend(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET":  # whether the first upload arrived
                return httpx.Response(200, json={"items": []})
            sent = [piece async for piece in aiter(request.stream)]  # type: ignore[arg-type]
            pieces.extend(map(len, sent))
            bodies.append(b"".join(sent))
            if len(bodies) == 1:
                raise httpx.ReadError("the connection broke")
            return httpx.Response(201, json={"image_name": "a", "width": 1, "height": 1})

    async def main() -> None:
        async with AsyncInvokeAIClient("http://server:9090", http_backend=Backend()) as client:
            assert (await client.images.upload(path if as_path else content)).image_name == "a"

    run(main())
    assert max(pieces) <= 1 << 16
    assert len(bodies) == 2
    assert all(content in body for body in bodies)


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="there is no /dev/fd")
def test_a_pipe_is_uploaded_whole() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"from a pipe")
    os.close(theirs)
    bodies: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return httpx.Response(201, json={"image_name": "a", "width": 1, "height": 1})

    with client_for(handle) as client:
        client.images.upload(f"/dev/fd/{ours}")
    os.close(ours)
    assert b"from a pipe" in bodies[0]


@pytest.mark.parametrize(("url", "hinted"), [(constants.DEFAULT_URL, True), ("http://elsewhere:9090", False)])
def test_only_the_default_address_is_followed_by_how_to_set_another(url: str, hinted: bool) -> None:
    error = failure_of(httpx.ConnectError("refused"), url, ApiRequest("GET", "/", True), ())
    assert ("set INVOKEAI_URL" in str(error)) is hinted
