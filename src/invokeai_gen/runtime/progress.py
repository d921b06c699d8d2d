"""A progress display for people, in terminals and notebooks; loaded only where one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from invokeai_gen.server.events import (
    InvocationComplete,
    InvocationProgress,
    InvocationStarted,
    StatusChanged,
    is_final,
)

if TYPE_CHECKING:
    from rich.console import Console


class Display:
    """Shows which node works on what, and how far it is. A context manager; needs `rich`. It writes to stdout unless
    told otherwise."""

    def __init__(self, title: str, items: int = 1, *, console: Console | None = None) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("[bold]{task.fields[title]}", markup=True),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[counted]}"),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            transient=False,
            console=console,
        )
        self._items = items
        self._ended = 0
        self._nodes = 0
        self._task = self._progress.add_task("waiting in the queue", total=None, title=escaped(title), counted="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def wrapped(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of `wait` with this display's own callbacks before those that are already there."""
        ours = {
            "on_status": self.status,
            "on_invocation_started": self.started,
            "on_invocation_progress": self.progressed,
            "on_invocation_complete": self.completed,
        }
        return {**options, **{name: _both(show, options.get(name)) for name, show in ours.items()}}

    def status(self, event: StatusChanged) -> None:
        """Takes a change of status."""
        self._ended += is_final(event.status)
        counted = f"{self._ended}/{self._items}" if self._items > 1 else ""
        is_last = self._ended >= self._items
        self._progress.update(
            self._task,
            description=_visible(event.status),
            counted=counted,
            total=1 if is_last else None,
            completed=1 if is_last else 0,
        )

    def started(self, event: InvocationStarted) -> None:
        """Takes the start of a node."""
        self._progress.update(self._task, description=_visible(event.node_label), total=None)

    def progressed(self, event: InvocationProgress) -> None:
        """Takes the progress of a node."""
        self._progress.update(
            self._task,
            description=_visible(f"{event.node_label}: {event.message}"),
            total=None if event.percentage is None else 1,
            completed=event.percentage or 0,
        )

    def completed(self, event: InvocationComplete) -> None:
        """Takes the end of a node."""
        self._nodes += 1
        if self._items == 1:
            self._progress.update(self._task, counted=f"{self._nodes} nodes")


def _both(first: Any, second: Any) -> Any:
    def call(event: Any) -> Any:
        first(event)
        return second(event) if second is not None else None

    return call


def escaped(text: str) -> str:
    """Return text from a workflow so that rich does not read it as markup."""
    from rich.markup import escape

    return escape(_visible(text))


def _visible(text: str) -> str:
    """Write out characters that are not printable, so that text from elsewhere cannot control the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
