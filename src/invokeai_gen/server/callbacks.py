"""Functions of the user that are called while a job runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from typing_extensions import TypedDict

from invokeai_gen.server import background
from invokeai_gen.server.events import (
    InvocationComplete,
    InvocationError,
    InvocationProgress,
    InvocationStarted,
    JobEvent,
    StatusChanged,
)


class Callbacks(TypedDict, total=False):
    """Functions that are called with each event of a kind, one after another.

    Async methods call them on their own event loop, and await the result if it is awaitable; blocking ones in a thread.
    """

    on_status: Callable[[StatusChanged], object]
    on_invocation_started: Callable[[InvocationStarted], object]
    on_invocation_progress: Callable[[InvocationProgress], object]
    on_invocation_complete: Callable[[InvocationComplete], object]
    on_invocation_error: Callable[[InvocationError], object]


_CALLBACK_OF: Final[dict[type, str]] = {
    StatusChanged: "on_status",
    InvocationStarted: "on_invocation_started",
    InvocationProgress: "on_invocation_progress",
    InvocationComplete: "on_invocation_complete",
    InvocationError: "on_invocation_error",
}


async def call_back(callbacks: Callbacks, event: JobEvent) -> None:
    """Call the callback for an event, if there is one, and wait for it."""
    callback: Any = callbacks.get(_CALLBACK_OF[type(event)])
    if callback is None:
        return
    answer = await background.in_thread(callback, event) if background.is_here() else callback(event)
    if hasattr(answer, "__await__"):
        await answer
