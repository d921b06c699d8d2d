"""Deleting on a server, although the answer may get lost, and the outcome of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from invokeai_gen.server.answers import Reader
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    NotFoundError,
    RequestTimeoutError,
    ServerFaultError,
    UnreachableError,
)

if TYPE_CHECKING:
    from invokeai_gen.server.http import Transport

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """The outcome of deleting things: names or ids, and a reason for each that is still there."""

    deleted: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """Could not be deleted, with the reason."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """Left alone on purpose, with the reason, such as an image that another run made."""

    def raise_for_failures(self) -> Self:
        """Raise `CleanupError`, which lists what is left, if something could not be deleted; otherwise return this."""
        if self.failed:
            from invokeai_gen.server.run_errors import CleanupError

            raise CleanupError(self.deleted, self.failed)
        return self

    def __add__(self, other: Removal) -> Removal:
        return Removal(
            deleted=self.deleted + other.deleted,
            failed={**self.failed, **other.failed},
            kept={**self.kept, **other.kept},
        )


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


async def delete_thing(
    transport: Transport, path: str, params: Mapping[str, Any] | None = None, *, read: Reader[T], gone: T
) -> T:
    """Delete the object at a path, and return what `read` makes of the answer.

    Raises `NotFoundError`; but returns `gone` if the object is missing because it was just deleted.
    """

    async def delete(was_sent: bool, may_repeat: bool) -> T:
        try:
            return await transport.send("DELETE", path, params=params, repeatable=may_repeat, read=read)
        except NotFoundError:
            if not was_sent:
                raise
            return gone

    return await delete_once(delete)
