"""A server that breaks, or lies: every answer becomes what it should be, or an error of ours that names the request."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.runtime.failures import in_labels
from invokeai_gen.server import answers, constants
from invokeai_gen.server.answers import ShapeError
from invokeai_gen.server.boards import Board
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    NotFoundError,
    NotInvokeAIError,
    RequestTimeoutError,
    ServerError,
    ServerFaultError,
    StatusError,
    UnexpectedAnswerError,
)
from invokeai_gen.server.images import Image
from invokeai_gen.server.records import QueueCounts, QueueItem
from invokeai_gen.server.status_errors import RejectedError
from tests import plans

LIES: dict[str, Any] = {
    "null": b"null",
    "empty list": b"[]",
    "empty object": b"{}",
    "nothing": b"",
    "number": b"7",
    "text": b'"text"',
    "list of numbers": b"[1, 2]",
    "list of nulls": b"[null]",
    "wrong types": json.dumps(
        {
            **dict.fromkeys(
                ("items", "models", "image_names", "video_names", "item_ids", "queue", "version", "config"), 7
            ),
            **{key: [{}] for key in ("board_id", "image_name", "key", "workflow_id", "item_id", "deleted_images")},
        }
    ).encode(),
    "lists of wrong types": json.dumps(
        {key: [None] for key in ("items", "models", "image_names", "item_ids", "deleted_images", "retried_item_ids")}
    ).encode(),
    "deep": b"[" * 50_000,
}
CALLS: dict[str, Callable[[InvokeAIClient], Any]] = {
    "version": lambda client: client.version(),
    "openapi": lambda client: client.openapi(),
    "login": lambda client: client.login("a@b", "password"),
    "boards.list": lambda client: client.boards.list(),
    "boards.get": lambda client: client.boards.get("b"),
    "boards.create": lambda client: client.boards.create("b"),
    "boards.rename": lambda client: client.boards.rename("b", "c"),
    "boards.delete": lambda client: client.boards.delete("b"),
    "boards.image_names": lambda client: client.boards.image_names("b"),
    "images.get": lambda client: client.images.get("i"),
    "images.list": lambda client: list(client.images.list()),
    "images.latest": lambda client: client.images.latest(),
    "images.upload": lambda client: client.images.upload(b"data"),
    "images.delete": lambda client: client.images.delete(["i"]),
    "images.metadata": lambda client: client.images.metadata("i"),
    "images.workflow": lambda client: client.images.workflow("i"),
    "videos.get": lambda client: client.videos.get("v"),
    "videos.list": lambda client: list(client.videos.list()),
    "models.list": lambda client: client.models.list(),
    "models.get": lambda client: client.models.get("k"),
    "models.missing": lambda client: client.models.missing(),
    "models.installs": lambda client: client.models.installs(),
    "models.scan": lambda client: client.models.scan("/m"),
    "workflows.list": lambda client: client.workflows.list(),
    "workflows.get": lambda client: client.workflows.get("w"),
    "workflows.create": lambda client: client.workflows.create({}),
    "workflows.tags": lambda client: client.workflows.tags(),
    "workflows.counts_by_category": lambda client: client.workflows.counts_by_category(),
    "queue.enqueue": lambda client: client.queue.enqueue({"batch": {"batch_id": "b"}}),
    "queue.get": lambda client: client.queue.get(1),
    "queue.list": lambda client: client.queue.list(),
    "queue.items": lambda client: client.queue.items([1]),
    "queue.counts": lambda client: client.queue.counts(),
    "queue.batch_counts": lambda client: client.queue.batch_counts("b"),
    "queue.current": lambda client: client.queue.current(),
    "queue.item_ids": lambda client: client.queue.item_ids(),
    "queue.capacity": lambda client: client.queue.capacity(),
    "queue.cancel": lambda client: client.queue.cancel(1),
    "queue.cancel_batches": lambda client: client.queue.cancel_batches(["b"]),
    "queue.clear": lambda client: client.queue.clear(),
    "queue.retry": lambda client: client.queue.retry([1]),
    "queue.processor": lambda client: client.queue.processor(),
    "accounts.me": lambda client: client.accounts.me(),
    "accounts.list": lambda client: client.accounts.list(),
    "app.config": lambda client: client.app.config(),
    "app.cache_status": lambda client: client.app.cache_status(),
}
REQUEST = "(GET|POST|PUT|PATCH|DELETE) /"


pytestmark = pytest.mark.usefixtures("no_pauses", "no_collection")


def client_of(content: bytes, status: int = 200) -> InvokeAIClient:
    kind = {"content-type": "application/json"} if content else {}
    backend = httpx.MockTransport(lambda _request: httpx.Response(status, content=content, headers=kind))
    return InvokeAIClient("http://server:9090", http_backend=backend)


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("call", CALLS)
def test_an_answer_of_another_form_is_an_error_that_names_the_request(call: str, lie: str) -> None:
    """An empty list, or an object without optional keys, can also be what it should be: then there is no error."""
    try:
        CALLS[call](client_of(LIES[lie], 204 if not LIES[lie] else 200))
    except ServerError as error:
        assert isinstance(error, (NotInvokeAIError, ConnectionFailedError, StatusError))
        assert re.search(REQUEST, str(error)), error
        assert error.__context__ is None or isinstance(error.__context__, ServerError)


@pytest.mark.parametrize("lie", ["null", "number", "text", "nothing", "list of numbers", "wrong types"])
@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("images.metadata", "openapi")])
def test_most_of_them_are_refused(call: str, lie: str) -> None:
    if (call, lie) in {("queue.current", "null"), ("queue.current", "nothing"), ("queue.batch_counts", "wrong types")}:
        return
    with pytest.raises(ServerError):
        CALLS[call](client_of(LIES[lie]))


def test_readers_say_where_an_answer_differs() -> None:
    read = answers.at("items", answers.list_of(answers.at("name", answers.text)))
    assert read({"items": [{"name": "a"}]}) == ["a"]
    for data, problem in [
        ({}, "'items' is missing"),
        ({"items": None}, "'items': expected a list, got nothing"),
        ({"items": [{"name": "a"}, {}]}, "'items': entry 1: 'name' is missing"),
        ({"items": [{"name": True}]}, "'items': entry 0: 'name': expected a text, got True"),
        ([], "expected an object, got a list"),
    ]:
        with pytest.raises(ShapeError) as caught:
            read(data)
        assert str(caught.value) == problem


def test_a_record_ignores_what_is_new_and_takes_null_for_the_default() -> None:
    board = Board.of({"board_id": "1", "board_name": "b", "archived": None, "new_key": 1})
    assert (board.archived, board.raw["new_key"]) == (False, 1)
    assert QueueCounts.of({}).total == 0
    assert Image.of({"image_name": "a", "width": 1, "height": 1, "created_at": "2026-11-20 20:53:48.396"}).created_at
    for data in ({"board_id": "1"}, {"board_id": 1, "board_name": "b"}, {"board_id": "1", "board_name": None}):
        with pytest.raises(ShapeError):
            Board.of(data)
    with pytest.raises(ShapeError, match="session"):
        QueueItem.of({"item_id": 1, "status": "completed", "batch_id": "b", "session": []})


# -- bodies, over a real connection ------------------------------------------------------------------------------------


class RawServer:
    """Answers every request with the same bytes, piece by piece, and closes the connection."""

    def __init__(self, *pieces: bytes, pause: float = 0.0) -> None:
        self._pieces, self._pause = pieces, pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._ended.set()
        self._listener.close()

    def _serve(self) -> None:
        try:
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(near,), daemon=True).start()
        except OSError:
            return

    def _answer(self, near: socket.socket) -> None:
        with near:
            data = b""
            while b"\r\n\r\n" not in data:
                if not (more := near.recv(65536)):
                    return
                data += more
            self.requests += 1
            try:
                for piece in self._pieces:
                    near.sendall(piece)
                    if self._pause and self._ended.wait(self._pause):
                        return
                near.shutdown(socket.SHUT_WR)
                near.recv(65536)
            except OSError:
                return


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines, "", ""]).encode()


JSON = "Content-Type: application/json"


@pytest.fixture
def raw() -> Iterator[Callable[..., RawServer]]:
    opened: list[RawServer] = []

    def start(*pieces: bytes, pause: float = 0.0) -> RawServer:
        server = RawServer(*pieces, pause=pause)
        server.__enter__()
        opened.append(server)
        return server

    yield start
    for server in opened:
        server.__exit__()


def zipped(size: int) -> bytes:
    """So many spaces in a JSON text, compressed without ever being whole in memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    parts = [packer.compress(b'"')]
    parts += [packer.compress(b" " * (1 << 20)) for _ in range(size >> 20)]
    return b"".join([*parts, packer.compress(b'"'), packer.flush()])


