"""The background loop: blocking and awaiting the same coroutine, and giving up on it."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator

import pytest

from invokeai_gen.server import background, facades


async def _where() -> str:
    return threading.current_thread().name


def test_a_blocking_call_runs_on_the_loop_of_its_own_thread() -> None:
    assert background.run(_where()) == "invokeai-gen"


def test_a_bridged_call_runs_there_too_whichever_loop_awaits_it() -> None:
    assert [asyncio.run(background.bridge(_where())) for _ in range(2)] == ["invokeai-gen"] * 2


def test_the_error_of_a_coroutine_is_that_of_the_call() -> None:
    async def fail() -> None:
        raise ValueError("told")

    with pytest.raises(ValueError, match="told"):
        background.run(fail())
    with pytest.raises(ValueError, match="told"):
        asyncio.run(background.bridge(fail()))


def test_cancelling_the_awaiting_task_waits_until_the_work_has_tidied_up() -> None:
    working, tidied = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            working.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(100):
                await asyncio.sleep(0)
            tidied.set()

    async def main() -> None:
        task = asyncio.create_task(background.bridge(work()))
        await asyncio.to_thread(working.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tidied.is_set()

    asyncio.run(main())


def test_blocking_on_the_loop_itself_is_refused_instead_of_hanging() -> None:
    async def inner() -> None:
        background.run(_where())

    with pytest.raises(RuntimeError, match="await the async one"):
        background.run(inner())


_FORK = """
import os, signal, sys
import httpx
from invokeai_gen import InvokeAIClient
from invokeai_gen.server import background, facades

opened = []

def answer(request):
    opened.append(os.getpid())
    return httpx.Response(200, json={"version": "6.14.2"})

async def loop_thread():
    import threading
    return threading.get_native_id()

client = InvokeAIClient("http://server", http_backend=httpx.MockTransport(answer))
client.version()
thread = background.run(loop_thread())
child = os.fork()
if child == 0:
    signal.alarm(60)  # a call on the loop of the parent never ends
    assert not client._core._transport.is_open, "connections of the parent are used in the child"
    assert background.run(loop_thread()) != thread
    assert client.version() == "6.14.2"
    assert opened[-1] == os.getpid()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0, "the child failed"
assert background.run(loop_thread()) == thread, "the parent goes on as before"
assert client._core._transport.is_open
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_a_loop_and_connections_of_its_own_and_the_parent_keeps_its() -> None:
    script = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


_FORK_AT_WORK = """
import asyncio, os, signal
import httpx
from invokeai_gen import InvokeAIClient
from invokeai_gen.server import background, constants
from invokeai_gen.server.uploads import Uploads, upload_once

parent = os.getpid()
asked = 0

async def answer(request):
    global asked
    asked += 1
    if os.getpid() == parent:
        await asyncio.Event().wait()
    return httpx.Response(200, json={"version": "6.14.2"})

async def send():
    if os.getpid() == parent:
        await asyncio.Event().wait()
    return "child.png"

client = InvokeAIClient("http://server", http_backend=httpx.MockTransport(answer))
core = client._core

async def upload():
    return await upload_once(core, Uploads(), "image", "digest", send, "once")

async def occupy():
    tasks = [asyncio.create_task(core.version()) for _ in range(constants.MAX_CONNECTIONS)]
    tasks.append(asyncio.create_task(upload()))
    while asked < constants.MAX_CONNECTIONS:
        await asyncio.sleep(0)
    return tasks

kept = background.run(occupy())
child = os.fork()
if child == 0:
    signal.alarm(60)  # what waits for a request of the parent never ends
    assert client.version() == "6.14.2"
    assert background.run(upload()) == "child.png"
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0, "the child failed"
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_waits_for_no_request_and_no_upload_that_the_parent_has_under_way() -> None:
    script = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK_AT_WORK]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_leaving_a_blocking_iterator_early_closes_the_generator() -> None:
    closed = threading.Event()

    async def count() -> AsyncGenerator[int, None]:
        try:
            for number in range(100):
                yield number
        finally:
            closed.set()

    for number in facades.iterate(count()):
        if number == 3:
            break
    assert closed.wait(30)
    assert list(facades.iterate(count())) == list(range(100))
