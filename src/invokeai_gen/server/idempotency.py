"""Requests that must take effect once, although their answers may get lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from invokeai_gen.server import constants
from invokeai_gen.server.answers import ignored
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    NotFoundError,
    RequestTimeoutError,
    ServerError,
    ServerFaultError,
    UnreachableError,
)

if TYPE_CHECKING:
    from invokeai_gen.server.http import Transport

T = TypeVar("T")
_GATEWAY_TIMEOUT: Final = 504


async def send_once(
    send: Callable[[], Awaitable[T]],
    find: Callable[[], Awaitable[T | None]],
    uncertain: Callable[[Exception], Exception],
) -> T:
    """Return the answer to a request or, if it is lost, what the request has created on the server according to `find`.

    It is sent a second time if the first one has created nothing. Raises `uncertain(reason)` if that cannot be known:
    the server was silent and may still be at work, or it cannot be asked.
    """
    for is_last in (False, True):
        try:
            return await send()
        except UnreachableError:
            raise
        except (ConnectionFailedError, ServerFaultError) as error:
            reason = error
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


async def delete_once(delete: Callable[[bool, bool], Awaitable[T]]) -> T:
    """Call `delete(was_sent, may_repeat)`, and a second time if the answer to the first request is lost.

    `was_sent` is true in the second call: what is missing on the server then was deleted by the first request, so it
    counts as deleted. `may_repeat` says whether the request itself may be repeated.
    """
    try:
        return await delete(False, False)
    except UnreachableError:
        raise
    except ConnectionFailedError as error:
        return await delete(True, not isinstance(error, RequestTimeoutError))
    except ServerFaultError as error:
        if error.status == 500:
            raise
        return await delete(True, True)


async def delete_thing(transport: Transport, path: str) -> None:
    """Delete the object at a path. Raises `NotFoundError`, but not if it is missing because it was just deleted."""

    async def delete(was_sent: bool, may_repeat: bool) -> None:
        try:
            await transport.send("DELETE", path, repeatable=may_repeat, read=ignored)
        except NotFoundError:
            if not was_sent:
                raise

    await delete_once(delete)
