"""What a server keeps besides its queue, as it reports it: boards, images, videos, models, accounts, workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from invokeai_gen.server.records import ServerRecord


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
