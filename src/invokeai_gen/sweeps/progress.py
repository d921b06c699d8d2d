"""How far a sweep is, in terminals and notebooks; loaded only if progress is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from invokeai_gen.runtime.progress import Display, screen

if TYPE_CHECKING:
    from invokeai_gen.sweeps.results import SweepCounts

_INTERVAL: Final = 0.2
"""Seconds between updates."""


class SweepDisplay(Display):
    """A context manager that shows how many items have ended, according to `counts`, and how long the rest will take."""

    def __init__(self, title: str, counts: Callable[[], SweepCounts]) -> None:
        super().__init__(screen(title))
        self._counts = counts
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        super().__enter__()
        if self._has_turn:
            self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        if self._has_turn:
            self._thread.join()
        super().__exit__(*exc_info)

    def _follow(self) -> None:
        started, before = time.monotonic(), self._counts().finished
        is_over = False
        while not is_over:
            is_over = self._is_over.wait(_INTERVAL)
            now = self._counts()
            text = text_of(now, now.finished - before, time.monotonic() - started)
            self._screen.update(text, f"{now.finished}/{now.total}", now.finished / now.total)


def text_of(counts: SweepCounts, done: int, seconds: float) -> str:
    """Return rate and time left, if `done` items took so many seconds, and how many items failed or wait."""
    left = counts.total - counts.finished
    states = {"failed": counts.failed, "canceled": counts.canceled, "waiting for room in the queue": counts.unsent}
    facts = [f"{count} {state}" for state, count in states.items() if count]
    if done and left:
        facts.insert(0, f"{60 * done / seconds:.1f} a minute, {timedelta(seconds=round(left * seconds / done))} left")
    return ", ".join(facts)