def test_a_bomb_of_gzip_does_not_unfold_in_memory(
    raw: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "MAX_ANSWER", 8 << 20)
    server = raw(head(JSON, "Content-Encoding: gzip"), zipped(512 << 20))
    client = InvokeAIClient(server.url, max_retries=0)
    tracemalloc.start()
    try:
        with pytest.raises(UnexpectedAnswerError, match="larger than 8388608 bytes"):
            client.version()
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_encodings_on_top_of_each_other_are_refused(raw: Callable[..., RawServer]) -> None:
    server = raw(head(JSON, "Content-Encoding: gzip, gzip"), gzip.compress(zipped(1 << 20)))
    with pytest.raises(UnexpectedAnswerError, match="'gzip, gzip' was not asked for"):
        InvokeAIClient(server.url).version()


def test_an_error_answer_may_be_huge_and_compressed(raw: Callable[..., RawServer]) -> None:
    server = raw(head(JSON, "Content-Encoding: gzip", status="500 Oops"), zipped(64 << 20))
    with pytest.raises(ServerFaultError) as caught:
        InvokeAIClient(server.url).version()
    assert len(str(caught.value)) < 1000


def test_a_422_with_many_or_long_reasons_is_a_short_message() -> None:
    reasons = [{"loc": ["body", number], "msg": "x" * 100_000, "type": "value_error"} for number in range(40)]
    with pytest.raises(RejectedError) as caught:
        client_of(json.dumps({"detail": reasons}).encode(), 422).version()
    assert len(str(caught.value)) < 10_000
    assert "and 20 more" in str(caught.value)


