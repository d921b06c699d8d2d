"""Tokens and passwords show nowhere: not in reprs, logs, errors, tracebacks with variables, pickles."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx
import pytest
from rich.console import Console
from rich.traceback import Traceback

from invokeai_gen import AsyncInvokeAIClient, ImageOutput, InvokeAIClient
from invokeai_gen.server.background import run
from invokeai_gen.server.credentials import Secret
from invokeai_gen.server.errors import InvalidUrlError, ServerError
from invokeai_gen.server.http import Transport

TOKEN = "eyJ0b2tlbg"
PASSWORD = "hunter2"
SECRETS = (TOKEN, PASSWORD, "bWU6aHVudGVyMg==")
URL = f"http://me:{PASSWORD}@127.0.0.1:1/sub"


def guarded() -> InvokeAIClient:
    return InvokeAIClient(URL, token=TOKEN)


def shown_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def crash(call: Callable[[], object]) -> str:
    """Everything that the most talkative of tracebacks shows of an error."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be shown
        plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        console = Console(file=io.StringIO(), width=400)
        console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
        assert isinstance(console.file, io.StringIO)
        told = [
            str(each) + repr(each) + str(getattr(each, "__notes__", "")) + repr(vars(each)) for each in chain(error)
        ]
        return plain + console.file.getvalue() + "".join(told)
    raise AssertionError("nothing went wrong")


def chain(error: BaseException | None) -> list[BaseException]:
    """An error and all those that it came from, also the hidden ones."""
    return [error, *chain(error.__cause__), *chain(error.__context__)] if error else []


def test_no_repr_and_no_variable_of_a_client_shows_a_secret() -> None:
    client = guarded()
    parts = (client, client._core, client._core._transport, client._core._connections)
    assert not shown_in("".join(repr(part) + repr(vars(part)) for part in parts))
    assert not shown_in(repr(client._core._transport.headers))


def test_no_crash_shows_a_secret() -> None:
    client = guarded()
    text = crash(client.version)
    assert "cannot be reached" in text
    assert not shown_in(text)


def test_no_crash_in_the_middle_of_a_request_shows_a_secret() -> None:
    def crash_here(_request: httpx.Request) -> httpx.Response:
        raise RuntimeError("boom")

    for url, token in ((URL, None), ("http://server", TOKEN)):
        client = InvokeAIClient(url, token=token, http_backend=httpx.MockTransport(crash_here))
        text = crash(lambda: run(client._core.images.upload(b"data")))  # noqa: B023
        assert "/api/v1/images/upload" in text, "variables are part of it"
        assert not shown_in(text)


def test_no_crash_of_a_login_shows_a_secret() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"detail": "Incorrect email or password"})

    client = InvokeAIClient("http://server", http_backend=httpx.MockTransport(refuse))
    text = crash(lambda: client.login("me@example.com", PASSWORD))
    assert "Incorrect email or password" in text
    assert "me@example.com" in text, "variables are part of it"
    assert not shown_in(text)


@pytest.mark.parametrize("around", ["{}\n", "\r\n{}", "  {}  ", "\t{}\n\n"])
def test_white_space_around_a_token_is_taken_off(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"version": "6"})

    backend = httpx.MockTransport(handle)
    InvokeAIClient("http://server", token=around.format(TOKEN), http_backend=backend).version()
    monkeypatch.setenv("INVOKEAI_TOKEN", around.format(TOKEN))
    InvokeAIClient("http://server", http_backend=backend).version()
    InvokeAIClient("http://server", token="", http_backend=backend).version()
    assert [request.headers.get("authorization") for request in seen] == [f"Bearer {TOKEN}"] * 2 + [None]


@pytest.mark.parametrize("bad", [f"{TOKEN}\nX: y", f"{TOKEN} {TOKEN}", f"{TOKEN}é", f"{TOKEN}\x00", f"{TOKEN}\ud800"])
def test_a_token_that_cannot_be_sent_is_refused_at_once_and_not_shown(bad: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: InvokeAIClient("http://server", token=bad),
        lambda: AsyncInvokeAIClient("http://server", token=bad),
    ]
    for call in calls:
        assert "cannot be sent" in str(error_of(call))
        for each in chain(error_of(call)):
            assert not shown_in(str(each) + repr(each) + repr(vars(each)))


