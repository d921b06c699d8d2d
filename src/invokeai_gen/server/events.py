"""What a server tells while it works: one small class for each kind of event about a queue item."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

UNFINISHED_STATUSES: Final = frozenset({"pending", "in_progress", "waiting"})

NODE_EVENTS: Final = frozenset({"invocation_started", "invocation_progress", "invocation_complete", "invocation_error"})
STATUS_EVENT: Final = "queue_item_status_changed"
QUEUE_EVENTS: Final = frozenset({"queue_items_canceled", "queue_cleared"})
"""Events that may concern an item without saying how: a reason to ask."""


def is_final(status: str) -> bool:
    """Whether an item of that status will not change any more; so is taken a status that is not known here."""
    return status not in UNFINISHED_STATUSES


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of what a node is working on, much smaller than the result."""

    width: int
    """Size at which it is meant to be shown, in pixels."""
    height: int
    data_url: str

    def bytes(self) -> bytes:
        """The image file itself, a JPEG or PNG."""
        return base64.b64decode(self.data_url.partition(",")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged:
    """A queue item has a new status."""

    item_id: int
    batch_id: str
    status: str
    """`pending`, `in_progress`, `waiting`, `completed`, `failed`, `canceled`; newer servers may know others."""
    started_at: str | None = None
    completed_at: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The event as the server sent it; empty where the status was found out by asking."""

    @property
    def is_final(self) -> bool:
        """Whether nothing will follow: completed, failed, canceled, or a status that is not known here."""
        return is_final(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeEvent:
    item_id: int
    batch_id: str
    node_id: str
    """Id of the node in the workflow."""
    prepared_id: str
    """Id of this one execution of it; a node behind an `iterate` has several."""
    node_type: str
    node_label: str
    """What the GUI shows as the node's title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationStarted(_NodeEvent):
    """A node begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationProgress(_NodeEvent):
    """A node tells how far it is."""

    message: str
    percentage: float | None
    """From 0 to 1, or `None` where the node cannot tell."""
    preview: Preview | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationComplete(_NodeEvent):
    """A node has its result."""

    result: Mapping[str, Any]
    """The result as JSON, its `type` included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationError(_NodeEvent):
    """A node failed, and its queue item with it."""

    error_type: str
    error_message: str
    server_traceback: str


JobEvent: TypeAlias = StatusChanged | InvocationStarted | InvocationProgress | InvocationComplete | InvocationError


def parse_event(name: str, data: Mapping[str, Any], labels: Mapping[str, str]) -> JobEvent | None:
    """The event of that name, or `None` for one that is of no interest here.

    `labels` maps a node id to what the GUI shows; a node without one is called by its type.
    """
    if name == STATUS_EVENT:
        return replace(status_of(data), raw=data)
    if name not in NODE_EVENTS:
        return None
    invocation = data["invocation"]
    node_id = data["invocation_source_id"]
    node = {
        "item_id": data["item_id"],
        "batch_id": data["batch_id"],
        "node_id": node_id,
        "prepared_id": invocation.get("id", ""),
        "node_type": invocation.get("type", ""),
        "node_label": labels.get(node_id) or invocation.get("type", ""),
    }
    if name == "invocation_started":
        return InvocationStarted(**node)
    if name == "invocation_complete":
        return InvocationComplete(**node, result=data["result"])
    if name == "invocation_error":
        return InvocationError(
            **node,
            error_type=data.get("error_type") or "",
            error_message=data.get("error_message") or "",
            server_traceback=data.get("error_traceback") or "",
        )
    image = data.get("image")
    return InvocationProgress(
        **node,
        message=data.get("message") or "",
        percentage=data.get("percentage"),
        preview=Preview(image["width"], image["height"], image["dataURL"]) if image else None,
    )


def status_of(data: Mapping[str, Any]) -> StatusChanged:
    """The status in an event or in a queue item: both have the same keys."""
    return StatusChanged(
        item_id=data["item_id"],
        batch_id=data["batch_id"],
        status=data["status"],
        started_at=data.get("started_at"),
        completed_at=data.get("completed_at"),
        error_type=data.get("error_type"),
        error_message=data.get("error_message"),
    )
