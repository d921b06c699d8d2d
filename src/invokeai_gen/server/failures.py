"""Which error of ours each failure of the libraries below becomes. Loaded with the first failure."""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from invokeai_gen.server import constants
from invokeai_gen.server.bodies import BodyError
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    InvalidUrlError,
    RequestTimeoutError,
    ServerError,
    UnexpectedAnswerError,
    UnreachableError,
)
from invokeai_gen.texts import shortened


def failure_of(error: Exception, url: str, method: str, path: str, secrets: Iterable[str | None]) -> ServerError:
    """Return the error for a request that failed. None of the secrets is in its message."""
    if isinstance(error, httpx.ConnectTimeout):
        return UnreachableError(f"no answer from {url} within {constants.CONNECT_TIMEOUT:g} s. Is the server on?")
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        return RequestTimeoutError(f"{url} did not finish its answer to {method} {path} in time")
    if isinstance(error, BodyError):
        kind = ConnectionFailedError if error.is_cut else UnexpectedAnswerError
        return kind(f"the answer of {url} to {method} {path} cannot be used: {error}")
    reason = str(error)
    for secret in secrets:
        reason = reason.replace(secret, "***") if secret else reason
    reason = shortened(reason, constants.MAX_DETAIL) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        return UnreachableError(f"{url} cannot be reached ({reason}). Is the server running there?")
    if isinstance(error, httpx.ProxyError):
        return UnreachableError(f"{url} cannot be reached through the proxy ({reason})")
    if isinstance(error, (httpx.InvalidURL, UnicodeError)):
        return InvalidUrlError(
            f"{method} {path} cannot be sent to {url}: the address, or a value that would be part of it, is too long or "
            "contains characters that are not allowed"
        )
    return ConnectionFailedError(f"the connection to {url} broke during {method} {path} ({reason})")
