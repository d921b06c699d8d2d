"""When queue items entered the queue, began and ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """When an item entered the queue, began and ended, by the server's clock (UTC)."""

    created: datetime | None
    started: datetime | None
    completed: datetime | None

    @property
    def execution_seconds(self) -> float | None:
        """Seconds from start to end; `None` for an item that has not ended, or was canceled before it began."""
        if self.started is None or self.completed is None:
            return None
        return (self.completed - self.started).total_seconds()


def spanning(several: Sequence[Timings]) -> Timings:
    """Return the first creation, the first start and the last end; the end is `None` until all have ended."""
    completed = [each.completed for each in several if each.completed]
    return Timings(
        created=min((each.created for each in several if each.created), default=None),
        started=min((each.started for each in several if each.started), default=None),
        completed=max(completed, default=None) if len(completed) == len(several) else None,
    )
