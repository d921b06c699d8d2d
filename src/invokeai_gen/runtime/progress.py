"""A progress display on stderr, for terminals and notebooks; loaded only if progress is shown."""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

from invokeai_gen.core.terminal import is_notebook
from invokeai_gen.server.events import Callbacks, InvocationComplete, InvocationProgress, JobEvent, StatusChanged
from invokeai_gen.server.status_watch import is_final
from invokeai_gen.texts import printable

if TYPE_CHECKING:
    from rich.progress import Progress

_SHOWN: Final = ("on_status", "on_invocation_started", "on_invocation_progress", "on_invocation_complete")
_TURN: Final = threading.Lock()
"""Held by the display that is on the screen: of several runs at a time only one is shown."""


def screen(title: str) -> Screen:
    """Return a bar, or a line of text if a notebook has no ipywidgets."""
    is_plain = is_notebook() and find_spec("ipywidgets") is None
    return _Line(title) if is_plain else _Bar(title)


class _Bar:
    """A progress bar. Needs `rich`."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress: Progress = Progress(
            TextColumn("[bold]{task.fields[title]}", markup=True),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[counted]}"),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            transient=False,
            console=Console(stderr=True),
            redirect_stdout=sys.stdout.isatty(),  # what the program writes to a file or pipe must get there
        )
        self._task = self._progress.add_task("waiting in the queue", total=None, title=escaped(title), counted="")

    def start(self) -> None:
        """Show the bar."""
        self._progress.start()

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()

    def update(self, text: str, counted: str, share: float | None) -> None:
        """Show the current step, how many are done, and the progress from 0 to 1; `None` if it is unknown."""
        total = None if share is None else 1
        self._progress.update(self._task, description=text, counted=counted, total=total, completed=share or 0)


class _Line:
    """A line of text that is written again and again."""

    def __init__(self, title: str) -> None:
        self._title = printable(title)
        self._length = 0

    def start(self) -> None:
        """Write the first text."""
        self.update("waiting in the queue", "", None)

    def stop(self) -> None:
        """End the line."""
        sys.stderr.write("\n")
        sys.stderr.flush()

    def update(self, text: str, counted: str, share: float | None) -> None:
        """Show the current step, how many are done, and the progress from 0 to 1; `None` if it is unknown."""
        percent = "" if share is None else f"{share:.0%}"
        line = "  ".join(filter(None, (self._title, percent, counted, text)))
        sys.stderr.write(f"\r{line.ljust(self._length)}")
        sys.stderr.flush()
        self._length = len(line)


Screen: TypeAlias = _Bar | _Line


class Display:
    """A context manager that shows the node that runs and its progress, unless another display is on the screen."""

    def __init__(self, screen: Screen, items: int = 1) -> None:
        self._screen = screen
        self._items = items
        self._ended = 0
        self._nodes = 0
        self._has_turn = False

    def __enter__(self) -> Self:
        self._has_turn = _TURN.acquire(blocking=False)
        if self._has_turn:
            self._screen.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._has_turn:
            self._has_turn = False
            self._screen.stop()
            _TURN.release()

    def _show(self, text: str, share: float | None = None) -> None:
        if self._has_turn:
            counted = (
                f"{self._ended}/{self._items}" if self._items > 1 else f"{self._nodes} nodes" if self._nodes else ""
            )
            self._screen.update(printable(text), counted, share)

    def wrapped(self, callbacks: Callbacks) -> Callbacks:
        """Return callbacks that show an event here before they call those given."""
        shown = {name: self._before(callbacks.get(name)) for name in _SHOWN}
        return cast("Callbacks", {**callbacks, **shown})

    def _before(self, callback: Any) -> Any:
        def call(event: JobEvent) -> Any:
            self.show(event)
            return callback(event) if callback is not None else None

        return call

    def show(self, event: JobEvent) -> None:
        """Show a change of status, or the start, progress or end of a node."""
        if isinstance(event, StatusChanged):
            self._ended += is_final(event.status)
            self._show(event.status, 1 if self._ended >= self._items else None)
        elif isinstance(event, InvocationProgress):
            self._show(f"{event.node_label}: {event.message}", event.percentage)
        else:
            self._nodes += isinstance(event, InvocationComplete)
            self._show(event.node_label)


def escaped(text: str) -> str:
    """Return text from a workflow so that rich does not read it as markup."""
    from rich.markup import escape

    return escape(printable(text))
