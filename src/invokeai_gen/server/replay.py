"""What has happened to a queue item so far, read from the item itself: events for a job that is followed late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from invokeai_gen.server.events import (
    InvocationComplete,
    InvocationError,
    InvocationStarted,
    JobEvent,
    StatusChanged,
    status_of,
)
from invokeai_gen.server.records import QueueItem


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
