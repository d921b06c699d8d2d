"""What went wrong with a job, in the labels of the GUI: pure rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invokeai_gen.core.problems import failing_node, labelled_rejections
from invokeai_gen.server.errors import JobCanceledError, JobError
from invokeai_gen.server.run_errors import JobFailedError, NotCompletedError, RedactedJobError, UnknownStatusError
from invokeai_gen.server.status_errors import RejectedError, reasons
from invokeai_gen.server.status_watch import is_final

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.server.records import QueueItem


def error_of(item: QueueItem, plan: WorkflowPlan | None) -> JobError | None:
    """Return why an item has no outputs, in the labels of the plan; `None` for a completed one."""
    item_id = item.item_id
    if item.is_redacted:
        return RedactedJobError(
            f"queue item {item_id} belongs to another account: the server only reports its status, {item.status!r}",
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
            node_label=plan.node_labels.get(node_id or "", "") if plan is not None else "",
            field_labels=[entry.label for entry in plan.inputs if entry.node_id == node_id] if plan else (),
        )
    if not is_final(item.status):
        return NotCompletedError(f"queue item {item_id} is {item.status}: there are no outputs yet", item_id=item_id)
    return UnknownStatusError(
        f"queue item {item_id} has the status {item.status!r}, which this version of invokeai-gen does not know",
        item_id=item_id,
    )


def in_labels(error: RejectedError, plan: WorkflowPlan) -> RejectedError:
    """Return a 422 whose reasons name nodes and fields by their labels."""
    problems = labelled_rejections(plan, reasons(error.detail))
    return RejectedError(error.method, error.path, error.status, error.detail, problems=problems)
