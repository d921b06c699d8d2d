"""A request that failed: which error of ours that is, and whether and when it is sent again. Loaded with the first one."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeVar

import httpx

from invokeai_gen.server import constants
from invokeai_gen.server.answers import at, text
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    InvalidUrlError,
    RequestTimeoutError,
    ServerError,
    ServerFaultError,
    StatusError,
    UnexpectedAnswerError,
    UnreachableError,
)
from invokeai_gen.server.http import ApiRequest, Transport
from invokeai_gen.server.logs import log
from invokeai_gen.server.response import BodyError, Response
from invokeai_gen.server.status_errors import TooManyRequestsError, UnsupportedByServerError
from invokeai_gen.texts import shortened

T = TypeVar("T")
_VERSION: Final = "/api/v1/app/version"
_MISSING_ROUTE: Final = {404, 405, 422, 501}
"""Answers of a server that lacks a route, or has another one at that path."""
_PASSING_STATUSES: Final = {502, 503, 504}
_SINCE: Final = (
    (r"/api/v1/queue/[^/]+/(item_ids|items_by_ids)", "6.7"),
    (r"/api/v1/workflows/tags", "6.10"),
    (r"/api/v1/auth/.*", "6.12"),
    (r"/api/v2/models/missing", "6.12"),
    (r"/api/v1/workflows/i/[^/]+/is_public", "6.13"),
    (r"/api/v1/videos/.*", "6.14"),  # 6.6 to 6.8 had other routes of that name, without a function
)
"""Of the routes that this package uses, those that not every InvokeAI 6 has."""


def failure_of(error: Exception, url: str, request: ApiRequest, secrets: Iterable[str | None]) -> ServerError:
    """Return the error for a request that failed. None of the secrets is in its message."""
    asked = f"{request.method} {request.path}"
    if isinstance(error, httpx.ConnectTimeout):
        return UnreachableError(f"no answer from {url} within {constants.CONNECT_TIMEOUT:g} s. Is the server on?")
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        return RequestTimeoutError(f"{url} did not finish its answer to {asked} in time")
    if isinstance(error, BodyError):
        kind = ConnectionFailedError if error.is_cut else UnexpectedAnswerError
        return kind(f"the answer of {url} to {asked} cannot be used: {error}")
    reason = str(error)
    for secret in secrets:
        reason = reason.replace(secret, "***") if secret else reason
    reason = shortened(reason, constants.MAX_DETAIL) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        elsewhere = " If it has another address, set INVOKEAI_URL." if url == constants.DEFAULT_URL else ""
        return UnreachableError(f"{url} cannot be reached ({reason}). Is the server running there?{elsewhere}")
    if isinstance(error, httpx.ProxyError):
        return UnreachableError(f"{url} cannot be reached through the proxy ({reason})")
    if isinstance(error, (httpx.InvalidURL, UnicodeError)):
        return InvalidUrlError(
            f"{asked} cannot be sent to {url}: the address, or a value that would be part of it, is too long or "
            "contains characters that are not allowed"
        )
    return ConnectionFailedError(f"the connection to {url} broke during {asked} ({reason})")


async def again(
    transport: Transport,
    failed: ServerError,
    request: ApiRequest,
    take: Callable[[Response], Awaitable[T]],
) -> T:
    """Send a request again after its first attempt has failed, as often as the rules below allow."""
    method, path = request.method, request.path
    about = {"method": method, "path": path}
    attempt = 1
    while attempt <= retries_after(failed, transport.max_retries, request.is_repeatable):
        pause = pause_after(failed, attempt)
        log.info(
            "%s %s failed (%s); trying again in %.1f s",
            method,
            path,
            failed,
            pause,
            extra={**about, "attempt": attempt},
        )
        await asyncio.sleep(pause)
        attempt += 1
        try:
            return await transport.once(request, take)
        except ServerError as error:
            failed = error
    if isinstance(failed, ConnectionFailedError):
        log.info("gave up %s %s: %s", method, path, failed, extra=about)
    elif isinstance(failed, StatusError):
        failed = await _unsupported(transport, failed) or failed
    raise failed


async def _unsupported(transport: Transport, error: StatusError) -> UnsupportedByServerError | None:
    """Return the error for a route that the server is too old for; `None` if that is not the reason."""
    if error.status not in _MISSING_ROUTE or (error.status == 404 and error.detail != "Not Found"):
        return None
    needed = next((version for pattern, version in _SINCE if re.fullmatch(pattern, error.path)), None)
    if needed is None:
        return None
    try:
        version = await transport.once(
            ApiRequest("GET", _VERSION, True), partial(Response.json, read=at("version", text))
        )
    except ServerError:
        return None
    is_older = _numbers(version) < _numbers(needed)
    return UnsupportedByServerError(error, needed, version, transport.url) if is_older else None


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


def _numbers(version: str) -> list[int]:
    """Return major, minor and patch. A pre-release has the numbers of its release."""
    return [int(number) for number in re.findall(r"\d{1,9}", version)[:3]]
