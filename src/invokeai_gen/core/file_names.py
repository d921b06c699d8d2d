"""Names of files and folders that are valid on every system, made from untrusted text."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_NAME_BYTES: Final = 200
"""Bytes of a name in UTF-8. Systems allow 255; the rest is for suffixes that callers and tools add."""

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff<>:"/\\|?*]')
EDGES: Final = ". \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""Dots and spaces, which no name may begin or end with."""
_SUFFIX: Final = re.compile(r"\.[0-9A-Za-z_-]{1,16}\Z")


def safe_text(text: str) -> str:
    """Return a text as part of a name, in NFC: without path separators and forbidden, invisible or bidi characters.

    It is not shortened, and its ends are left to `safe_name`.
    """
    if not text.isascii():
        text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", _UNSAFE.sub("_", text))


def safe_name(text: str, *, limit: int = MAX_NAME_BYTES) -> str:
    """Return a text as a file or folder name that is valid on Linux, macOS and Windows; never empty, `.` or `..`.

    It has at most `limit` bytes in UTF-8, is cut before a suffix such as `.png` and never within a character, has no
    dots or spaces at its ends, and is not one of the device names that Windows reserves.
    """
    name = _cut_name(safe_text(text).strip(EDGES), limit) or "output"
    return _cut_name(f"_{name}", limit) if is_reserved(name) else name


def is_reserved(name: str) -> bool:
    """Return whether Windows reserves a name for a device, whatever suffix it has: `con`, `NUL.png`, `com1 .txt`."""
    from pathvalidate import FileNameValidator

    reserved = {*FileNameValidator(platform="universal").reserved_keywords, "CONIN$", "CONOUT$"}
    return name.partition(".")[0].rstrip().upper() in reserved


def cut(text: str, limit: int) -> str:
    """Return the beginning of a text in at most `limit` bytes of UTF-8; an accent stays with its letter."""
    data = text.encode()
    if len(data) <= limit:
        return text
    kept = data[: max(limit, 0)].decode("utf-8", "ignore")
    end = len(kept)
    while end and _is_combining(text[end]):
        end -= 1
    return kept[: end or len(kept)].rstrip(EDGES)


def _cut_name(name: str, limit: int) -> str:
    found = _SUFFIX.search(name) if len(name.encode()) > limit else None
    suffix = found.group() if found else ""
    return cut(name.removesuffix(suffix), limit - len(suffix)) + suffix


def _is_combining(char: str) -> bool:
    """Return whether a character modifies the one before it: accents, variation selectors, skin tones of emoji."""
    return unicodedata.category(char).startswith("M") or "\U0001f3fb" <= char <= "\U0001f3ff"
