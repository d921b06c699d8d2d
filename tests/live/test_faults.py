"""Everything that can go wrong between here and a server, at every step of a run: what the caller sees, and what stays.

Each cell of `MATRIX` is one fault during one step. After it the server is asked, past the proxy, whether exactly one
queue item was made (or none), whether every image that is left is one the caller was told of, and nothing may be left
here: no half of a file, no socket, no thread.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import PIL.Image
import pytest

from invokeai_gen import InvokeAIClient, Job
from invokeai_gen.server import background, constants
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    JobTimeoutError,
    RequestTimeoutError,
    ServerFaultError,
)
from invokeai_gen.server.run_errors import DownloadError, EnqueueUncertainError, UploadUncertainError
from invokeai_gen.server.status_errors import UnauthorizedError
from tests import plans
from tests.live import proxy as faults
from tests.live.proxy import Fault, Proxy
from tests.server import Server

TIME = 60.0
"""Seconds that anything may take here; the server may be busy with other tests."""
MP4 = Path(__file__).with_name("media") / "tiny.mp4"
PATIENCE = 1.2
"""Seconds of silence after which a client gives up, where silence is the fault."""
DEADLINES = 2.0, 15.0, 120.0
"""Seconds of a whole run; on a slow machine only a later one is enough to come as far as the step that is silent."""

STEPS = {
    "upload": "POST /api/v1/images/upload",
    "enqueue": "POST .*/enqueue_batch",
    "wait": "GET .*/b/.*/status",
    "collect": r"GET .*/queue/default/i/\d+",
    "download": "GET .*/full",
    "clean-up": "POST /api/v1/images/delete",
}
"""The request of each step that is met by the fault. Nobody hears events here, so that waiting is asking."""


@dataclass
class Told:
    """What a caller gets to know of one run."""

    job: Job[plans.ResizeOutputs] | None = None
    files: list[Path] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    """What could not be deleted."""
    step: str = ""
    """The last one that was begun."""
    error: Exception | None = None


def png() -> bytes:
    buffer = BytesIO()
    PIL.Image.effect_noise((96, 64), 50).save(buffer, "PNG")
    return buffer.getvalue()


def go(client: InvokeAIClient, folder: Path, begin: Callable[[str], None] = lambda step: None) -> Told:
    """A run with all its steps, until one of them fails."""
    told = Told()

    def step(name: str) -> None:
        told.step = name
        begin(name)

    try:
        step("upload")
        begin("enqueue")
        told.job = plans.resize().submit(plans.ResizeParams(picture=png()), client=client)
        step("wait")
        assert told.job.wait(TIME) == "completed"
        step("collect")
        out = told.job.outputs()
        step("download")
        told.files = out.download_outputs(folder)
        step("clean-up")
        told.left = dict(told.job.clean_up(("outputs", "inputs")).failed)
    except Exception as error:  # noqa: BLE001 - each cell says which one it is
        told.error = error
    return told


# -- what is left -----------------------------------------------------------------------------------------------------


def sockets() -> set[str]:
    """Those that this process has open, where the system tells."""
    found = set()
    for number in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")
            if target.startswith("socket:"):
                found.add(target)
    return found


def threads() -> set[threading.Thread]:
    """But for those of the background loop, which stay for the next client."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith(("invokeai-gen", "asyncio_"))}


def images(client: InvokeAIClient) -> set[str]:
    return set(client.ask("GET", "/api/v1/images/names")["image_names"])


@pytest.fixture
def nothing_left_here() -> Iterator[None]:
    """No socket and no thread more at the end than at the beginning."""
    background.loop()  # has sockets of its own
    before = sockets(), threads()
    yield
    end = time.monotonic() + TIME
    while (sockets() - before[0] or threads() - before[1]) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    assert not sockets() - before[0]
    assert not threads() - before[1]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """All waiting is short; what is tested is its order."""
    monkeypatch.setattr(constants, "FIRST_RETRY_WAIT", 0.01)
    monkeypatch.setattr(constants, "LOST_ANSWER_WAITS", (0.05, 0.05))
    monkeypatch.setattr(constants, "UNREACHABLE_AFTER", PATIENCE)
    monkeypatch.setattr(constants, "FIRST_POLL", 0.02)


@pytest.fixture
def direct(server_url: str, nothing_left_here: None) -> Iterator[InvokeAIClient]:
    """Not through the proxy, to look at what is really there."""
    with InvokeAIClient(server_url) as made:
        yield made


