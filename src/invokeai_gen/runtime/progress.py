"""A progress display for terminals and notebooks, loaded only with `progress=True`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from invokeai_gen.server.events import (
    InvocationComplete,
    InvocationProgress,
    InvocationStarted,
    StatusChanged,
    is_final,
)
from invokeai_gen.texts import printable

if TYPE_CHECKING:
    from rich.console import Console


class Display:
    """A context manager that shows which node is at work and how far it is. Needs `rich`; writes to stdout by default."""

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

    def wrapped(self, callbacks: dict[str, Any]) -> dict[str, Any]:
        """Return the callbacks with this display's own called before each of them."""
        ours = {
            "on_status": self.status,
            "on_invocation_started": self.started,
            "on_invocation_progress": self.progressed,
            "on_invocation_complete": self.completed,
        }
        return {**callbacks, **{name: _both(show, callbacks.get(name)) for name, show in ours.items()}}

    def status(self, event: StatusChanged) -> None:
        """Show a change of status."""
        self._ended += is_final(event.status)
        counted = f"{self._ended}/{self._items}" if self._items > 1 else ""
        is_last = self._ended >= self._items
        self._progress.update(
            self._task,
            description=printable(event.status),
            counted=counted,
            total=1 if is_last else None,
            completed=1 if is_last else 0,
        )

    def started(self, event: InvocationStarted) -> None:
        """Show the start of a node."""
        self._progress.update(self._task, description=printable(event.node_label), total=None)

    def progressed(self, event: InvocationProgress) -> None:
        """Show the progress of a node."""
        self._progress.update(
            self._task,
            description=printable(f"{event.node_label}: {event.message}"),
            total=None if event.percentage is None else 1,
            completed=event.percentage or 0,
        )

    def completed(self, event: InvocationComplete) -> None:
        """Show the end of a node."""
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

    return escape(printable(text))
