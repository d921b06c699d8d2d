"""What can go wrong between this project and a server, as one tree that can be caught at any height."""

from __future__ import annotations

from typing import Any

from invokeai_gen.errors import InvokeAIGenError

# Finds the errors of `run_errors` and `status_errors`, which were here once; a run that succeeds does not load them.
from invokeai_gen.public_names import find_public as __getattr__  # noqa: F401
from invokeai_gen.server.constants import MAX_DETAIL


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
    """The server answered with an error status. Every known status has a class of its own, below or in `status_errors`."""

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
            from invokeai_gen.texts import shortened

            text += f": {shortened(detail, MAX_DETAIL)}"
        super().__init__(f"{text}. {hint}" if hint else text)


class NotFoundError(StatusError):
    """404: no such thing on this server."""


class ServerFaultError(StatusError):
    """5xx: the server failed while it worked on the request."""


class JobError(ServerError):
    """A queue item has no outputs."""

    def __init__(self, message: str, *, item_id: int | None = None) -> None:
        self.item_id = item_id
        super().__init__(message)


class JobCanceledError(JobError):
    """The item was canceled: here, in the GUI, or by another client."""


class JobDeletedError(JobCanceledError):
    """The item is no longer in the queue: it was deleted, pruned, or the queue was cleared."""


class JobTimeoutError(JobError, TimeoutError):
    """The item did not end within the timeout."""


class MissingOutputError(ServerError, AttributeError):
    """The result is missing: its node did not return one in this run, or the name is unknown."""


class DecodeError(ServerError):
    """A result does not match the workflow's schema, or an image cannot be read."""
