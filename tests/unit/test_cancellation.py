"""A call that is cancelled in the very moment in which its result arrives: nothing stays open, and nothing in the queue."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from generated import sunset_poster as wf
from invokeai_gen import AsyncInvokeAIClient, InvokeAIClient, WorkflowDefinition, WorkflowHandle
from invokeai_gen.schema import shipped_schema
from invokeai_gen.server import background, constants, media, transfers
from invokeai_gen.server.answers import ignored
from invokeai_gen.server.background import bridge, in_thread
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.server.errors import RequestTimeoutError
from invokeai_gen.server.http import Transport
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.server.queue import take_back
from invokeai_gen.server.records import Enqueued
from invokeai_gen.server.run_queue import RunQueue
from invokeai_gen.sweeps.journal import Journal
from invokeai_gen.testing import FakeInvokeAI
from tests.unit.memory_queue import GUARD

MAX_STEPS = 200
SUNSET = Path(__file__).parents[2] / "data" / "workflows" / "sunset_poster.json"


async def _settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def _at_once(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`asyncio.to_thread` whose thread is done before the loop goes on: whoever is cancelled now misses the result."""
    result = call(*args, **kwargs)
    await asyncio.sleep(0)
    return result


async def _steps(task: asyncio.Task[Any], count: int) -> None:
    """Take some steps of this loop. All that the background loop can do is done between two of them."""
    for _ in range(count):
        await asyncio.sleep(0)
        background.run(_settle())


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await _ended(task)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait for a task that has been cancelled."""
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, GUARD)


# -- the queue ---------------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[FakeInvokeAI], Coroutine[Any, Any, object]]] = {
    "run": lambda fake: wf.arun(wf.Params(), client=fake.async_client),
    "submit": lambda fake: wf.asubmit(wf.Params(), client=fake.async_client),
    "sweep": lambda fake: wf.asweep(product={"seed": [1, 2, 3]}, client=fake.async_client),
}


def _statuses(fake: FakeInvokeAI) -> set[str]:
    items = background.run(fake.async_client.queue.items(range(1, 10)))
    return {item.status for item in items}


@pytest.mark.parametrize("is_repeated", [False, True], ids=["once", "again and again"])
@pytest.mark.parametrize("call", CALLS)
def test_at_whatever_step_a_call_is_cancelled_nothing_stays_in_the_queue(call: str, is_repeated: bool) -> None:
    was_in_queue = False

    def is_done_after(count: int) -> bool:
        nonlocal was_in_queue
        with FakeInvokeAI() as fake:
            fake.hangs()

            async def main() -> bool:
                task = asyncio.create_task(CALLS[call](fake))
                await _steps(task, count)
                if task.done():
                    return True
                nonlocal was_in_queue
                was_in_queue = was_in_queue or bool(fake.runs)
                while is_repeated and not task.done():  # as anyio does, which web frameworks use
                    task.cancel()
                    await asyncio.sleep(0)
                await _cancelled(task)
                return False

            is_done = asyncio.run(main())
            assert is_done or _statuses(fake) <= {"canceled"}, f"cancelled after {count} steps"
            return is_done or (call == "run" and bool(fake.runs) and count > 40)

    assert any(map(is_done_after, range(MAX_STEPS)))
    assert was_in_queue, "it was cancelled between the enqueue and its end"


@pytest.mark.parametrize("call", ["submit", "sweep", "handle"])
def test_an_interrupt_that_comes_together_with_what_is_in_the_queue_takes_that_back(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, interrupts = concurrent.futures.Future.result, [KeyboardInterrupt()]

    def interrupted(self: concurrent.futures.Future[Any], timeout: float | None = None) -> Any:
        found = result(self, timeout)
        if interrupts and threading.current_thread() is threading.main_thread():
            raise interrupts.pop()
        return found

    with FakeInvokeAI() as fake:
        fake.hangs()
        wf.WORKFLOW.load()
        client = cast(InvokeAIClient, fake.client)
        handle = WorkflowHandle(WorkflowDefinition.from_file(SUNSET), shipped_schema(), client)
        monkeypatch.setattr(concurrent.futures.Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            if call == "submit":
                wf.submit(wf.Params(), client=client)
            elif call == "sweep":
                wf.sweep(product={"seed": [1, 2, 3]}, client=client)
            else:
                handle.submit_sync()
        assert not interrupts
        assert fake.runs
        assert _statuses(fake) == {"canceled"}


def test_a_batch_that_arrives_while_it_is_cancelled_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "LOST_ANSWER_WAITS", (0.0, 0.0, GUARD))
    status = {"before": "", "after": ""}

    async def main() -> None:
        is_canceling, is_answered = asyncio.Event(), asyncio.Event()

        async def enqueue() -> Enqueued:
            await is_canceling.wait()
            status["after"] = "pending"  # too late for the first request
            is_answered.set()
            return Enqueued(batch_id="b", item_ids=(1,))

        class Queue:
            async def cancel_batches(self, batch_ids: Iterable[str]) -> int:
                if status["after"] == "pending":
                    status["after"] = "canceled"
                    return 1
                is_canceling.set()
                await is_answered.wait()
                await asyncio.sleep(0)
                return 0

        sending = asyncio.create_task(enqueue())
        await asyncio.wait_for(take_back(cast(RunQueue, Queue()), sending, "b"), GUARD)

    asyncio.run(main())
    assert status["after"] == "canceled"


@pytest.mark.parametrize("count", range(4))
def test_a_sweep_that_is_cancelled_while_its_file_is_made_leaves_none(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, made = tmp_path / "it.sweep", threading.Event()
    create = Journal.create.__func__  # type: ignore[attr-defined]

    def noted(cls: type[Journal], *args: Any) -> Journal:
        made.set()
        return cast(Journal, create(cls, *args))

    monkeypatch.setattr(Journal, "create", classmethod(noted))
    with FakeInvokeAI() as fake:
        fake.hangs()
        wf.WORKFLOW.load()

        async def main() -> None:
            monkeypatch.setattr(asyncio, "to_thread", _at_once)
            task = asyncio.create_task(wf.asweep(product={"seed": [1]}, client=fake.async_client, file=file))
            while not made.is_set():
                await asyncio.sleep(0)
            for _ in range(count):
                await asyncio.sleep(0)
            await _cancelled(task)

        asyncio.run(main())
        assert _statuses(fake) <= {"canceled"}
        if fake.runs:  # it can be resumed
            Journal.open(file)[0].close()
        else:
            assert not [*tmp_path.iterdir()]


def test_a_sweep_file_that_is_read_when_its_reader_is_cancelled_is_unlocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, is_read = tmp_path / "it.sweep", threading.Event()
    with FakeInvokeAI() as fake:
        fake.hangs()
        wf.sweep(product={"seed": [1]}, client=cast(InvokeAIClient, fake.client), file=file).close()
        opened, found = Journal.open, []

        def noted(path: Path) -> Any:
            is_read.set()
            found.append(opened(path))
            return found[0]

        monkeypatch.setattr(Journal, "open", noted)

        async def main() -> None:
            monkeypatch.setattr(asyncio, "to_thread", _at_once)
            task = asyncio.create_task(wf.WORKFLOW.aresume_sweep(file, client=fake.async_client))
            while not is_read.is_set():
                await asyncio.sleep(0)
            await _cancelled(task)

        asyncio.run(main())
        opened(file)[0].close()
        assert found


# -- files and connections ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_late", [False, True])
def test_a_file_whose_reader_is_cancelled_is_closed_as_soon_as_it_is_open(
    is_late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    calls: list[Callable[..., Any]] = []
    files: list[BinaryIO] = []

    async def open_in_thread(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        calls.append(partial(call, *args, **kwargs))
        if not is_late:
            files.append(calls.pop()())
        await asyncio.sleep(0)
        raise AssertionError("it was cancelled before")

    async def main() -> None:
        monkeypatch.setattr(asyncio, "to_thread", open_in_thread)

        async def read() -> None:
            async with media.opened(tmp_path / "a.png", None, ""):
                raise AssertionError("it was cancelled before")

        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        await _cancelled(task)

    asyncio.run(main())
    files += [call() for call in calls]
    assert [file.closed for file in files] == [True]


def test_saving_that_is_cancelled_leaves_no_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"another content")
    is_writing, may_write = threading.Event(), threading.Event()
    write = transfers.write_bytes

    def held_up(target: Path, data: bytes) -> None:
        is_writing.set()
        may_write.wait(GUARD)
        write(target, data)

    monkeypatch.setattr(transfers, "write_bytes", held_up)

    async def main() -> None:
        task = asyncio.create_task(transfers.save_bytes(tmp_path / "a.png", b"a"))
        await asyncio.to_thread(is_writing.wait, GUARD)
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        may_write.set()
        await _ended(task)

    asyncio.run(main())  # at its end all threads have ended
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.png": b"another content"}


@pytest.mark.parametrize("ending", ["cancelled", "timed out"])
def test_a_connection_whose_handshake_is_broken_off_is_closed(ending: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(GUARD)
        url = f"https://127.0.0.1:{server.getsockname()[1]}"

        async def main() -> None:
            limit = 0.2 if ending == "timed out" else None
            async with AsyncInvokeAIClient(url, verify=False, request_timeout=limit, max_retries=0) as client:
                task = asyncio.create_task(client.version())
                connection, _ = await asyncio.to_thread(server.accept)
                with connection:
                    connection.settimeout(GUARD)
                    assert await asyncio.to_thread(connection.recv, 1 << 16), "the handshake begins"
                    if ending == "cancelled":
                        task.cancel()
                    with pytest.raises((asyncio.CancelledError, RequestTimeoutError)):
                        await task
                    del task
                    assert not await asyncio.to_thread(connection.recv, 1 << 16), "it is closed"

        asyncio.run(main())
        gc.collect()  # what nobody has closed complains now


def test_requests_that_were_cancelled_at_whatever_step_take_no_slot_from_others() -> None:
    at_once = threading.Barrier(constants.MAX_CONNECTIONS)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/at-once":
                at_once.wait(GUARD)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_args: object) -> None: ...

    async def main(transport: Transport) -> None:
        for count in range(2 * constants.MAX_CONNECTIONS):
            task = asyncio.create_task(transport.get("/", read=ignored))
            for _ in range(count):
                await asyncio.sleep(0)
                time.sleep(0.002)  # what the server does in that time is there before the next step
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(*[transport.get("/at-once", read=ignored) for _ in range(constants.MAX_CONNECTIONS)])
        await transport.close()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            background.run(main(Transport(f"http://127.0.0.1:{server.server_port}", request_timeout=GUARD)))
        finally:
            at_once.abort()
            server.shutdown()
            thread.join()


def test_closing_a_client_is_completed_although_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    closing, may_close, closed = threading.Event(), threading.Event(), threading.Event()
    client = AsyncInvokeAIClient("http://nowhere.invalid")

    async def close() -> None:
        closing.set()
        await in_thread(may_close.wait, GUARD)
        closed.set()

    monkeypatch.setattr(client._connections, "close", close)

    async def main() -> None:
        task = asyncio.create_task(client.close())
        await asyncio.to_thread(closing.wait, GUARD)
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        may_close.set()
        await _ended(task)
        assert closed.is_set()

    asyncio.run(main())


# -- what all of them use ----------------------------------------------------------------------------------------------


def test_a_coroutine_that_is_cancelled_at_once_still_tidies_up() -> None:
    tidied: list[str] = []

    async def work(given: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tidied.append(given)

    async def main() -> None:
        release = threading.Event()
        background.loop().call_soon_threadsafe(release.wait, GUARD)  # begin and cancel arrive in the same step
        task = asyncio.create_task(bridge(work("a file")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        release.set()
        await _ended(task)

    asyncio.run(main())
    assert tidied == ["a file"]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_result_that_nobody_gets_is_undone(is_late: bool) -> None:
    undone: list[str] = []
    is_there = threading.Event()

    async def make() -> str:
        try:
            if is_late:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        is_there.set()
        return "a result"

    async def undo(result: str) -> None:
        await asyncio.sleep(0)
        undone.append(result)

    async def main() -> None:
        task = asyncio.create_task(bridge(make(), undo))
        await asyncio.sleep(0)
        if not is_late:
            is_there.wait(GUARD)  # which holds up this loop
            background.run(_settle())
        await _cancelled(task)

    asyncio.run(main())
    assert undone == ["a result"]


def test_an_unbroken_step_ends_before_its_caller_does() -> None:
    steps: list[str] = []

    async def step() -> str:
        await _settle()
        steps.append("done")
        return "a result"

    async def main() -> None:
        task = asyncio.create_task(unbroken(step(), undo=lambda result: steps.append(f"undone: {result}")))
        for _ in range(3):  # a framework may cancel again and again, until its task has ended
            await asyncio.sleep(0)
            task.cancel()
        await _cancelled(task)
        assert steps == ["done", "undone: a result"]

    asyncio.run(main())


def test_many_calls_that_are_cancelled_have_all_ended_then() -> None:
    ended: list[int] = []

    async def call(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10 * number):
                await asyncio.sleep(0)
            ended.append(number)

    async def main() -> None:
        task: asyncio.Task[Any] = asyncio.create_task(cast(Any, gather_limited(call, range(4), at_once=4)))
        await _settle()
        await _cancelled(task)
        assert ended == [0, 1, 2, 3]

    asyncio.run(main())


def test_what_a_call_did_is_undone_even_if_its_caller_is_cancelled_again_before_it_ends() -> None:
    undone: list[str] = []
    is_stopping, may_end = threading.Event(), threading.Event()

    async def call() -> str:
        try:
            await asyncio.Event().wait()
            return ""
        except asyncio.CancelledError:
            is_stopping.set()
            await asyncio.to_thread(may_end.wait, GUARD)
            return "done already"

    async def undo(found: str) -> None:
        undone.append(found)

    async def main() -> None:
        task = asyncio.create_task(background.bridge(call(), undo=undo))
        await _steps(task, 10)
        task.cancel()
        assert await asyncio.to_thread(is_stopping.wait, GUARD)
        task.cancel()
        await _steps(task, 10)
        may_end.set()
        await _ended(task)

    asyncio.run(main())
    assert undone == ["done already"]
