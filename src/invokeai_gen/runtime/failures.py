"""How a job went, and what went wrong with it, told in the labels of the GUI: pure rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from invokeai_gen.core.results import failing_node
from invokeai_gen.server.errors import (
    JobCanceledError,
    JobError,
    JobFailedError,
    NotCompletedError,
    RedactedJobError,
    RejectedError,
    UnknownStatusError,
)
from invokeai_gen.server.events import is_final

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.server.records import QueueItem

_STATUS_ORDER: Final = ("in_progress", "waiting", "pending", "failed", "canceled", "completed")


def overall_status(statuses: Iterable[str]) -> str:
    """One status for several items: the one that says most about what is still to come. Unknown ones come first."""
    found = set(statuses)
    unknown = sorted(found.difference(_STATUS_ORDER))
    return next((status for status in (*_STATUS_ORDER[:3], *unknown, *_STATUS_ORDER[3:]) if status in found), "pending")


def error_of(item: QueueItem, plan: WorkflowPlan | None) -> JobError | None:
    """Why an item has no outputs, told in the labels of the plan; `None` for a completed one."""
    item_id = item.item_id
    if item.is_redacted:
        return RedactedJobError(
            f"queue item {item_id} belongs to another account: the server tells only its status, {item.status!r}",
            item_id=item_id,
        )
    if item.status == "completed":
        return None
    if item.status == "canceled":
        return JobCanceledError(f"queue item {item_id} was canceled", item_id=item_id)
    if item.status == "failed":
        node_id, node_type = failing_node(item.session) or (None, "")
        return JobFailedError(
            item_id=item_id,
            error_type=item.error_type or "Error",
            error_message=item.error_message or "no message",
            server_traceback=item.error_traceback or "",
            node_id=node_id,
            node_type=node_type,
            node_label=node_labels(plan).get(node_id or "", ""),
            field_labels=[entry.label for entry in plan.inputs if entry.node_id == node_id] if plan else (),
        )
    if not is_final(item.status):
        return NotCompletedError(f"queue item {item_id} is {item.status}: there are no outputs yet", item_id=item_id)
    return UnknownStatusError(
        f"queue item {item_id} has the status {item.status!r}, which this version of invokeai-gen does not know",
        item_id=item_id,
    )


def node_labels(plan: WorkflowPlan | None) -> dict[str, str]:
    """What the GUI calls each node."""
    return {node.id: node.label for node in plan.nodes} if plan is not None else {}


def in_labels(error: RejectedError, plan: WorkflowPlan) -> RejectedError:
    """A 422 with each of its reasons told by the labels of the node and the field that it is about."""
    if not isinstance(error.detail, list):
        return error
    labels = node_labels(plan)
    titles = {entry.binding: entry.label for entry in plan.inputs}
    problems: list[str] = []
    for entry in error.detail:
        place = [str(part) for part in entry.get("loc", ())]
        node_id = next((part for part in place if part in labels), None)
        message = entry.get("msg", "")
        if node_id is None:
            problems.append(f"{'.'.join(place)}: {message}")
            continue
        field_name = next((part for part in place if (node_id, part) in titles), None)
        rest = place[place.index(node_id) + 2 :]
        field = titles[node_id, field_name] if field_name is not None else ".".join(rest)
        given = f" (given: {entry['input']!r})" if not isinstance(entry.get("input"), (dict, list)) else ""
        problems.append(
            f"{labels[node_id]!r}, {field!r}: {message}{given}" if field else f"{labels[node_id]!r}: {message}"
        )
    return RejectedError(error.method, error.path, error.status, error.detail, problems=list(dict.fromkeys(problems)))
