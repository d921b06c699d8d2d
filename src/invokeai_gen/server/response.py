"""The answer to one request: its JSON, or its body for others to read."""

from __future__ import annotations

import json as json_codec
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from invokeai_gen.server import constants
from invokeai_gen.server.answers import Reader, ShapeError
from invokeai_gen.server.bodies import BodyError, collected, decoded, steady
from invokeai_gen.server.errors import NotInvokeAIError, UnexpectedAnswerError
from invokeai_gen.texts import shortened

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose body is still to come."""

    raw: httpx.Response
    method: str
    path: str
    url: str
    """Address of the server, without any credentials."""
    silence: float
    """Seconds that the server may stay silent while the body arrives."""

    async def json(self, read: Reader[T]) -> T:
        """Return what `read` makes of the JSON. Raise `NotInvokeAIError`, or `UnexpectedAnswerError` if it refuses."""
        content = await collected(self.chunks(), constants.MAX_ANSWER)
        kind = self.raw.headers.get("content-type", "")
        try:
            data = json_codec.loads(content) if content or "json" in kind else None
        except (ValueError, RecursionError):
            if "json" in kind:
                raise BodyError("only a part of it arrived", is_cut=True) from None
            raise NotInvokeAIError(
                f"{self.url} answered {self.raw.request.method} {self.raw.request.url.path} with something that is not "
                "JSON. Is this the address of an InvokeAI server?"
            ) from None
        try:
            return read(data)
        except (ShapeError, LookupError, TypeError, AttributeError, ValueError) as error:
            problem = str(error) if isinstance(error, ShapeError) else f"{type(error).__name__}: {error}"
        raise UnexpectedAnswerError(
            f"{self.url} answered {self.method} {self.path} in an unexpected form: "
            f"{shortened(problem, constants.MAX_DETAIL)}. Is this the address of an InvokeAI server?"
        )

    def chunks(self) -> AsyncIterable[bytes]:
        """Return the pieces of the body as they arrive, decompressed."""
        # An answer that a backend made of bytes is consumed and decoded already.
        if self.raw.is_stream_consumed:
            return self.raw.aiter_bytes(constants.CHUNK)
        return self.decoded(self.raw.aiter_raw())

    def decoded(self, raw: AsyncIterable[bytes]) -> AsyncIterable[bytes]:
        """Return the pieces of the body, decompressed, from those that arrive."""
        return decoded(steady(raw, self.silence), self.raw.headers.get("content-encoding", ""))
