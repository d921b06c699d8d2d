"""When a request is sent again, and after which pause. Loaded with the first failure."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

import tenacity

from invokeai_gen.server import constants
from invokeai_gen.server.answers import at, text
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    RequestTimeoutError,
    ServerError,
    ServerFaultError,
    StatusError,
    UnreachableError,
)
from invokeai_gen.server.http import Transport
from invokeai_gen.server.logs import log
from invokeai_gen.server.response import Response
from invokeai_gen.server.routes import needed_version
from invokeai_gen.server.status_errors import TooManyRequestsError, UnsupportedByServerError

T = TypeVar("T")
_VERSION: Final = "/api/v1/app/version"
_MISSING_ROUTE: Final = {404, 405, 422, 501}
"""Answers of a server that lacks a route, or has another one at that path."""
_PASSING_STATUSES: Final = {502, 503, 504}


async def again(
    transport: Transport,
    failed: ServerError,
    method: str,
    path: str,
    take: Callable[[Response], Awaitable[T]],
    is_repeatable: bool,
    **content: Any,
) -> T:
    """Send a request again after its first attempt has failed, as often as the rules below allow."""
    earlier = [failed]

    async def attempt() -> T:
        if earlier:  # the first attempt
            raise earlier.pop()
        return await transport.once(method, path, take, **content)

    def is_retried(state: tenacity.RetryCallState) -> bool:
        error = state.outcome and state.outcome.exception()
        return isinstance(error, ServerError) and state.attempt_number <= retries_after(
            error, transport.max_retries, is_repeatable
        )

    def announce(state: tenacity.RetryCallState) -> None:
        log.info(
            "%s %s failed (%s); trying again in %.1f s",
            method,
            path,
            state.outcome and state.outcome.exception(),
            state.upcoming_sleep,
            extra={"method": method, "path": path, "attempt": state.attempt_number},
        )

    def pause(state: tenacity.RetryCallState) -> float:
        return pause_after(state.outcome.exception() if state.outcome else None, state.attempt_number)

    retrying = tenacity.AsyncRetrying(retry=is_retried, wait=pause, before_sleep=announce)
    try:
        return await retrying(attempt)
    except ConnectionFailedError as error:
        log.info("gave up %s %s: %s", method, path, error, extra={"method": method, "path": path})
        raise
    except StatusError as error:
        newer = await _unsupported(transport, error)
        raise newer or error from None


async def _unsupported(transport: Transport, error: StatusError) -> UnsupportedByServerError | None:
    """Return the error for a route that the server is too old for; `None` if that is not the reason."""
    if error.status not in _MISSING_ROUTE or (error.status == 404 and error.detail != "Not Found"):
        return None
    if needed_version(error.path, "") is None:
        return None
    try:
        version = await transport.once("GET", _VERSION, partial(Response.json, read=at("version", text)))
    except ServerError:
        return None
    needed = needed_version(error.path, version)
    return UnsupportedByServerError(error, needed, version, transport.url) if needed else None


def retries_after(error: ServerError, max_retries: int, is_repeatable: bool) -> int:
    """Return how often a request may be sent again, in all, if it fails in this way.

    `is_repeatable` says that it does no harm if the server has worked on it already. A request that never arrived, or
    that the server put off (429), may be repeated in any case.
    """
    if isinstance(error, (UnreachableError, TooManyRequestsError)):
        return max_retries
    if not is_repeatable:
        return 0
    if isinstance(error, RequestTimeoutError):
        return min(max_retries, constants.MAX_SILENT_RETRIES)
    is_passing = isinstance(error, ServerFaultError) and error.status in _PASSING_STATUSES
    return max_retries if is_passing or isinstance(error, ConnectionFailedError) else 0


def pause_after(error: BaseException | None, attempt: int) -> float:
    """Return the seconds before the next attempt: what the server asks for, else a little more each time."""
    if isinstance(error, StatusError) and error.retry_after is not None:
        return min(error.retry_after, constants.MAX_RETRY_AFTER)
    longest = constants.FIRST_RETRY_WAIT * float(2**attempt)
    return min(longest * random.uniform(0.5, 1), constants.MAX_RETRY_WAIT)
