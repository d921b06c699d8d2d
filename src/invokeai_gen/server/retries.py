"""When a request is sent again, and after which pause: pure rules."""

from __future__ import annotations

import random
from typing import Final

from invokeai_gen.server import constants
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    RequestTimeoutError,
    ServerError,
    ServerFaultError,
    StatusError,
    TooManyRequestsError,
    UnreachableError,
)

_PASSING_STATUSES: Final = {502, 503, 504}


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


def seconds_of(text: str) -> float | None:
    """Return a `Retry-After` in seconds; `None` if it is missing or a date."""
    return float(text) if text.isdecimal() and len(text) < 10 else None
