"""The texts that a PNG file carries beside its pixels, where InvokeAI stores how the image was made."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
WORKFLOW_KEY: Final = "invokeai_workflow"
"""The workflow as the editor had it. If a batch or a sweep varied values, those of its first run."""
GRAPH_KEY: Final = "invokeai_graph"
"""The graph that made this image, with the values of its own run."""
MAX_TEXT_BYTES: Final = 64 * 2**20
"""Far above any workflow, far below what a compressed text of a hostile file could unpack to."""


class PngError(ValueError):
    """A file that is not a PNG, or damaged before its texts end."""


def png_texts(data: bytes) -> dict[str, str]:
    """Return the texts of a PNG file by keyword; of two with one keyword the first. The pixels are not looked at.

    Raises `PngError` for anything else than a PNG file, and for texts beyond `MAX_TEXT_BYTES`.
    """
    if not data.startswith(PNG_SIGNATURE):
        raise PngError("not a PNG file")
    found: dict[str, str] = {}
    for kind, content in _chunks(data):
        if kind in _READERS:
            keyword, _, rest = content.partition(b"\0")
            try:
                found.setdefault(keyword.decode("latin-1"), _READERS[kind](rest))
            except (IndexError, UnicodeDecodeError, zlib.error) as error:
                raise PngError(f"a damaged text in the PNG file: {error}") from error
    return found


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(PNG_SIGNATURE)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if place + 12 + length > len(data):
            raise PngError("the PNG file is cut off")
        yield kind, data[place + 8 : place + 8 + length] if kind in _READERS else b""
        if kind == b"IEND":
            return
        place += 12 + length
    raise PngError("the PNG file is cut off")


def _text(content: bytes) -> str:
    return content.decode("latin-1")


def _compressed_text(content: bytes) -> str:
    return _unpacked(content[1:]).decode("latin-1")


def _international_text(content: bytes) -> str:
    is_compressed, rest = content[0], content[2:]
    _language, _, rest = rest.partition(b"\0")
    _keyword, _, text = rest.partition(b"\0")
    return (_unpacked(text) if is_compressed else text).decode("utf-8")


def _unpacked(content: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(content, MAX_TEXT_BYTES)
    if unpacker.unconsumed_tail:
        raise PngError(f"a text in the PNG file is larger than {MAX_TEXT_BYTES // 2**20} MiB")
    return data


_READERS: Final = {b"tEXt": _text, b"zTXt": _compressed_text, b"iTXt": _international_text}
