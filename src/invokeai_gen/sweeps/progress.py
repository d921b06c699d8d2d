"""A progress bar for a sweep, in terminals and notebooks; loaded only when one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

from invokeai_gen.runtime.progress import escaped

if TYPE_CHECKING:
    from invokeai_gen.sweeps.results import SweepCounts


class SweepDisplay:
    """A progress bar on stderr for a sweep, as a context manager; needs `rich`. `counts` is called whenever it is drawn."""

    def __init__(self, title: str, counts: Callable[[], SweepCounts]) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        class Live(Progress):
            def get_renderables(self) -> Iterable[Any]:
                for task in self.task_ids:
                    now = counts()
                    self.update(task, completed=now.finished, total=now.total, description=_state_of(now))
                yield from super().get_renderables()

        self._progress = Live(
            TextColumn("[bold]{task.fields[title]}", markup=True),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
        )
        self._progress.add_task("", total=None, title=escaped(title))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()


def _state_of(counts: SweepCounts) -> str:
    """Return what else there is to know besides how many items have ended."""
    said = {"failed": counts.failed, "canceled": counts.canceled, "waiting for room in the queue": counts.unsent}
    return ", ".join(f"{count} {what}" for what, count in said.items() if count)
