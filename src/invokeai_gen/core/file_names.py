"""Names of files and folders that every system takes, made from texts that anyone may have written."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_NAME_BYTES: Final = 200
"""How long a name may be in UTF-8. Systems take 255; the rest is for what a caller or a tool puts behind it."""

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff<>:"/\\|?*]')
_EDGES: Final = ". \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_SUFFIX: Final = re.compile(r"\.[0-9A-Za-z_-]{1,16}\Z")
_DEVICE: Final = re.compile(
    r"(?:CON|PRN|AUX|NUL|CLOCK\$|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:\.|\Z)", re.IGNORECASE
)


def safe_text(text: str) -> str:
    """A text as a part of a name: no separators of folders, no characters that are forbidden, invisible or reorder text.

    In NFC, as long as it is; what may not stand at the beginning or end of a name is left to `safe_name`.
    """
    if not text.isascii():
        text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", _UNSAFE.sub("_", text))


def safe_name(text: str, *, limit: int = MAX_NAME_BYTES) -> str:
    """A text as the name of a file or folder that Linux, macOS and Windows take; never empty, `.` or `..`.

    At most `limit` bytes in UTF-8, cut before a suffix such as `.png` and never within a character; no dots or spaces
    at its ends, and none of the names that Windows keeps for devices.
    """
    name = _cut_name(safe_text(text).strip(_EDGES), limit) or "output"
    return _cut_name(f"_{name}", limit) if _DEVICE.match(name) else name


def cut(text: str, limit: int) -> str:
    """The beginning of a text in at most `limit` bytes of UTF-8, without half of a letter with its accents."""
    data = text.encode()
    if len(data) <= limit:
        return text
    kept = data[: max(limit, 0)].decode("utf-8", "ignore")
    end = len(kept)
    while end and _belongs_to_the_one_before(text[end]):
        end -= 1
    return kept[: end or len(kept)].rstrip(_EDGES)


def edges_off(text: str) -> str:
    """The text without the dots and spaces at its ends."""
    return text.strip(_EDGES)


def _cut_name(name: str, limit: int) -> str:
    found = _SUFFIX.search(name) if len(name.encode()) > limit else None
    suffix = found.group() if found else ""
    return cut(name.removesuffix(suffix), limit - len(suffix)) + suffix


def _belongs_to_the_one_before(char: str) -> bool:
    """Accents, variation selectors and the like, and the skin tones of emoji."""
    return unicodedata.category(char).startswith("M") or "\U0001f3fb" <= char <= "\U0001f3ff"
