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
from invokeai_gen.server.errors import ServerError

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


def test_outputs_can_be_pickled_and_copied_with_their_client() -> None:
    client = guarded()._core
    output = ImageOutput("a.png", 8, 8, client=client)
    data = pickle.dumps(output)
    assert not shown_in(data.decode("latin-1"))
    assert pickle.loads(data) == output
    assert copy.deepcopy(output).client is copy.copy(client) is asdict(output)["client"] is client


def test_a_secret_is_itself_where_it_is_used() -> None:
    secret = Secret(TOKEN)
    assert (f"{secret}", "%s" % secret, secret.encode(), {TOKEN: 1}[secret]) == (TOKEN, TOKEN, TOKEN.encode(), 1)  # noqa: UP031
    assert repr({"a": [secret]}) == "{'a': ['***']}"
    assert pickle.loads(pickle.dumps(secret)) == ""
