"""Things a server keeps, as small frozen classes. Keys that a server adds are ignored, and optional ones may be missing."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self

from invokeai_gen.server.answers import ShapeError, fits, mapping
from invokeai_gen.server.errors import CleanupError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """Base of all records. The fields are those of the server's JSON; those called `…_at` are times (UTC)."""

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
class Board(ServerRecord):
    """A board of the gallery."""

    board_id: str
    board_name: str
    image_count: int = 0
    """Results on the board, without intermediate ones."""
    asset_count: int = 0
    """Uploads on the board."""
    video_count: int = 0
    archived: bool = False
    cover_image_name: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(ServerRecord):
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
    """The session that made it. An upload has `None`, or an id that belongs to no session."""
    node_id: str | None = None
    board_id: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Video(ServerRecord):
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
class Model(ServerRecord):
    """An installed model."""

    key: str
    """Unique on this server only."""
    hash: str
    """Hash of the model's files: the same on every server."""
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
class FoundModel(ServerRecord):
    """A model file or folder on the server's disk, which may not be installed yet."""

    path: str
    is_installed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallJob(ServerRecord):
    """An install of a model: waiting, under way or ended."""

    id: int
    status: str = "waiting"
    """`waiting`, `downloading`, `downloads_done`, `running`, `paused`, `completed`, `error` or `cancelled`."""
    bytes: int = 0
    """Downloaded so far."""
    total_bytes: int = 0
    """To download in all; 0 while that is not known, and for a local file."""
    error: str | None = None
    error_reason: str | None = None
    config_out: Mapping[str, Any] | None = field(default=None, repr=False)
    """The installed model, as the server's JSON describes it, once it is completed."""

    @property
    def is_final(self) -> bool:
        """Whether the install has ended, one way or another."""
        return self.status in ("completed", "error", "cancelled")

    @property
    def model(self) -> Model | None:
        """The installed model, once the install is completed."""
        return None if self.config_out is None or self.status != "completed" else Model.of(self.config_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(ServerRecord):
    """An account of a server that has accounts."""

    user_id: str
    email: str
    display_name: str | None = None
    is_admin: bool = False
    is_active: bool = True
    created_at: datetime | None = None
    last_login_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus(ServerRecord):
    """The server's cache of node results."""

    size: int
    """Results in the cache."""
    max_size: int
    hits: int
    misses: int
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorStatus(ServerRecord):
    """What the part of the server that works through the queue does."""

    is_started: bool
    """Whether it takes new items, or is paused."""
    is_processing: bool
    """Whether an item runs now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedWorkflow(ServerRecord):
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
    opened_at: datetime | None = None
    is_public: bool = False
    """Whether other accounts of the server see it."""


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
    def finished(self) -> int:
        """Items that have ended, one way or another."""
        return self.completed + self.failed + self.canceled


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """A batch that was put into the queue."""

    batch_id: str
    item_ids: tuple[int, ...]
    """In the order in which they will run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """The outcome of deleting things: names or ids, and a reason for each that is still there."""

    deleted: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """Could not be deleted, with the reason."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """Left alone on purpose, with the reason, such as an image that another run made."""

    def raise_for_failures(self) -> Self:
        """Raise `CleanupError`, which lists what is left, if something could not be deleted; otherwise return this."""
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
