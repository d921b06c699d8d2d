"""The options of a client, and what it logs."""

from __future__ import annotations

import logging
import pickle
import re
import sys
from pathlib import Path

import httpx
import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.server.errors import ConnectionFailedError, ServerFaultError
from invokeai_gen.server.http import Transport

VERSION = httpx.Response(200, json={"version": "6.14.2"})


pytestmark = pytest.mark.usefixtures("no_pauses")


@pytest.mark.parametrize("retries", [0, 1, 6])
def test_a_request_is_repeated_as_often_as_the_client_says(retries: int) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(503)

    client = InvokeAIClient("http://server", max_retries=retries, http_backend=httpx.MockTransport(handle))
    with pytest.raises(ServerFaultError):
        client.version()
    assert len(seen) == retries + 1


def test_headers_go_with_each_request_but_not_to_another_host() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.host == "server" and request.url.path.endswith("/full"):
            return httpx.Response(302, headers={"Location": "http://elsewhere/picture"})
        return VERSION if "version" in request.url.path else httpx.Response(200, content=b"picture")

    client = InvokeAIClient(
        "http://server", headers={"X-Api-Key": " k3y "}, token="t0ken", http_backend=httpx.MockTransport(handle)
    )
    client.version()
    assert client.images.read("a") == b"picture"
    assert [request.headers.get("X-Api-Key") for request in seen] == ["k3y", "k3y", None]
    assert [request.headers.get("Authorization") for request in seen] == ["Bearer t0ken", "Bearer t0ken", None]


def test_an_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(TypeError, match="no option 'retries'; there are .*max_retries"):
        InvokeAIClient("http://server", retries=3)  # type: ignore[call-arg]


def test_a_file_of_certificates_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "ca.pem"))):
        InvokeAIClient("https://server", verify=tmp_path / "ca.pem")


def test_requests_and_events_check_certificates_alike() -> None:
    assert Transport("https://server", verify=False).tls() is False
    assert Transport("https://server").tls() is Transport("https://other").tls()


def test_a_client_keeps_its_options_in_a_pickle_but_no_secret() -> None:
    client = InvokeAIClient(
        "http://server", max_retries=7, verify=False, unreachable_after=5.0, proxy="http://me:hunter2@proxy:3128",
        headers={"X-Key": "hunter2"},
    )  # fmt: skip
    data = pickle.dumps(client)
    assert b"hunter2" not in data
    transport = pickle.loads(data)._core._transport
    assert (transport.max_retries, transport.verify, transport.unreachable_after) == (7, False, 5.0)
    assert transport.proxy == "http://proxy:3128"


def test_the_log_has_what_was_sent_repeated_and_given_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="invokeai_gen")
    answers = iter([httpx.Response(503), VERSION])
    client = InvokeAIClient("http://server", http_backend=httpx.MockTransport(lambda _request: next(answers)))
    client.version()
    path = "/api/v1/app/version"
    records = [record for record in caplog.records if record.name == "invokeai_gen"]
    assert [(record.levelno, record.__dict__["path"], record.__dict__.get("status")) for record in records] == [
        (logging.DEBUG, path, 503),
        (logging.INFO, path, None),
        (logging.DEBUG, path, 200),
    ]
    caplog.clear()
    down = httpx.MockTransport(lambda _request: (_ for _ in ()).throw(httpx.ReadError("reset")))
    with pytest.raises(ConnectionFailedError):
        InvokeAIClient("http://server", http_backend=down, max_retries=1).version()
    assert [record.message.split(" (")[0].split(":")[0] for record in caplog.records] == [
        f"GET {path} failed",
        f"gave up GET {path}",
    ]


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "http://server:9090", None),
        ({"http_proxy": "http://proxy:3128"}, "http://server:9090", "http://proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, "https://server:9090", None),
        ({"all_proxy": "proxy:3128"}, "https://server:9090", "http://proxy:3128"),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "server"}, "http://me:secret@server:9090", None),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "server"}, "http://server2:9090", "http://proxy:3128"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have settings for it, too")
def test_the_environment_names_the_proxy_of_files_and_events(
    variables: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Transport(url).used_proxy() == proxy
    assert Transport(url, proxy="http://other:1").used_proxy() == "http://other:1"
