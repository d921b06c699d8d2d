"""What a server reports, as small frozen classes: their base, and those of the queue.

Keys that a server adds are ignored, and optional ones may be missing.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self

from invokeai_gen.server.answers import ShapeError, fits, mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """Base of all records. The fields are named as in the server's JSON; `…_at` are times (UTC)."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The server's JSON as it came, with times as text."""

    @classmethod
    def of(cls, data: Any) -> Self:
        """Return the record in a server's answer. Raises `ShapeError` for a missing or unfitting value."""
        values = {}
        answer = mapping(data)
        kind: Any = cls
        for name, hint, is_required in _fields(kind):
            value = parse_time(answer.get(name)) if name.endswith("_at") else answer.get(name)
            if name in answer and fits(value, hint):
                values[name] = value
            elif is_required:
                raise ShapeError(f"{name!r} is {value!r:.60}" if name in answer else f"{name!r} is missing")
            elif value is not None:  # null stands for the default
                raise ShapeError(f"{name!r} is {value!r:.60}")
        return cls(raw=answer, **values)


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    """Name, type and whether it is required, for each field of a record but `raw`."""
    hints = typing.get_type_hints(kind)
    return tuple(
        (item.name, hints[item.name], item.default is dataclasses.MISSING is item.default_factory)
        for item in fields(kind)
        if item.name != "raw"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """When an item entered the queue, began and ended, by the server's clock (UTC)."""

    created: datetime | None
    started: datetime | None
    completed: datetime | None

    @classmethod
    def spanning(cls, several: Sequence[Timings]) -> Self:
        """Return the first creation, the first start and the last end; the end is `None` until all have ended."""
        completed = [each.completed for each in several if each.completed]
        return cls(
            created=min((each.created for each in several if each.created), default=None),
            started=min((each.started for each in several if each.started), default=None),
            completed=max(completed, default=None) if len(completed) == len(several) else None,
        )

    @property
    def execution_seconds(self) -> float | None:
        """Seconds from start to end; `None` for an item that has not ended, or was canceled before it began."""
        if self.started is None or self.completed is None:
            return None
        return (self.completed - self.started).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueItem(ServerRecord):
    """One entry of the queue: a graph with its state of execution."""

    item_id: int
    status: str
    batch_id: str
    session_id: str = ""
    priority: int = 0
    origin: str | None = None
    destination: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    field_values: list[dict[str, Any]] | None = None
    """The values of a batch that this item got: `{node_path, field_name, value}`."""
    session: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Graph, execution graph, results and errors, as the server's JSON has them."""

    @property
    def is_redacted(self) -> bool:
        """Whether it belongs to another account, so that the server only shows that it exists."""
        return self.batch_id == "redacted"

    @property
    def timings(self) -> Timings:
        """When it was created, started and completed."""
        return Timings(created=self.created_at, started=self.started_at, completed=self.completed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts(ServerRecord):
    """Number of items by status, in the whole queue or in one batch."""

    pending: int = 0
    in_progress: int = 0
    waiting: int = 0
    completed: int = 0
    failed: int = 0
    canceled: int = 0
    total: int = 0

    @property
    def unfinished(self) -> int:
        """Items that run or wait to run."""
        return self.pending + self.in_progress + self.waiting

    @property
    def finished(self) -> int:
        """Items that have ended, one way or another."""
        return self.completed + self.failed + self.canceled


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """A batch that was put into the queue."""

    batch_id: str
    item_ids: tuple[int, ...]
    """In the order in which they will run."""


def parse_time(text: object) -> datetime | None:
    """Return the server's `2026-11-20 20:53:48.396` as a datetime with time zone; `None` for any other text.

    The server's times are UTC without saying so.
    """
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
