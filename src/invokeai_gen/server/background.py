"""One event loop in a background thread, on which every connection of this process lives.

Whoever asks, from whichever thread or event loop, the request itself runs here. So one client serves any number of
threads and outlives an `asyncio.run`, and a blocking call is nothing but an asynchronous one that is waited for.

asyncio is loaded with the first call, so that importing a client costs little.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")

INTERRUPT_TIMEOUT: Final = 10.0
"""Seconds that an interrupted call has to tidy up (cancel its queue item) before the interrupt goes on."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner = 0


def loop() -> asyncio.AbstractEventLoop:
    """The loop, started on first use; a forked child starts its own."""
    import asyncio

    global _loop, _owner
    with _lock:
        if _loop is None or _owner != os.getpid():
            _loop, _owner = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="invokeai-gen", daemon=True).start()
        return _loop


def is_here() -> bool:
    """Whether the caller already runs on the background loop."""
    import asyncio

    try:
        return asyncio.get_running_loop() is _loop
    except RuntimeError:
        return False


class _Call(Generic[T]):
    """A coroutine that runs on the background loop, seen from outside; `outcome` is final once it has tidied up."""

    def __init__(self, coro: Coroutine[Any, Any, T]) -> None:
        import concurrent.futures

        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._coro = coro
        self._task: asyncio.Task[T] | None = None
        self._exit: BaseException | None = None
        self._loop = loop()
        self._loop.call_soon_threadsafe(self._start)

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._guarded())
        self._task.add_done_callback(self._finish)

    async def _guarded(self) -> T:
        import asyncio

        try:
            return await self._coro
        except (KeyboardInterrupt, SystemExit) as error:  # of a callback: it would end the background loop
            self._exit = error
            raise asyncio.CancelledError from error

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[T]) -> None:
        if self._exit is not None:
            self.outcome.set_exception(self._exit)
        elif task.cancelled():
            self.outcome.cancel()
            self.outcome.set_running_or_notify_cancel()
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


def run(coro: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on the background loop and blocks until it is done.

    An interrupt (Ctrl-C) cancels the coroutine and gives it `INTERRUPT_TIMEOUT` seconds to tidy up. Raises
    `RuntimeError` on the background loop itself, where blocking would never end.
    """
    import concurrent.futures

    if is_here():
        coro.close()
        raise RuntimeError("a blocking method cannot be called from invokeai-gen's own event loop: await the async one")
    call = _Call(coro)
    try:
        return call.outcome.result()
    except BaseException:
        if not call.outcome.done():
            call.cancel()
            concurrent.futures.wait([call.outcome], timeout=INTERRUPT_TIMEOUT)
        raise


async def bridge(coro: Coroutine[Any, Any, T]) -> T:
    """Awaits a coroutine that must run on the background loop, from whichever loop the caller is on.

    Cancelling the caller cancels the coroutine, and waits until it has tidied up.
    """
    import asyncio

    if is_here():
        return await coro
    call = _Call(coro)
    outcome = asyncio.wrap_future(call.outcome)
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        if not outcome.done():
            call.cancel()
            await asyncio.wait([outcome], timeout=INTERRUPT_TIMEOUT)
        if outcome.done() and not outcome.cancelled():
            outcome.exception()
        raise


def blocking(method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[S, P], T]:
    """The blocking twin of an async method of the same class, with the same parameters and documentation."""

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(method(self, *args, **kwargs))

    return call


def facade(method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Any, P], T]:
    """The blocking twin, in a class that keeps its asynchronous counterpart as `_core`, of a method of that one."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(method(self._core, *args, **kwargs))

    return call


async def in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Awaits a function that takes its time, and would hold up the event loop if it were just called."""
    import asyncio

    return await asyncio.to_thread(call, *args, **kwargs)


async def _next(generator: AsyncGenerator[T, None]) -> tuple[T, ...]:
    async for item in generator:
        return (item,)
    return ()


def iterate(generator: AsyncGenerator[T, None]) -> Iterator[T]:
    """An async generator as a blocking iterator; leaving the loop early closes it."""
    try:
        while item := run(_next(generator)):
            yield item[0]
    finally:
        run(generator.aclose())
