"""What a server reports while it works: one small class for each kind of event about a queue item, and callbacks for them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, ClassVar, Final, TypeAlias

from typing_extensions import TypedDict

from invokeai_gen.server import background
from invokeai_gen.server.answers import at, expect, integer, mapping, optional, text
from invokeai_gen.server.records import QueueItem, parse_time
from invokeai_gen.server.status_watch import NODE_EVENTS, STATUS_EVENT, is_final
from invokeai_gen.texts import printable


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of what a node is working on, much smaller than the result."""

    width: int
    """Size at which it is meant to be shown, in pixels."""
    height: int
    data_url: str = field(repr=False)

    def bytes(self) -> bytes:
        """Return the image file itself, a JPEG or PNG."""
        return base64.b64decode(self.data_url.partition(",")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Mapping[str, Any]):
    """Something that happened to a queue item.

    An event is read by its attributes, or as a mapping: `event["status"]`, `event.get("result")`. The mapping has
    every attribute by its name, and the keys of the server's own event (`raw`) that are not among them.
    """

    item_id: int
    batch_id: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The event as the server sent it; empty if the status was found by asking instead."""

    _other_names: ClassVar[Mapping[str, str]] = {}
    """Further keys of the mapping, with the attribute that each stands for."""

    def __getitem__(self, key: str) -> Any:
        if key in self._attributes():
            return getattr(self, self._other_names.get(key, key))
        return self.raw[key]

    def __iter__(self) -> Iterator[str]:
        yield from (attributes := self._attributes())
        yield from (key for key in self.raw if key not in attributes)

    def __len__(self) -> int:
        return len({*self._attributes(), *self.raw})

    def __str__(self) -> str:
        """Return the event in a few words, such as `queue item 7: 'Denoise' 50 %`."""
        return printable(f"queue item {self.item_id}: {self._short_text()}")

    def _short_text(self) -> str:
        return type(self).__name__

    def _attributes(self) -> dict[str, None]:
        """Return the keys that have an attribute, in order."""
        own = (item.name for item in fields(self) if item.name != "raw")
        return dict.fromkeys((*own, *self._other_names))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged(Event):
    """A queue item has a new status."""

    status: str
    """`pending`, `in_progress`, `waiting`, `completed`, `failed`, `canceled`; newer servers may know others."""
    started_at: datetime | None = None
    """With time zone, as all times here; `raw` has the server's text."""
    completed_at: datetime | None = None
    error_type: str | None = None
    error_message: str | None = None

    _other_names: ClassVar[Mapping[str, str]] = {"error": "error_message"}

    @property
    def is_final(self) -> bool:
        """Whether nothing will follow: completed, failed, canceled, or an unknown status."""
        return is_final(self.status)

    def _short_text(self) -> str:
        return f"{self.status} ({self.error_type}: {self.error_message})" if self.error_type else self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent(Event):
    """Something that happened to a node of the workflow."""

    node_id: str
    """Id of the node in the workflow."""
    prepared_id: str
    """Id of this one execution of it; a node behind an `iterate` has several."""
    node_type: str
    node_label: str
    """What the GUI shows as the node's title."""

    _other_names: ClassVar[Mapping[str, str]] = {"invocation_type": "node_type"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationStarted(NodeEvent):
    """A node begins."""

    def _short_text(self) -> str:
        return f"{self.node_label!r} started"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationProgress(NodeEvent):
    """A node reports its progress."""

    message: str
    percentage: float | None
    """From 0 to 1, or `None` if the node does not know."""
    preview: Preview | None

    _other_names: ClassVar[Mapping[str, str]] = {**NodeEvent._other_names, "progress": "progress"}

    @property
    def progress(self) -> Mapping[str, Any]:
        """`percentage` and `message` together."""
        return {"percentage": self.percentage, "message": self.message}

    def _short_text(self) -> str:
        share = "" if self.percentage is None else f" {self.percentage:.0%}"
        return f"{self.node_label!r}{share}{self.message and f' ({self.message})'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationComplete(NodeEvent):
    """A node has its result."""

    result: Mapping[str, Any]
    """The result as JSON, its `type` included."""

    def _short_text(self) -> str:
        return f"{self.node_label!r} completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationError(NodeEvent):
    """A node failed, and its queue item with it."""

    error_type: str
    error_message: str
    server_traceback: str = field(repr=False)

    def _short_text(self) -> str:
        return f"{self.node_label!r} failed ({self.error_type}: {self.error_message})"

    _other_names: ClassVar[Mapping[str, str]] = {**NodeEvent._other_names, "error": "error_message"}


JobEvent: TypeAlias = StatusChanged | InvocationStarted | InvocationProgress | InvocationComplete | InvocationError


class Callbacks(TypedDict, total=False):
    """Functions that are called with each event of a kind, one after another.

    Async methods call them on their own event loop, and await the result if it is awaitable; blocking ones in a thread.
    """

    on_status: Callable[[StatusChanged], object]
    on_invocation_started: Callable[[InvocationStarted], object]
    on_invocation_progress: Callable[[InvocationProgress], object]
    on_invocation_complete: Callable[[InvocationComplete], object]
    on_invocation_error: Callable[[InvocationError], object]


_CALLBACK_OF: Final[dict[type, str]] = {
    StatusChanged: "on_status",
    InvocationStarted: "on_invocation_started",
    InvocationProgress: "on_invocation_progress",
    InvocationComplete: "on_invocation_complete",
    InvocationError: "on_invocation_error",
}


async def call_back(callbacks: Callbacks, event: JobEvent) -> None:
    """Call the callback for an event, if there is one, and wait for it."""
    callback: Any = callbacks.get(_CALLBACK_OF[type(event)])
    if callback is None:
        return
    answer = await background.in_thread(callback, event) if background.is_here() else callback(event)
    if hasattr(answer, "__await__"):
        await answer


def parse_event(name: str, data: Mapping[str, Any], labels: Mapping[str, str]) -> JobEvent | None:
    """Return the event of that name, or `None` if it does not concern a single item.

    `labels` maps a node id to what the GUI shows; a node without a label is called by its type.
    """
    if name == STATUS_EVENT:
        return replace(status_of(data), raw=data)
    if name not in NODE_EVENTS:
        return None
    invocation = at("invocation", mapping)(data)
    node_id = at("invocation_source_id", text)(data)
    node_type = _optional_text(invocation, "type")
    node: dict[str, Any] = {
        "item_id": at("item_id", integer)(data),
        "batch_id": at("batch_id", text)(data),
        "raw": data,
        "node_id": node_id,
        "prepared_id": _optional_text(invocation, "id"),
        "node_type": node_type,
        "node_label": labels.get(node_id) or node_type,
    }
    if name == "invocation_started":
        return InvocationStarted(**node)
    if name == "invocation_complete":
        return InvocationComplete(**node, result=at("result", mapping)(data))
    if name == "invocation_error":
        return InvocationError(
            **node,
            error_type=_optional_text(data, "error_type"),
            error_message=_optional_text(data, "error_message"),
            server_traceback=_optional_text(data, "error_traceback"),
        )
    percentage, image = data.get("percentage"), data.get("image")
    return InvocationProgress(
        **node,
        message=_optional_text(data, "message"),
        percentage=None if percentage is None else min(max(expect(percentage, float), 0.0), 1.0),
        preview=_preview(image) if image else None,
    )


def _preview(data: Any) -> Preview:
    return Preview(at("width", integer)(data), at("height", integer)(data), at("dataURL", text)(data))


def _optional_text(data: Mapping[str, Any], key: str) -> str:
    """Return the text under that key; empty if it is null or missing. Raises `ShapeError` for anything else."""
    return optional(text)(data.get(key)) or ""


def status_of(data: Mapping[str, Any]) -> StatusChanged:
    """Return the status in an event or in a queue item: both have the same keys."""
    return StatusChanged(
        item_id=at("item_id", integer)(data),
        batch_id=at("batch_id", text)(data),
        status=at("status", text)(data),
        started_at=parse_time(data.get("started_at")),
        completed_at=parse_time(data.get("completed_at")),
        error_type=optional(text)(data.get("error_type")),
        error_message=optional(text)(data.get("error_message")),
    )


def events_so_far(item: QueueItem, labels: Mapping[str, str]) -> Iterator[JobEvent]:
    """Yield the events that a listener from the start would have received by now, except progress.

    `labels` maps a node id to what the GUI shows. As on the server, the status of a failed item comes before the error
    of its node.
    """
    if item.started_at:
        yield StatusChanged(
            item_id=item.item_id, batch_id=item.batch_id, status="in_progress", started_at=item.started_at
        )
    for prepared_id, result in (item.session.get("results") or {}).items():
        node = _node(item, prepared_id, labels)
        yield InvocationStarted(**node)
        yield InvocationComplete(**node, result=result)
    if item.status in ("pending", "in_progress"):
        return
    yield status_of(item.raw)
    for prepared_id, error in (item.session.get("errors") or {}).items():
        yield InvocationError(
            **_node(item, prepared_id, labels),
            error_type=item.error_type or "",
            error_message=item.error_message or "",
            server_traceback=item.error_traceback or str(error),
        )


def _node(item: QueueItem, prepared_id: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return what every event of a node says."""
    session = item.session
    node_id = (session.get("prepared_source_mapping") or {}).get(prepared_id, prepared_id)
    nodes = (session.get("graph") or {}).get("nodes") or {}
    node_type = (nodes.get(node_id) or {}).get("type", "")
    return {
        "item_id": item.item_id,
        "batch_id": item.batch_id,
        "node_id": node_id,
        "prepared_id": prepared_id,
        "node_type": node_type,
        "node_label": labels.get(node_id) or node_type,
    }
