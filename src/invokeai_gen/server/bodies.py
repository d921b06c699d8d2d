"""The body of an answer: decompressed within bounds, given up if it stalls, and refused if its end is missing."""

from __future__ import annotations

import io
import zlib
from collections.abc import AsyncGenerator, AsyncIterable
from typing import BinaryIO, Final

from invokeai_gen.server.constants import CHUNK, MIN_TRANSFER_RATE

ACCEPTED_ENCODING: Final = "gzip"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"


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


def check_complete(data: bytes) -> None:
    """Raise `BodyError` if a file in memory ends too early; see `check_complete_file`."""
    check_complete_file(io.BytesIO(data), len(data))


def check_complete_file(file: BinaryIO, size: int) -> None:
    """Raise `BodyError` if a PNG, WebP or MP4 file ends too early; other formats are not judged.

    An answer without a length that breaks off looks like one that is complete.
    """
    file.seek(0)
    head = file.read(16)
    if head.startswith(_PNG):
        file.seek(max(0, size - len(_PNG_END)))
        is_cut = file.read() != _PNG_END
    elif head[:4] == b"RIFF":
        is_cut = size < int.from_bytes(head[4:8], "little") + 8
    elif head[4:8] == b"ftyp":
        is_cut = _is_cut_mp4(file, size)
    else:
        is_cut = not size
    if is_cut:
        raise BodyError(f"only {size} bytes of the file arrived", is_cut=True)


def _is_cut_mp4(file: BinaryIO, size: int) -> bool:
    """Whether the boxes that an MP4 file consists of end behind its end."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 0 and len(head) >= 8:  # up to the end of the file
            return False
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            return True
        place += length
    return place > size