def test_a_node_type_that_the_server_lacks_is_named_in_few_words() -> None:
    reason = {
        "type": "union_tag_invalid",
        "loc": ["body", "batch", "graph", "nodes", "n"],
        "msg": "Input tag 'nonsense' found using 'type' does not match any of the expected tags: " + "'a', " * 2000,
        "ctx": {"discriminator": "'type'", "tag": "nonsense", "expected_tags": "'a', " * 2000},
    }
    with pytest.raises(RejectedError) as caught:
        client_of(json.dumps({"detail": [reason]}).encode(), 422).version()
    assert caught.value.problems == ("body.batch.graph.nodes.n: this server has no node type 'nonsense'",)


@pytest.mark.parametrize(
    "detail", [[None], ["text"], [{"loc": 7}], [{"loc": [{}], "msg": []}], {"a": 1}, 7, None, [[]]]
)
def test_reasons_of_any_form_are_no_crash(detail: Any) -> None:
    with pytest.raises(RejectedError, match="status 422"):
        client_of(json.dumps({"detail": detail}).encode(), 422).version()


def test_reasons_of_any_form_and_length_are_put_into_labels() -> None:
    plan = plans.picture().plan
    detail = [
        None,
        {"loc": ["body", "blank", "width"], "msg": "x" * 100_000, "input": "y" * 100_000},
        {"loc": ["body", "blank"], "type": "union_tag_invalid", "ctx": {"tag": "blank_image"}, "msg": "z" * 6000},
        {"loc": 7, "msg": None},
    ]
    with pytest.raises(RejectedError) as caught:
        client_of(json.dumps({"detail": detail}).encode(), 422).version()
    error = in_labels(caught.value, plan)
    assert len(str(error)) < 3000
    assert "'Canvas', 'Width': xxx" in str(error)
    assert "'Canvas': this server has no node type 'blank_image'" in str(error)


PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 200 + b"\x00\x00\x00\x00IEND\xaeB`\x82"
WEBP = b"RIFF" + (100).to_bytes(4, "little") + b"WEBP" + b"\0" * 96
MP4 = (16).to_bytes(4, "big") + b"ftypisom" + b"\0" * 4 + (40).to_bytes(4, "big") + b"mdat" + b"\0" * 32


@pytest.mark.parametrize("whole", [PNG, WEBP, MP4], ids=["png", "webp", "mp4"])
def test_a_file_that_ends_too_early_is_an_error_and_asked_for_again(
    whole: bytes, raw: Callable[..., RawServer], tmp_path: Path
) -> None:
    good, bad = raw(head("Content-Type: image/png"), whole), raw(head("Content-Type: image/png"), whole[:-1])
    target = tmp_path / "a.png"
    assert InvokeAIClient(good.url).images.read("a") == whole
    assert InvokeAIClient(good.url).images.download("a", target) == len(whole)
    assert target.read_bytes() == whole
    target.unlink()
    calls: list[Callable[[InvokeAIClient], Any]] = [
        lambda client: client.images.read("a"),
        lambda client: client.images.download("a", target),
    ]
    for call in calls:
        bad.requests = 0
        with pytest.raises(ConnectionFailedError, match="of the file arrived"):
            call(InvokeAIClient(bad.url))
        assert bad.requests == constants.MAX_RETRIES + 1
    assert list(tmp_path.iterdir()) == []


def test_an_answer_without_a_body_may_be_called_compressed(raw: Callable[..., RawServer]) -> None:
    server = raw(head("Content-Encoding: gzip", status="204 No Content"))
    InvokeAIClient(server.url, max_retries=0).accounts.delete("id")
    assert server.requests == 1


def test_gzip_that_ends_too_early_is_an_error(raw: Callable[..., RawServer]) -> None:
    server = raw(head(JSON, "Content-Encoding: gzip"), gzip.compress(b'{"version": "6"}')[:-12])
    with pytest.raises(ConnectionFailedError, match="only a part"):
        InvokeAIClient(server.url).version()
    server = raw(head(JSON, "Content-Encoding: gzip"), b"no gzip at all")
    with pytest.raises(UnexpectedAnswerError, match="not valid gzip"):
        InvokeAIClient(server.url).version()


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_server_that_drips_is_given_up(
    where: str, raw: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "CONNECT_TIMEOUT", 1.0)
    lines = b"HTTP/1.1 200 OK\r\n" if where == "head" else head(JSON)
    server = raw(lines, *[b"X: 1\r\n" if where == "head" else b" "] * 10_000, pause=0.02)
    with pytest.raises(RequestTimeoutError, match="in time"):
        InvokeAIClient(server.url, timeout=0.4, max_retries=0).version()


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405])
def test_a_wrong_prefix_shows_the_address_and_a_hint(status: int) -> None:
    detail = {404: "Not Found", 405: "Method Not Allowed"}[status]
    with pytest.raises(StatusError, match="Is http://server:9090 the address of an InvokeAI server") as caught:
        client_of(json.dumps({"detail": detail}).encode(), status).boards.create("b")
    assert "POST /api/v1/boards/" in str(caught.value)


def test_the_page_of_another_web_server_is_not_printed() -> None:
    page = b"<!DOCTYPE HTML>\n<html><head><title>Error response</title></head></html>"
    with pytest.raises(NotFoundError) as caught:
        client_of(page, 404).boards.create("b")
    assert "status 404: an HTML page. Is http://server:9090 the address of an InvokeAI server?" in str(caught.value)
    assert "<" not in str(caught.value)


def test_a_thing_that_is_not_there_gets_no_hint_about_the_address() -> None:
    with pytest.raises(NotFoundError) as caught:
        client_of(b'{"detail": "Image not found"}', 404).images.get("a")
    assert str(caught.value) == "GET /api/v1/images/i/a was answered with status 404: Image not found"