# -- the matrix -------------------------------------------------------------------------------------------------------

FINE = "fine"
Outcome = str | type[Exception]


@dataclass(frozen=True)
class Row:
    """One fault and what comes of it in each step: `FINE`, an error, or the reason why something was not deleted."""

    name: str
    fault: Fault
    upload: Outcome
    enqueue: Outcome
    wait: Outcome
    collect: Outcome
    download: Outcome
    clean_up: Outcome
    times: int = 1

    def __getitem__(self, step: str) -> Outcome:
        outcome: Outcome = getattr(self, step.replace("-", "_"))
        return outcome


# fmt: off
MATRIX = [
    Row("refused", faults.refused, UploadUncertainError, EnqueueUncertainError, ConnectionFailedError,
        ConnectionFailedError, DownloadError, "cannot be reached"),
    Row("reset", faults.reset, FINE, FINE, FINE, FINE, FINE, FINE),
    Row("reset for good", faults.reset, UploadUncertainError, EnqueueUncertainError, ConnectionFailedError,
        ConnectionFailedError, DownloadError, "broke", times=faults.FOR_GOOD),
    Row("answer lost", faults.lost, FINE, FINE, FINE, FINE, FINE, FINE),
    Row("silent", faults.silent, UploadUncertainError, EnqueueUncertainError, FINE, FINE, FINE, FINE),
    Row("silent for good", faults.silent, UploadUncertainError, EnqueueUncertainError, RequestTimeoutError,
        RequestTimeoutError, DownloadError, "in time", times=faults.FOR_GOOD),
    Row("answer unheard", faults.muted, FINE, FINE, FINE, FINE, FINE, FINE),
    Row("answer late", faults.late, FINE, FINE, FINE, FINE, FINE, FINE),
    Row("500", faults.status(500), ServerFaultError, ServerFaultError, FINE, ServerFaultError, DownloadError,
        "fault on purpose"),
    Row("502", faults.status(502), FINE, FINE, FINE, FINE, FINE, FINE),
    Row("503", faults.status(503, b"Retry-After: 0"), FINE, FINE, FINE, FINE, FINE, FINE),
    Row("429", faults.status(429, b"Retry-After: 0"), FINE, FINE, FINE, FINE, FINE, FINE),
    Row("slow", faults.slow, FINE, FINE, FINE, FINE, FINE, FINE),
    Row("cut", faults.cut, FINE, FINE, FINE, FINE, FINE, FINE),
    Row("cut for good", faults.cut, FINE, FINE, ConnectionFailedError, ConnectionFailedError, DownloadError,
        "broke", times=faults.FOR_GOOD),
    Row("truncated", faults.truncated, FINE, FINE, FINE, FINE, DownloadError, FINE),
    Row("expired", faults.status(401), UnauthorizedError, UnauthorizedError, UnauthorizedError, UnauthorizedError,
        DownloadError, "INVOKEAI_TOKEN", times=faults.FOR_GOOD),
]
# fmt: on
CELLS = [pytest.param(row, step, id=f"{row.name}-{step}") for row in MATRIX for step in STEPS]
NOT_RUN = ("upload", "enqueue")


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(("row", "step"), CELLS)
def test_a_fault(row: Row, step: str, direct: InvokeAIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = PATIENCE if row.fault in (faults.silent, faults.muted, faults.late) else TIME
    items, kept = set(direct.queue.item_ids()), images(direct)
    with Proxy(direct.url) as proxy, InvokeAIClient(proxy.url, timeout=TIME) as client:
        proxy.refuse_events()

        def begin(name: str) -> None:
            if name == step:  # on a slow machine, the steps before it may take longer
                monkeypatch.setattr(constants, "ENQUEUE_TIMEOUT", patience)
                client._core._transport.timeout = patience
                proxy.on(STEPS[step], row.fault, row.times)

        told = go(client, tmp_path, begin)
        assert proxy.asked(STEPS[step]), "the fault was met"

    outcome = row[step]
    if isinstance(outcome, type):
        assert isinstance(told.error, outcome), told.error
        assert told.step == ("upload" if step == "enqueue" else step)
    else:
        assert told.error is None, told.error
        assert bool(told.left) == (outcome is not FINE)
        assert all(outcome in reason for reason in told.left.values())
    check_server(direct, told, items, kept, ran=not (step in NOT_RUN and told.error))
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in told.files]
    for path in told.files:
        with PIL.Image.open(path) as image:
            image.load()


