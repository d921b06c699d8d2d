"""The answer to one request: its JSON, or its body for others to read, decompressed within bounds."""

from __future__ import annotations

import json as json_codec
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from invokeai_gen.server import constants
from invokeai_gen.server.answers import Reader, ShapeError
from invokeai_gen.server.errors import NotInvokeAIError, UnexpectedAnswerError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
ACCEPTED_ENCODING: Final = "gzip"


class BodyError(Exception):
    """A body cannot be used. `is_cut` says whether more of it was to come, so that asking again may help."""

    def __init__(self, problem: str, *, is_cut: bool = False) -> None:
        self.is_cut = is_cut
        super().__init__(problem)


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
            from invokeai_gen.texts import shortened

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


async def decoded(raw: AsyncIterable[bytes], encoding: str) -> AsyncGenerator[bytes, None]:
    """Yield a body without its content encoding, in pieces that do not grow with the compression.

    Only gzip, the one encoding that requests ask for, is decoded, and only once: a few kilobytes of several encodings
    on top of each other can hold many gigabytes.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        async for chunk in raw:
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip"):
        raise BodyError(f"its encoding {encoding[:40]!r} was not asked for")
    decoder, is_empty = zlib.decompressobj(zlib.MAX_WBITS | 16), True
    try:
        async for chunk in raw:
            while chunk:
                is_empty = False
                yield decoder.decompress(chunk, constants.CHUNK)
                chunk = decoder.unconsumed_tail
        yield decoder.flush()
    except zlib.error:
        raise BodyError("it is not valid gzip") from None
    if not decoder.eof and not is_empty:  # InvokeAI calls the body of a 204 compressed as well
        raise BodyError("only a part of it arrived", is_cut=True)


async def steady(chunks: AsyncIterable[bytes], window: float) -> AsyncGenerator[bytes, None]:
    """Yield the chunks, and raise `TimeoutError` if less than `MIN_TRANSFER_RATE` bytes a second come in a window.

    `window` is in seconds. The time that the consumer takes does not count.
    """
    iterator = aiter(chunks)
    waited, size = 0.0, 0
    while True:
        began = time.monotonic()
        try:
            chunk = await anext(iterator)
        except StopAsyncIteration:
            return
        waited, size = waited + time.monotonic() - began, size + len(chunk)
        if waited >= window:
            if size < constants.MIN_TRANSFER_RATE * waited:
                raise TimeoutError
            waited, size = 0.0, 0
        yield chunk


async def collected(chunks: AsyncIterable[bytes], limit: int, *, cut: bool = False) -> bytes:
    """Return the whole body. Raises `BodyError` above `limit` bytes, or returns only so many if `cut`."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            if cut:
                return bytes(body[:limit])
            raise BodyError(f"it is larger than {limit} bytes")
    return bytes(body)
