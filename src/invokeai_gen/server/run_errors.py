"""What can go wrong with the values of a run, its batch, job and results, and what it left on the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from invokeai_gen.server.constants import MAX_PROBLEMS
from invokeai_gen.server.errors import ConnectionFailedError, JobError, ServerError
from invokeai_gen.texts import first_of


class ValueResolutionError(ServerError, ValueError):
    """A value for an input does not exist on this server, or cannot be understood. Names the input's label.

    If several inputs have such a value, this is the error of the first one, its message lists all, and `others` has the
    rest.
    """

    def __init__(self, label: str, problem: str, candidates: Sequence[str] = ()) -> None:
        self.label = label
        self.candidates = tuple(candidates)
        """What could have been given instead, best first."""
        self.others: tuple[ValueResolutionError, ...] = ()
        """The errors of the other inputs, in the order of the form."""
        if self.candidates:
            shown = ", ".join(self.candidates[:10])
            more = f", … ({len(self.candidates)} in all)" if len(self.candidates) > 10 else ""
            problem += f" This server has: {shown}{more}."
        self.problem = problem
        """What is wrong with the value, and what could have been given instead; without the label."""
        self.own_message = f"{label!r}: {problem}"
        """The message about this input alone."""
        super().__init__(self.own_message)

    def with_others(self, others: Sequence[ValueResolutionError]) -> Self:
        """Return this error, with the errors of the other inputs added to its message and `others`."""
        errors: list[ValueResolutionError] = [self, *others]
        found = {id(each): each for error in errors for each in (error, *error.others)}
        found.pop(id(self), None)  # two inputs can have the same wrong value, which is looked up once
        lines = list(dict.fromkeys(each.own_message for each in [errors[0], *found.values()]))
        self.others, self.args = tuple(found.values()), ("\n".join(first_of(lines, MAX_PROBLEMS)),)
        return self


class ModelResolutionError(ValueResolutionError):
    """No model, or more than one, fits what was given."""


class BoardResolutionError(ValueResolutionError):
    """No board, or more than one, has that name."""


class MediaResolutionError(ValueResolutionError):
    """An image or a video that is neither a file nor on the server."""


class EnqueueError(ServerError):
    """A batch was not put into the queue, or not completely."""


class EnqueueClippedError(EnqueueError):
    """The queue had room for only a part of the batch. The items that went in were canceled."""

    def __init__(self, enqueued: int, requested: int, batch_id: str) -> None:
        self.enqueued = enqueued
        self.requested = requested
        self.batch_id = batch_id
        what = f"only {enqueued} of {requested} items" if enqueued else f"none of {requested} items"
        super().__init__(
            f"the server's queue is full: {what} went in (and were canceled). "
            "Wait until it is shorter, ask for fewer runs, or raise `max_queue_size` in the server's invokeai.yaml."
        )


class EnqueueUncertainError(EnqueueError, ConnectionFailedError):
    """The answer to an enqueue was lost and the server does not know the batch: it may or may not still arrive."""

    def __init__(self, batch_id: str, reason: Exception) -> None:
        self.batch_id = batch_id
        super().__init__(
            f"the server did not confirm the batch {batch_id} ({reason}) and does not list it. "
            "Check the queue before you send it again."
        )


class InstallError(ServerError):
    """A model was not installed: it failed, was cancelled, or has not ended in time. `install_id` is that install."""

    def __init__(self, message: str, install_id: int) -> None:
        self.install_id = install_id
        super().__init__(message)


class UploadUncertainError(ConnectionFailedError):
    """The answer to an upload was lost and the server does not list the file: it may or may not still arrive."""

    def __init__(self, name: str, reason: Exception) -> None:
        super().__init__(
            f"the server did not confirm the upload of {name!r} ({reason}) and does not list it. "
            "If it did arrive, it is among the newest assets."
        )


class JobFailedError(JobError):
    """A node raised an error on the server, whose traceback is in `server_traceback`."""

    def __init__(
        self,
        *,
        item_id: int,
        error_type: str,
        error_message: str,
        server_traceback: str = "",
        node_id: str | None = None,
        node_type: str = "",
        node_label: str = "",
        field_labels: Sequence[str] = (),
    ) -> None:
        self.error_type = error_type
        """Name of the exception on the server."""
        self.error_message = error_message
        self.server_traceback = server_traceback
        """The server's own, with paths of that machine; empty if it reports none. It is not part of the message."""
        self.node_id = node_id
        """Id of the node in the workflow, if the server names it."""
        self.node_type = node_type
        self.node_label = node_label
        self.field_labels = tuple(field_labels)
        """Labels of the form's fields that belong to this node."""
        place = ""
        if node_label or node_type:
            shown = repr(node_label) if node_label else "a node"
            place = f" in {shown} ({node_type})" if node_type else f" in {shown}"
        text = f"queue item {item_id} failed{place}: {error_type}: {error_message}"
        if self.field_labels:
            text += f"\nForm fields of this node: {', '.join(map(repr, self.field_labels))}"
        super().__init__(text, item_id=item_id)

    @property
    def field_label(self) -> str | None:
        """Label of the failing node's form field, if it has exactly one."""
        return self.field_labels[0] if len(self.field_labels) == 1 else None


class UnknownStatusError(JobError):
    """The server reported a status that this version of invokeai-gen does not know."""


class NotCompletedError(JobError):
    """Outputs were requested before the run has ended."""


class RedactedJobError(JobError):
    """The item belongs to another account: the server only reports its status."""


class SeveralItemsError(JobError):
    """A batch gives several outputs, and the call is for one."""

    def __init__(self, count: int, advice: str = "use run_all(), or all_outputs() of the job.") -> None:
        self.count = count
        super().__init__(
            f"this makes {count} queue items (batch nodes, or runs > 1), each with outputs of its own: {advice}"
        )


class DownloadError(ServerError):
    """Some outputs could not be saved. `saved` are the files that are complete, `failed` maps the others to the reason."""

    def __init__(self, saved: Sequence[Any], failed: Mapping[str, str]) -> None:
        self.saved = tuple(saved)
        self.failed = dict(failed)
        super().__init__(_partly(self.failed, len(self.saved), "outputs were not saved"))


class CleanupError(ServerError):
    """Some things could not be deleted. `left` maps their names to the reason, `deleted` names the others."""

    def __init__(self, deleted: Sequence[str], left: Mapping[str, str]) -> None:
        self.deleted = tuple(deleted)
        self.left = dict(left)
        super().__init__(_partly(self.left, len(self.deleted), "were not deleted"))


def _partly(failed: Mapping[str, str], done: int, what: str) -> str:
    lines = first_of([f"{name}: {reason}" for name, reason in failed.items()], MAX_PROBLEMS)
    return "\n- ".join([f"{len(failed)} of {len(failed) + done} {what}:", *lines])
