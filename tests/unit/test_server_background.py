"""The background loop: blocking and awaiting the same coroutine, and giving up on it."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator

import pytest

from invokeai_gen.server import background


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
    tidied = threading.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            tidied.set()

    async def main() -> None:
        task = asyncio.create_task(background.bridge(work()))
        await asyncio.sleep(0.05)
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


def test_leaving_a_blocking_iterator_early_closes_the_generator() -> None:
    closed = threading.Event()

    async def count() -> AsyncGenerator[int, None]:
        try:
            for number in range(100):
                yield number
        finally:
            closed.set()

    for number in background.iterate(count()):
        if number == 3:
            break
    deadline = time.monotonic() + 5
    while not closed.is_set() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert closed.is_set()
    assert list(background.iterate(count())) == list(range(100))
