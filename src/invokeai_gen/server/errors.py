"""What can go wrong between this project and a server, as one tree that can be caught at any height."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.server.constants import MAX_DETAIL, MAX_PROBLEMS
from invokeai_gen.texts import shortened


class ServerError(InvokeAIGenError):
    """Root of everything that concerns a server, its queue and what a run left there."""


class InvalidUrlError(ServerError, ValueError):
    """The address given for a server, or a value that would become part of one, is not valid."""


class InvalidTokenError(ServerError, ValueError):
    """The token contains characters that cannot be sent. The message does not show it."""


class InvalidHeaderError(ServerError, ValueError):
    """One of the `headers` of a client cannot be sent. The message does not show its value."""


class ConnectionFailedError(ServerError):
    """The server cannot be reached, or the connection broke before it answered."""


class UnreachableError(ConnectionFailedError):
    """Nothing answers at this address; the request was not sent."""


class RequestTimeoutError(ConnectionFailedError):
    """The server was reached but did not answer in time."""


class NotInvokeAIError(ServerError):
    """Something answers at this address, but not in the way InvokeAI does."""


class UnexpectedAnswerError(NotInvokeAIError):
    """The server answered with success, but the answer lacks something or has another form than InvokeAI's."""


class StatusError(ServerError):
    """The server answered with an error status. Every known status has a class of its own below."""

    def __init__(self, method: str, path: str, status: int, detail: Any = None, hint: str = "") -> None:
        self.method = method
        self.path = path
        self.status = status
        self.detail = detail
        """The server's explanation: a text, or for 422 a list of `{type, loc, msg, input}`."""
        self.retry_after: float | None = None
        """Seconds after which the server wants the request to be sent again, if it says so."""
        text = f"{method} {path} was answered with status {status}"
        if isinstance(detail, str) and detail:
            text += f": {shortened(detail, MAX_DETAIL)}"
        super().__init__(f"{text}. {hint}" if hint else text)


class BadRequestError(StatusError):
    """400: the server does not accept the request."""


class UnauthorizedError(StatusError):
    """401: the server requires an account, or the token is no longer valid."""


class ForbiddenError(StatusError):
    """403: this account may not do that."""


class NotFoundError(StatusError):
    """404: no such thing on this server."""


class UnsupportedByServerError(StatusError):
    """404 or 405 for a function that the server's version of InvokeAI does not have yet."""

    def __init__(self, cause: StatusError, needed: str, server_version: str, url: str) -> None:
        super().__init__(cause.method, cause.path, cause.status, cause.detail)
        self.needed = needed
        """First version of InvokeAI with this function, such as `6.13`."""
        self.server_version = server_version
        request = f"{cause.method} {cause.path}"
        self.args = (f"{request} needs InvokeAI {needed} or newer; {url} has {shortened(server_version)}",)


class UnsupportedMediaError(StatusError):
    """415: an upload that the server cannot read as an image or a video."""


class RejectedError(StatusError):
    """422: the request does not fit the server's schema. `problems` has one line for each reason."""

    def __init__(
        self, method: str, path: str, status: int, detail: Any = None, hint: str = "", problems: Sequence[str] = ()
    ) -> None:
        self.problems = tuple(problems) or tuple(_plain_problems(detail))
        lines = [f"- {line}" for line in self.problems[:MAX_PROBLEMS]]
        if len(self.problems) > MAX_PROBLEMS:
            lines.append(f"- … and {len(self.problems) - MAX_PROBLEMS} more")
        super().__init__(method, path, status, detail, hint or "\n".join(lines))


class TooManyRequestsError(StatusError):
    """429: the server, or a proxy in front of it, does not take more requests for a while."""


class ServerFaultError(StatusError):
    """5xx: the server failed while it worked on the request."""


_KIND_OF_STATUS: Final[Mapping[int, type[StatusError]]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    415: UnsupportedMediaError,
    422: RejectedError,
    429: TooManyRequestsError,
}


def status_error(method: str, path: str, status: int, detail: Any, *, url: str = "") -> StatusError:
    """Return the error for an answer's status, with what a person can do about it."""
    kind = ServerFaultError if status >= 500 else _KIND_OF_STATUS.get(status, StatusError)
    hint = ""
    if status == 401:
        hint = "Pass token=…, set INVOKEAI_TOKEN, or call login(email, password)."
    elif status >= 500:
        hint = "The server's own log has the reason."
    elif status == 405 or (status == 404 and detail == "Not Found"):  # FastAPI's words for a path it does not know
        hint = (
            f"Is {url or 'this'} the address of an InvokeAI server? Check the path in it; "
            "if it is right, that server's version lacks this function."
        )
    return kind(method, path, status, detail, hint)


def reasons(detail: Any) -> list[dict[str, Any]]:
    """Return the entries in the `detail` of a 422 with `loc`, `msg` and `input` of bounded size, other things left out."""
    found: list[dict[str, Any]] = []
    for entry in detail if isinstance(detail, list) else ():
        if isinstance(entry, dict):
            location, given = entry.get("loc"), entry.get("input")
            found.append(
                {
                    "loc": location if isinstance(location, list) else [],
                    "msg": _problem_text(entry),
                    "input": shortened(given, MAX_DETAIL) if isinstance(given, str) else given,
                }
            )
    return found


def _problem_text(entry: Mapping[str, Any]) -> str:
    """Return the reason in one entry of a 422 in a few words."""
    context = entry.get("ctx")
    if entry.get("type") == "union_tag_invalid" and isinstance(context, Mapping):
        # The server's own words list every node type it has.
        return f"this server has no node type {shortened(str(context.get('tag')), MAX_DETAIL)!r}"
    return shortened(str(entry.get("msg", "")), MAX_DETAIL)


def _plain_problems(detail: Any) -> list[str]:
    return [f"{shortened('.'.join(map(str, entry['loc'])), MAX_DETAIL)}: {entry['msg']}" for entry in reasons(detail)]


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


class JobError(ServerError):
    """A queue item has no outputs."""

    def __init__(self, message: str, *, item_id: int | None = None) -> None:
        self.item_id = item_id
        super().__init__(message)


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


class JobCanceledError(JobError):
    """The item was canceled: here, in the GUI, or by another client."""


class JobDeletedError(JobCanceledError):
    """The item is no longer in the queue: it was deleted, pruned, or the queue was cleared."""


class JobTimeoutError(JobError, TimeoutError):
    """The item did not end within the timeout."""


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


class MissingOutputError(ServerError, AttributeError):
    """The result is missing: its node did not return one in this run, or the name is unknown."""


class DecodeError(ServerError):
    """A result does not match the workflow's schema, or an image cannot be read."""


class DownloadError(ServerError):
    """Some outputs could not be saved. `saved` are the files that are complete, `failed` maps the others to the reason."""

    def __init__(self, saved: Sequence[Any], failed: Mapping[str, str]) -> None:
        self.saved = tuple(saved)
        self.failed = dict(failed)
        lines = "\n".join(f"- {name}: {reason}" for name, reason in self.failed.items())
        super().__init__(f"{len(self.failed)} of {len(self.saved) + len(self.failed)} outputs were not saved:\n{lines}")


class CleanupError(ServerError):
    """Some things could not be deleted. `left` maps their names to the reason, `deleted` names the others."""

    def __init__(self, deleted: Sequence[str], left: Mapping[str, str]) -> None:
        self.deleted = tuple(deleted)
        self.left = dict(left)
        lines = "\n".join(f"- {name}: {reason}" for name, reason in self.left.items())
        super().__init__(f"{len(self.left)} of {len(self.left) + len(self.deleted)} were not deleted:\n{lines}")
