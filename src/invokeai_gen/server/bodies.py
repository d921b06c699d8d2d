"""The body of an answer: decompressed within bounds, and given up if it stalls."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Final

from invokeai_gen.server.constants import CHUNK, MIN_TRANSFER_RATE

ACCEPTED_ENCODING: Final = "gzip"


class BodyError(Exception):
    """A body cannot be used. `is_cut` says whether more of it was to come, so that asking again may help."""

    def __init__(self, problem: str, *, is_cut: bool = False) -> None:
        self.is_cut = is_cut
        super().__init__(problem)


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
                yield decoder.decompress(chunk, CHUNK)
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
    import asyncio

    clock = asyncio.get_running_loop().time
    iterator = aiter(chunks)
    waited, size = 0.0, 0
    while True:
        began = clock()
        try:
            chunk = await anext(iterator)
        except StopAsyncIteration:
            return
        waited, size = waited + clock() - began, size + len(chunk)
        if waited >= window:
            if size < MIN_TRANSFER_RATE * waited:
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
