"""Requests that must take effect once, although their answers may get lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from invokeai_gen.server import constants
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    RequestTimeoutError,
    ServerError,
    ServerFaultError,
    UnreachableError,
)

T = TypeVar("T")
_GATEWAY_TIMEOUT: Final = 504


async def send_once(
    send: Callable[[], Awaitable[T]],
    find: Callable[[], Awaitable[T | None]],
    uncertain: Callable[[Exception], Exception],
    failed: Exception | None = None,
) -> T:
    """Return the answer to a request or, if it is lost, what the request has created on the server according to `find`.

    It is sent a second time if the first one has created nothing. Raises `uncertain(reason)` if that cannot be known:
    the server was silent and may still be at work, or it cannot be asked. `failed` is why a first attempt, which the
    caller made, has no answer.
    """
    for is_last in (False, True):
        try:
            if failed is not None:
                raise failed
            return await send()
        except UnreachableError:
            raise
        except (ConnectionFailedError, ServerFaultError) as error:
            reason, failed = error, None
        status = reason.status if isinstance(reason, ServerFaultError) else None
        try:
            # A server that says itself that it failed is not still at work.
            for pause in constants.LOST_ANSWER_WAITS[:1] if status == 500 else constants.LOST_ANSWER_WAITS:
                await asyncio.sleep(pause)
                if (found := await find()) is not None:
                    return found
        except ServerError:
            raise uncertain(reason) from reason
        if isinstance(reason, RequestTimeoutError) or status == _GATEWAY_TIMEOUT or (is_last and status is None):
            raise uncertain(reason) from reason
        if is_last or status == 500:
            raise reason
    raise AssertionError("the last attempt returns or raises")
