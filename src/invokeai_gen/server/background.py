"""One event loop in a background thread, on which every connection of this process lives.

Calls from any thread and any event loop run here. So one client serves any number of threads and outlives an
`asyncio.run`, and a blocking call is an asynchronous one that is waited for. A forked child starts a loop of its own.

asyncio is loaded with the first call, so that importing a client costs little.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock  # `threading` takes long to load, and is needed with the first call
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar

from invokeai_gen.loading import load
from invokeai_gen.server.constants import INTERRUPT_TIMEOUT

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

P = ParamSpec("P")
T = TypeVar("T")
Undo: TypeAlias = Callable[[T], Coroutine[Any, Any, object]]
"""What takes back the result of a call that nobody waits for any more."""

_lock = allocate_lock()
_loop: asyncio.AbstractEventLoop | None = None
_inherited: list[object] = []
"""What belongs to the parent of a forked process, kept so that nothing in it is closed here."""
_tasks: set[asyncio.Task[Any]] = set()


def loop() -> asyncio.AbstractEventLoop:
    """Return the loop, started on first use."""
    import asyncio
    import threading

    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="invokeai-gen", daemon=True).start()
        return _loop


def disown(inherited: object) -> None:
    """Keep an object of the parent process alive, unused, in a forked child."""
    _inherited.append(inherited)


def _after_fork() -> None:
    """Forget the parent's loop: its thread does not exist in the child, and another thread may have held the lock."""
    global _loop, _lock
    _lock = allocate_lock()
    disown(_loop)
    _loop = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def is_here() -> bool:
    """Return whether the caller already runs on the background loop."""
    import asyncio

    try:
        return asyncio.get_running_loop() is _loop
    except RuntimeError:
        return False


class _Call(Generic[T]):
    """A coroutine on the background loop, seen from outside; `outcome` is final once the coroutine has tidied up."""

    def __init__(self, coro: Coroutine[Any, Any, T]) -> None:
        import concurrent.futures

        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._coro = coro
        self._task: asyncio.Task[T] | None = None
        self._exit: BaseException | None = None
        self._loop = loop()

    def begin(self) -> None:
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
        if self._task is None:  # interrupted before it began
            self._coro.close()
            self.outcome.cancel()
            self.outcome.set_running_or_notify_cancel()
        else:  # after its first step: a coroutine that never runs does not tidy up what it was given, such as a file
            self._loop.call_soon(self._task.cancel)

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


def run(coro: Coroutine[Any, Any, T], undo: Undo[T] | None = None) -> T:
    """Run a coroutine on the background loop, block until it is done, and return its result.

    An interrupt (Ctrl-C) cancels the coroutine and gives it `INTERRUPT_TIMEOUT` seconds to tidy up. If it comes together
    with the result, which is lost then, `undo` is run with that. Raises `RuntimeError` on the background loop itself and
    while Python shuts down, when blocking would never end.
    """
    if sys.is_finalizing():
        coro.close()
        raise RuntimeError("invokeai-gen cannot be used while Python shuts down")
    import concurrent.futures

    if is_here():
        coro.close()
        raise RuntimeError("a blocking method cannot be called from invokeai-gen's own event loop: await the async one")
    call = _Call(coro)
    try:
        call.begin()
        return call.outcome.result()
    except BaseException:
        if not call.outcome.done():
            call.cancel()
            concurrent.futures.wait([call.outcome], timeout=INTERRUPT_TIMEOUT)
        if undo is not None and call.outcome.done() and not call.outcome.cancelled() and not call.outcome.exception():
            run(undo(call.outcome.result()))
        raise


async def bridge(coro: Coroutine[Any, Any, T], undo: Undo[T] | None = None) -> T:
    """Await a coroutine that must run on the background loop, from the caller's own loop.

    Cancelling the caller cancels the coroutine, and waits until it has tidied up. If that comes together with the
    result, which is lost then, `undo` is run with it.
    """
    if is_here():
        return await coro
    try:
        other_loops = await load("invokeai_gen.server.other_loops")
    except BaseException:
        coro.close()
        raise
    found: T = await other_loops.bridged(_Call(coro), undo)
    return found


def start(coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task on the running loop that goes on even if nothing refers to it: loops only hold tasks weakly."""
    import asyncio

    task = asyncio.create_task(coro)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Await a slow function, run in a thread so that it does not hold up the event loop.

    `StopIteration` becomes a `RuntimeError`, as in a coroutine: a future cannot hold it and would never be done.
    """
    import asyncio

    def guarded() -> T:
        try:
            return call(*args, **kwargs)
        except StopIteration as error:
            raise RuntimeError(f"{getattr(call, '__name__', 'a function')} raised StopIteration") from error

    return await asyncio.to_thread(guarded)