def check_server(client: InvokeAIClient, told: Told, items: set[int], kept: set[str], *, ran: bool) -> None:
    """Exactly one item was made, or none; images that are left are known to the caller."""
    made = set(client.queue.item_ids()) - items
    assert len(made) == ran
    if told.job:
        assert made == {told.job.item_id}
        job = Job.resume(client, told.job.item_id, plan=told.job.plan, outputs=plans.ResizeOutputs)
        assert job.wait(TIME) == "completed"
        known = {*told.job.uploads.images, *(image.name for image in job.outputs().images)}
    else:
        known = set()
    notes = "\n".join(getattr(told.error, "__notes__", ()))
    left = images(client) - kept
    assert {name for name in left if name not in known and name not in notes} == set()
    client.images.delete([*left])


# -- events -----------------------------------------------------------------------------------------------------------

EVENT_FAULTS = {
    "refused": faults.reset,
    "silent": faults.silent,
    "not found": faults.status(404),
    "forbidden": faults.status(401),
    "another protocol": faults.truncated,
}


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("fault", EVENT_FAULTS)
def test_events_that_never_come(
    fault: str, direct: InvokeAIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "SOCKET_TIMEOUT", PATIENCE)
    items, kept = set(direct.queue.item_ids()), images(direct)
    with Proxy(direct.url) as proxy, InvokeAIClient(proxy.url) as client:
        proxy.on("/ws/socket.io", EVENT_FAULTS[fault], faults.FOR_GOOD)
        told = go(client, tmp_path)
        assert (told.error, told.left) == (None, {})
    check_server(direct, told, items, kept, ran=True)


def run_watched(client: InvokeAIClient) -> None:
    """A run whose events are wanted: one without callbacks may end before it needs any."""
    events: list[object] = []
    plans.picture().run(
        plans.PictureParams(), client=client, timeout=TIME, cleanup=("outputs", "queue_items"), on_status=events.append
    )


@pytest.mark.usefixtures("_impatient")
def test_events_are_not_fetched_from_another_host(direct: InvokeAIClient) -> None:
    with Proxy(direct.url) as elsewhere, Proxy(direct.url) as proxy, InvokeAIClient(proxy.url, token="t") as client:
        location = f"Location: {elsewhere.url}/ws/socket.io/?EIO=4&transport=websocket"
        proxy.on("/ws/socket.io", faults.status(302, location.encode()), faults.FOR_GOOD)
        run_watched(client)
        assert proxy.asked("/ws/socket.io")
        assert elsewhere.requests == []


@pytest.mark.usefixtures("_impatient")
def test_a_video_whose_answer_is_lost_is_uploaded_once(direct: InvokeAIClient) -> None:
    def names() -> set[str]:
        return {video["video_name"] for video in direct.ask("GET", "/api/v1/videos/", params={"limit": 100})["items"]}

    kept = names()
    with Proxy(direct.url) as proxy, InvokeAIClient(proxy.url) as client:
        proxy.on("POST /api/v1/videos/upload", faults.lost)
        name = client.videos.upload(MP4.read_bytes(), "tiny.mp4").video_name
        assert names() - kept == {name}
        client.videos.delete([name]).raise_for_failures()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("step", STEPS)
def test_events_that_end(step: str, direct: InvokeAIClient, tmp_path: Path) -> None:
    with Proxy(direct.url) as proxy, InvokeAIClient(proxy.url) as client:
        run_watched(client)
        assert proxy.asked("/ws/socket.io") == 1
        items, kept = set(direct.queue.item_ids()), images(direct)

        def end_events(exchange: faults.Exchange) -> None:
            proxy.refuse_events()
            proxy.cut_websockets()
            faults.healthy(exchange)

        def begin(name: str) -> None:
            if name == step:
                proxy.on(STEPS[step], end_events)

        told = go(client, tmp_path, begin)
        assert (told.error, told.left) == (None, {})
    check_server(direct, told, items, kept, ran=True)