def error_of(call: Callable[[], object]) -> Exception:
    with pytest.raises(ServerError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "user:hunter2@h",
        "http://u:hunter2#@h",
        "http://u:hunter2?@h",
        "http://u:hunter2/@h",
        "http://u:hunter2@h:port",
        "http://u:hunter2@h:99999",
        "http://u:hunter2@[::1",
        "http://h?token=hunter2",
        "http://h/#hunter2",
        "ftp://u:hunter2@h",
        "http://u:hunter2@h\n",
        "http://u:hunter2@",
        "http://u:hunter2@a..b",
        "http://u:hunter2@h h",
    ],
)
def test_no_address_that_is_refused_shows_a_password(url: str) -> None:
    if url.endswith("\n"):  # white space around an address is taken off
        assert InvokeAIClient(url).url == "http://h"
        return
    error = error_of(lambda: InvokeAIClient(url))
    assert isinstance(error, InvalidUrlError)
    for each in chain(error):
        assert not shown_in(str(each) + repr(each) + repr(vars(each)))


@pytest.mark.parametrize(
    "url", ["http://h:99999", "http://h:abc", "http://h:-1", "http://h:0", "http://[::1", "http://a..b"]
)
def test_an_address_with_an_impossible_port_or_host_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidUrlError, match="is not the address of a server"):
        InvokeAIClient(url)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}'"),
        httpx.ConnectError(f"proxy {PASSWORD} refused"),
        ValueError(TOKEN),
        UnicodeEncodeError("ascii", f"{TOKEN}é", 10, 11, "ordinal not in range"),
        ExceptionGroup("several", [OverflowError(TOKEN)]),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
def test_what_a_library_says_of_a_secret_is_not_repeated(trouble: Exception) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise trouble

    client = InvokeAIClient(
        "http://server",
        token=TOKEN,
        headers={"X-Key": PASSWORD},
        http_backend=httpx.MockTransport(fail),
        max_retries=0,
    )
    assert not shown_in(crash(client.version))


@pytest.mark.parametrize(
    "headers", [{"X-Key": f"{PASSWORD}\r\nX: y"}, {"X-Key": f"{PASSWORD}é"}, {f"{PASSWORD} x": "a"}]
)
def test_a_header_that_cannot_be_sent_is_refused_and_not_shown(headers: dict[str, str]) -> None:
    error = error_of(lambda: InvokeAIClient("http://server", headers=headers))
    assert "cannot be sent" in str(error)
    assert not shown_in(str(error) + repr(error))


def test_a_token_of_the_server_that_cannot_be_sent_is_not_taken() -> None:
    answer = httpx.Response(200, json={"token": "a b\n"})
    client = InvokeAIClient("http://server", http_backend=httpx.MockTransport(lambda _request: answer))
    assert "cannot be sent" in str(error_of(lambda: client.login("me@example.com", PASSWORD)))
    refreshed = httpx.Response(200, json={"version": "6"}, headers={"X-Refreshed-Token": "a b"})
    client = InvokeAIClient("http://server", token=TOKEN, http_backend=httpx.MockTransport(lambda _request: refreshed))
    client.version()
    assert client._core._transport.token == TOKEN


def test_a_value_with_half_a_character_is_an_error_without_it() -> None:
    client = InvokeAIClient("http://server", http_backend=httpx.MockTransport(lambda _request: httpx.Response(500)))
    assert "characters that are not allowed" in str(error_of(lambda: client.boards.create(f"{PASSWORD}\ud800")))
    text = crash(lambda: client.login("me@example.com", f"{PASSWORD}\ud800"))
    assert not shown_in(text)


def test_no_password_of_an_account_is_among_the_variables_of_a_traceback() -> None:
    client = InvokeAIClient("http://server", http_backend=httpx.MockTransport(lambda _request: httpx.Response(400)))
    calls: list[Callable[[], object]] = [
        lambda: client.accounts.create("me@example.com", PASSWORD),
        lambda: client.accounts.update("id", password=PASSWORD),
        lambda: client.accounts.update_me(current_password=PASSWORD, new_password=PASSWORD),
        lambda: client.accounts.login("me@example.com", PASSWORD),
        lambda: client.models.install("https://site.example/model", access_token=PASSWORD),
        lambda: client.accounts.login("me@example.com", PASSWORD, name="unknown"),  # type: ignore[call-arg]
    ]
    for call in calls:
        assert not shown_in(crash(call))


