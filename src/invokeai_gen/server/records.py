"""Things a server keeps, as small frozen classes. Keys that a server adds or lacks do no harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Self

from invokeai_gen.server.errors import CleanupError


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Base of all records. The fields are those of the server's JSON; those called `…_at` are times (UTC)."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The server's JSON as it came, with times as text."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Return the record in a server's answer."""
        known = {item.name for item in fields(cls)} - {"raw"}
        return cls(
            raw=data,
            **{key: parse_time(value) if key.endswith("_at") else value for key, value in data.items() if key in known},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Board(Record):
    """A board of the gallery."""

    board_id: str
    board_name: str
    image_count: int = 0
    asset_count: int = 0
    archived: bool = False
    cover_image_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(Record):
    """An image on the server, without its pixels."""

    image_name: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    image_category: str = ""
    """`general` for a result, `user` for an upload, or `mask`, `control`, `other`."""
    is_intermediate: bool = False
    starred: bool = False
    has_workflow: bool = False
    session_id: str | None = None
    """The session that made it. An upload has `None`, or an id that no session has."""
    node_id: str | None = None
    board_id: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Video(Record):
    """A video on the server, without its frames."""

    video_name: str
    width: int
    height: int
    duration: float = 0.0
    """Seconds."""
    fps: float | None = None
    is_intermediate: bool = False
    starred: bool = False
    session_id: str | None = None
    board_id: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Record):
    """An installed model."""

    key: str
    """Unique on this server only."""
    hash: str
    """Of the model's files: the same on every server."""
    name: str
    base: str
    """`sd-1`, `sdxl`, `flux` …"""
    type: str
    """`main`, `vae`, `lora` …"""
    variant: str | None = None
    format: str | None = None
    description: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.base} {self.type})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedWorkflow(Record):
    """A workflow in the server's library. `workflow` is the workflow itself, which lists leave out."""

    workflow_id: str
    name: str
    description: str = ""
    category: str = ""
    tags: str = ""
    thumbnail_url: str | None = None
    workflow: Mapping[str, Any] | None = field(default=None, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """When an item entered the queue, began and ended, by the server's clock (UTC)."""

    created: datetime | None
    started: datetime | None
    completed: datetime | None

    @property
    def execution_seconds(self) -> float | None:
        """From start to end, `None` for an item that has not ended (or was canceled before it began)."""
        if self.started is None or self.completed is None:
            return None
        return (self.completed - self.started).total_seconds()


def spanning(several: Sequence[Timings]) -> Timings:
    """From the first creation and start to the last end, which there is only when all have ended."""
    completed = [each.completed for each in several if each.completed]
    return Timings(
        created=min((each.created for each in several if each.created), default=None),
        started=min((each.started for each in several if each.started), default=None),
        completed=max(completed, default=None) if len(completed) == len(several) else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueItem(Record):
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
    """Which values of a batch this item got: `{node_path, field_name, value}`."""
    session: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Graph, execution graph, results and errors, as the server's JSON has them."""

    @property
    def is_redacted(self) -> bool:
        """Whether it belongs to another account, so that the server tells only that it exists."""
        return self.batch_id == "redacted"

    @property
    def timings(self) -> Timings:
        """When it was created, started and completed."""
        return Timings(created=self.created_at, started=self.started_at, completed=self.completed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts(Record):
    """How many items have which status, in the whole queue or in one batch."""

    pending: int = 0
    in_progress: int = 0
    waiting: int = 0
    completed: int = 0
    failed: int = 0
    canceled: int = 0
    total: int = 0

    @property
    def finished(self) -> int:
        """Items that have ended, in whichever way."""
        return self.completed + self.failed + self.canceled


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """What an enqueue gave."""

    batch_id: str
    item_ids: tuple[int, ...]
    """In the order in which they will run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What came of a request to delete things: names or ids, and a reason for each that is still there."""

    deleted: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """It was tried, and did not work."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """It was not tried on purpose, such as an image that another run made."""

    def raise_for_failures(self) -> Self:
        """Raises `CleanupError`, which lists what is left, where something could not be deleted; else returns this."""
        if self.failed:
            raise CleanupError(self.deleted, self.failed)
        return self

    def __add__(self, other: Removal) -> Removal:
        return Removal(
            deleted=self.deleted + other.deleted,
            failed={**self.failed, **other.failed},
            kept={**self.kept, **other.kept},
        )


def parse_time(text: object) -> datetime | None:
    """Return the server's `2026-11-20 20:53:48.396` as a datetime with time zone; `None` if it is no time.

    The server's times are UTC without saying so.
    """
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