# -- deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("step", ["upload", "enqueue", "wait", "collect"])
def test_a_run_ends_at_its_deadline_though_the_server_is_silent(
    step: str, direct: InvokeAIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other limit would end it in the time of a test."""
    for name in ("UNREACHABLE_AFTER", "ENQUEUE_TIMEOUT", "READ_TIMEOUT"):
        monkeypatch.setattr(constants, name, 3600.0)
    for name in ("CANCEL_TIMEOUT", "CLEANUP_TIMEOUT", "UNDO_TIMEOUT"):
        monkeypatch.setattr(constants, name, PATIENCE)
    for deadline in DEADLINES:
        items, kept = set(direct.queue.item_ids()), images(direct)
        with Proxy(direct.url) as proxy, InvokeAIClient(proxy.url, timeout=3600.0) as client:
            proxy.refuse_events()
            proxy.on(STEPS[step], faults.muted if step == "upload" else faults.silent, faults.FOR_GOOD)
            with pytest.raises(JobTimeoutError, match=f"within {deadline:g} s") as caught:
                plans.resize().run(
                    plans.ResizeParams(picture=png()), client=client, timeout=deadline, cleanup=("inputs", "outputs")
                )
            if proxy.asked(STEPS[step]):
                break
    made, left = set(direct.queue.item_ids()) - items, images(direct) - kept
    assert len(made) == (step not in NOT_RUN)
    notes = "\n".join(getattr(caught.value, "__notes__", ()))
    if step == "upload":
        assert (len(left), "requests were broken off" in notes) == (1, True)
    elif step == "enqueue":
        assert (left, notes) == (set(), "")
    else:
        assert "clean-up: " in notes or not left
    direct.images.delete([*left])


# -- a server that is killed ------------------------------------------------------------------------------------------


@dataclass
class Hold:
    """Keeps requests waiting in the proxy, before or after the server has worked on them."""

    met: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    over: threading.Event = field(default_factory=threading.Event)

    def before(self, exchange: faults.Exchange) -> None:
        self.met.release()
        self.over.wait(TIME)
        faults.healthy(exchange)

    def after(self, exchange: faults.Exchange) -> None:
        exchange.answer()
        self.met.release()
        self.over.wait(TIME)


@pytest.mark.usefixtures("_impatient", "nothing_left_here")
def test_a_server_that_is_killed_during_each_step_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six runs at once, each held in another step; an upload and an enqueue after the server has worked on them."""
    monkeypatch.setattr(constants, "ENQUEUE_TIMEOUT", TIME)
    hold = Hold()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server.start())
        direct = stack.enter_context(InvokeAIClient(server.url))
        pool = stack.enter_context(ThreadPoolExecutor(len(STEPS)))
        clients: dict[str, InvokeAIClient] = {}
        running: dict[str, Future[Told]] = {}
        for step, pattern in STEPS.items():
            proxy = stack.enter_context(Proxy(server.url))
            proxy.refuse_events()
            clients[step] = stack.enter_context(InvokeAIClient(proxy.url, timeout=TIME))

            def begin(name: str, step: str = step, pattern: str = pattern, proxy: Proxy = proxy) -> None:
                if name == step:
                    proxy.on(pattern, hold.after if step in NOT_RUN else hold.before)

            running[step] = pool.submit(go, clients[step], tmp_path / step, begin)
        for _ in STEPS:
            assert hold.met.acquire(timeout=TIME)
        end = time.monotonic() + TIME
        while direct.queue.counts().pending + direct.queue.counts().in_progress and time.monotonic() < end:
            time.sleep(0.02)
        server.kill()
        hold.over.set()
        told = {step: run.result(TIME) for step, run in running.items()}
        assert {step: type(one.error) for step, one in told.items()} == {
            "upload": UploadUncertainError,
            "enqueue": EnqueueUncertainError,
            "wait": ConnectionFailedError,
            "collect": ConnectionFailedError,
            "download": DownloadError,
            "clean-up": type(None),
        }
        server.restart()

        assert len(direct.queue.item_ids()) == len(STEPS) - 1, "all but the one whose upload was not confirmed"
        uncertain = told["enqueue"].error
        assert isinstance(uncertain, EnqueueUncertainError)
        assert len(clients["enqueue"].queue.item_ids_of(uncertain.batch_id)) == 1
        assert uncertain.__notes__[0].startswith("clean-up: "), "its upload is still there, and named"
        job = told["wait"].job
        assert job is not None
        assert Job.resume(clients["wait"], job.item_id).wait(TIME) == "completed"
        for step in ("collect", "download", "clean-up"):
            again = told[step].job
            assert again is not None
            folder = tmp_path / step
            assert [path.name for path in folder.glob("*")] == (["small.png"] if step == "clean-up" else [])
            (saved,) = again.outputs().download_outputs(folder)
            with PIL.Image.open(saved) as image:
                image.load()
            assert len(again.clean_up(("outputs", "inputs")).raise_for_failures().deleted) == 2