def test_no_log_has_queries(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    backend = httpx.MockTransport(lambda _request: httpx.Response(400))
    client = InvokeAIClient("http://server", http_backend=backend)
    with pytest.raises(ServerError):
        client.models.install("https://site.example/model", access_token=PASSWORD)
    assert "POST /api/v2/models/install" in caplog.text
    assert not shown_in(caplog.text)


def test_no_log_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    client = guarded()
    with pytest.raises(ServerError):
        client.version()
    record = logging.LogRecord("httpcore.http11", logging.DEBUG, "", 1, _HEADERS_AS_LOGGED, (), None)
    logging.getLogger("httpcore.http11").handle(record)
    assert "httpcore" in {name.partition(".")[0] for name, _, _ in caplog.record_tuples}
    assert "b'X-Refreshed-Token', b'***'" in caplog.text
    assert "text/plain" in caplog.text
    assert not shown_in(caplog.text)


_HEADERS_AS_LOGGED = (
    "receive_response_headers.complete return_value=(b'HTTP/1.1', 200, b'OK', "
    f"[(b'X-Refreshed-Token', b'{TOKEN}'), (b'Content-Type', b'text/plain'), (b'set-cookie', b'a={TOKEN}')])"
)


@pytest.mark.parametrize("kind", [InvokeAIClient, AsyncInvokeAIClient])
def test_a_pickled_client_has_its_settings_but_no_secret(kind: Callable[..., Any]) -> None:
    client = kind(URL, token=TOKEN, timeout=7.0, queue_id="other")
    data = pickle.dumps(client)
    assert not shown_in(data.decode("latin-1"))
    again = pickle.loads(data)
    assert type(again) is type(client)
    assert again.url == client.url == "http://127.0.0.1:1/sub"
    core = again._core if isinstance(again, InvokeAIClient) else again
    assert (core._transport.timeout, core._queue_id, core._transport.token) == (7.0, "other", None)


@pytest.mark.parametrize("part", ["images", "models", "boards", "workflows"])
def test_a_part_of_a_client_can_be_pickled_and_copied_without_its_secret(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that `pool.map(client.images.download, names)` works."""
    found = getattr(InvokeAIClient(URL, token=TOKEN, timeout=7.0), part)
    data = pickle.dumps(found)
    assert not shown_in(data.decode("latin-1"))
    monkeypatch.setenv("INVOKEAI_TOKEN", "another")
    for again in (pickle.loads(data), copy.deepcopy(found)):
        (transport,) = (value for value in vars(again._core).values() if isinstance(value, Transport))
        assert (transport.url, transport.timeout, transport.token) == ("http://127.0.0.1:1/sub", 7.0, "another")


def test_outputs_can_be_pickled_and_copied_with_their_client() -> None:
    client = guarded()._core
    output = ImageOutput("a.png", 8, 8, client=client)
    data = pickle.dumps(output)
    assert not shown_in(data.decode("latin-1"))
    assert pickle.loads(data) == output
    assert copy.deepcopy(output).client is copy.copy(client) is asdict(output)["client"] is client


def test_a_long_token_is_not_shown_in_part() -> None:
    token = TOKEN * 100
    client = InvokeAIClient("http://127.0.0.1:1", token=token, headers={"X-Key": PASSWORD * 50}, max_retries=0)
    assert not shown_in(crash(client.version))
    assert repr(Secret(token)[:80]) == "'***'"


def test_a_secret_is_itself_where_it_is_used() -> None:
    secret = Secret(TOKEN)
    assert (f"{secret}", "%s" % secret, secret.encode(), {TOKEN: 1}[secret]) == (TOKEN, TOKEN, TOKEN.encode(), 1)  # noqa: UP031
    assert repr({"a": [secret]}) == "{'a': ['***']}"
    assert pickle.loads(pickle.dumps(secret)) == ""
