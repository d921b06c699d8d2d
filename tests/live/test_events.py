"""The event connection: lost, refused, back again, and full of nonsense."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.server import constants
from invokeai_gen.server.errors import ConnectionFailedError, JobTimeoutError, UnreachableError
from invokeai_gen.server.events import (
    InvocationComplete,
    InvocationProgress,
    InvocationStarted,
    JobEvent,
    StatusChanged,
)
from invokeai_gen.server.follow import Follower
from tests import plans
from tests.live import proxy as faults
from tests.live.forward_proxy import ForwardProxy
from tests.live.proxy import Proxy
from tests.live.test_runtime_repositories import png

TIME = 120.0


def run(client: InvokeAIClient, width: int = 24) -> list[JobEvent]:
    """Run a workflow, and return its events."""
    job = plans.picture().submit(plans.PictureParams(width=width), client=client)
    events = list(job.events())
    assert job.wait(TIME) == "completed"
    job.close()
    return events


def follower_of(client: InvokeAIClient) -> Follower:
    found = client._core._connections._follower
    assert found is not None
    return found


def wait_for(is_so: object, what: str) -> None:
    assert callable(is_so)
    end = time.monotonic() + TIME
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_proxy_that_lets_no_websocket_through_is_reported_once(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.on("/ws/socket.io", faults.status(400), faults.FOR_GOOD)
    with InvokeAIClient(proxy.url) as client:
        for width in (16, 24, 32):
            assert [event.status for event in run(client, width) if isinstance(event, StatusChanged)][-1] == "completed"
        (message,) = warnings(caplog)
        assert message.startswith(f"no event connection to {proxy.url} (")
        assert "followed by polling" in message


def test_polling_goes_on_at_a_sensible_rate(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "FIRST_POLL", 0.05)
    monkeypatch.setattr(constants, "MAX_POLL", 0.4)
    proxy.refuse_events()
    with InvokeAIClient(proxy.url) as client:
        client.queue.pause()
        try:
            job = plans.picture().submit(plans.PictureParams(width=16), client=client)
            with pytest.raises(JobTimeoutError):
                job.wait(3.0)
            asked = proxy.asked("/b/.*/status")
        finally:
            client.queue.resume()
        assert 3 <= asked <= 40, "every 0.05 s at first, then every 0.4 s"
        assert job.wait(TIME) == "completed"


def test_events_come_back_with_the_next_job(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    with InvokeAIClient(proxy.url) as client:
        assert any(isinstance(event, InvocationComplete) for event in run(client))
        for width in (40, 48):
            proxy.cut_websockets()
            wait_for(lambda: not follower_of(client).is_connected, "the loss was not noticed")
            events = run(client, width)
            assert sum(isinstance(event, InvocationComplete) for event in events) == 3, (
                "although the pause was not over"
            )
        assert not warnings(caplog), "nothing was waited for"


def nodes(events: list[JobEvent]) -> list[tuple[str, str]]:
    """What was reported of which node, but for progress."""
    return [
        (type(event).__name__, event.node_label)
        for event in events
        if not isinstance(event, StatusChanged | InvocationProgress)
    ]


def test_without_events_the_nodes_are_reported_when_the_item_has_ended(proxy: Proxy, client: InvokeAIClient) -> None:
    received = run(client, 104)
    proxy.refuse_events()
    with InvokeAIClient(proxy.url) as polling:
        read = run(polling, 104)
        both = plans.batched().submit(plans.BatchParams(widths=[16, 24]), client=polling)
        assert both.wait(TIME) == "completed"
        ended = [event.item_id for event in both.events() if isinstance(event, InvocationComplete)]
    assert sorted(nodes(read)) == sorted(nodes(received))
    assert [event.status for event in read if isinstance(event, StatusChanged)] == ["in_progress", "completed"]
    assert {*ended} == {*both.item_ids}


@pytest.mark.parametrize("comes_back", [False, True])
def test_nodes_that_ended_while_the_connection_was_lost_are_reported_once(
    proxy: Proxy, comes_back: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="invokeai_gen")
    with InvokeAIClient(proxy.url) as client:
        job = plans.text_to_image().submit(plans.TextToImageParams(steps=30, seed=1), client=client)
        follow = job.events()
        events: list[JobEvent] = []
        for event in follow:
            events.append(event)
            if isinstance(event, InvocationStarted):
                break
        proxy.refuse_events()
        proxy.cut_websockets()
        wait_for(lambda: not follower_of(client).is_connected, "the loss was not noticed")
        if comes_back:
            proxy.accept_events()
            plans.picture().submit(plans.PictureParams(), client=client)
            assert follower_of(client).is_connected
        events += follow
        assert job.wait(TIME) == "completed"
    reported = nodes(events)
    assert len(reported) == len({*reported})
    labels = {"Load", "Prompt", "Not", "noise", "Denoise", "Decode"}
    assert {label for what, label in reported if what == "InvocationComplete"} == labels
    assert isinstance(events[-1], StatusChanged) and events[-1].status == "completed"
    assert len(warnings(caplog)) == 1
    assert (
        any(record.message == f"the event connection to {proxy.url} is back" for record in caplog.records) == comes_back
    )


NONSENSE = [
    "42[]",
    "42[7]",
    "42",
    '42["queue_item_status_changed"]',
    '42["queue_item_status_changed",null]',
    '42["queue_item_status_changed",{"batch_id":"BATCH"}]',
    '42["queue_item_status_changed",{"batch_id":"BATCH","item_id":[],"status":{}}]',
    '42["queue_item_status_changed",{"batch_id":["BATCH"]}]',
    '42["invocation_complete",{"batch_id":"BATCH","invocation":7}]',
    '42["invocation_progress",{"batch_id":"BATCH","item_id":1,"invocation_source_id":"n","invocation":{},"percentage":"a"}]',
    '42["invocation_progress",{"batch_id":"BATCH","item_id":1,"invocation_source_id":"n","invocation":{},"image":7}]',
    '42["invocation_error",{"batch_id":"BATCH","item_id":1,"invocation_source_id":"n","invocation":{},"error_type":[]}]',
    '42["queue_cleared",7,8,9]',
    "4" + "[" * 30_000,
    "49",
    "4zzz",
]


def test_nonsense_among_the_events_ends_nothing(proxy: Proxy) -> None:
    with InvokeAIClient(proxy.url) as client:
        run(client)
        client.queue.pause()
        try:
            job = plans.picture().submit(plans.PictureParams(width=56), client=client)
            for message in NONSENSE:
                proxy.say(message.replace("BATCH", job.batch_id))
        finally:
            client.queue.resume()
        assert job.wait(TIME) == "completed"
        assert job.outputs().picture.width == 56
        assert any(isinstance(event, InvocationComplete) for event in run(client, 64)), "later events are heard"


def test_a_server_that_stays_away_ends_a_job_after_the_time_that_the_client_allows(proxy: Proxy) -> None:
    with InvokeAIClient(proxy.url, unreachable_after=0.5, max_retries=0) as client:
        client.queue.pause()
        try:
            job = plans.picture().submit(plans.PictureParams(width=72), client=client)
            proxy.refuse_events()
            proxy.on("/b/.*/status", faults.reset, faults.FOR_GOOD)
            proxy.cut_websockets()
            with pytest.raises(ConnectionFailedError):
                job.wait(TIME)
        finally:
            client.queue.resume()
        client.queue.wait_until_idle(TIME)


def test_an_enqueue_on_a_half_open_connection_is_taken_back(proxy: Proxy, server_url: str) -> None:
    """The server has the batch, but its answer never comes; the run's own deadline ends the waiting."""
    with InvokeAIClient(proxy.url) as client, InvokeAIClient(server_url) as direct:
        direct.queue.wait_until_idle(TIME)
        direct.queue.pause()
        before = {*direct.queue.item_ids()}
        try:
            proxy.on("POST .*/enqueue_batch", faults.muted, faults.FOR_GOOD)
            with pytest.raises(JobTimeoutError, match="did not confirm that the workflow is in the queue within 10 s"):
                plans.picture().run(plans.PictureParams(width=80), client=client, timeout=10.0)
            (item_id,) = {*direct.queue.item_ids()} - before
            assert direct.queue.get(item_id).status == "canceled"
        finally:
            direct.queue.resume()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of our own for this machine, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("makes a certificate with openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    options = "-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    command = ["openssl", "req", *options.split(), "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize("how", ["not", "file"])
def test_requests_and_events_come_over_tls_with_a_certificate_of_our_own(
    how: str, server_url: str, certificate: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    verify: bool | Path = False if how == "not" else certificate[0]
    with Proxy(server_url, tls=context) as proxy:
        with (
            InvokeAIClient(proxy.url, max_retries=0) as careful,
            pytest.raises(ConnectionFailedError, match="(?i)certif"),
        ):
            careful.version()
        with InvokeAIClient(proxy.url, verify=verify, headers={"X-Api-Key": "k3y"}) as client:
            assert any(isinstance(event, InvocationComplete) for event in run(client, 96))


def test_a_redirect_from_http_to_https_checks_the_certificate(
    server_url: str, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Proxy(server_url, tls=context) as safe, Proxy(server_url) as plain:
        elsewhere = faults.status(302, f"Location: {safe.url}/api/v1/app/version".encode())
        plain.on("GET /api/v1/app/version", elsewhere, 3)
        with InvokeAIClient(plain.url, max_retries=0) as careful:
            with pytest.raises(ConnectionFailedError, match="(?i)certif"):
                careful.version()
            assert careful.boards.list() is not None, "the address itself needs no certificate"
        with InvokeAIClient(plain.url, verify=certificate[0]) as client:
            assert client.version() == InvokeAIClient(server_url).version()


@pytest.mark.parametrize("is_given_by", ["option", "environment"])
def test_requests_files_and_events_go_through_a_proxy(
    server_url: str, tmp_path: Path, is_given_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ForwardProxy() as forward, monkeypatch.context() as environment:
        if is_given_by == "environment":
            environment.setenv("http_proxy", forward.url)
            environment.delenv("no_proxy", raising=False)
            environment.delenv("NO_PROXY", raising=False)
        with InvokeAIClient(server_url, proxy=forward.url if is_given_by == "option" else None) as client:
            assert client.version()
            events = run(client)
            image = client.images.upload(png())
            client.images.download(image.image_name, tmp_path / "a.png")
            client.images.delete([image.image_name])
    assert any(isinstance(event, InvocationComplete) for event in events)
    assert f"GET {server_url}/api/v1/app/version HTTP/1.1" in forward.lines
    assert f"POST {server_url}/api/v1/images/upload" in "".join(forward.lines), "files took another way"
    ways = [line for line in forward.lines if "/ws/socket.io" in line or line.startswith("CONNECT")]
    assert ways, "events took another way"


def test_a_proxy_that_is_off_is_named_as_the_reason() -> None:
    with ForwardProxy() as forward:
        pass
    client = InvokeAIClient("http://server.invalid:9090", proxy=forward.url, max_retries=0)
    with client, pytest.raises(UnreachableError, match="cannot be reached"):
        client.version()
