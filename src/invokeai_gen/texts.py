"""Text that others wrote, in messages and in front of people: short, printable, and possible to encode."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

MAX_SHOWN: Final = 80
"""Characters of a value in a message."""
MAX_PLAIN: Final = 600
"""Characters of a label, a description or a name."""


def shortened(text: str, limit: int = MAX_SHOWN, *, tail: int = 19) -> str:
    """Return at most `limit` characters of a text: the last `tail` ones stay, and `…` replaces what is cut out."""
    return text if len(text) <= limit else f"{text[: limit - tail - 1]}…{text[len(text) - tail :]}"


def shown(value: object, limit: int = MAX_SHOWN) -> str:
    """Return a value for a message: its `repr` on one line, with the middle cut out if it is long."""
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value)} bytes>"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - any class; and Python refuses integers of 4,300 digits and deep lists
        text = f"<{type(value).__name__}>"
    return shortened(" ".join(map(str.strip, text.split("\n"))), limit)


def plain(text: object, limit: int = MAX_PLAIN) -> str:
    """Return at most `limit` characters of a text on one line, without control and formatting characters."""
    line = str(text)
    if not line.isprintable():
        line = "".join(char if char.isprintable() else " " for char in line)
    return shortened(collapsed(line), limit, tail=0)


def first_of(lines: Sequence[str], most: int) -> list[str]:
    """Return the lines; of more than `most` the first ones, and how many are left out."""
    left_out = len(lines) - most
    return [*lines[:most], f"and {left_out} more"] if left_out > 0 else [*lines]


def collapsed(text: str) -> str:
    """Return the text on one line: white space and line breaks become single spaces."""
    return " ".join(text.split())


def printable(text: str, *, keep: str = "") -> str:
    """Return the text with control, format and line-end characters escaped (escape codes, bidi controls …), not `keep`."""
    if text.isprintable():
        return text
    return "".join(character if character in keep else _printable(character) for character in text)


def printable_lines(text: str) -> str:
    """Do the same as `printable`, but keep line feeds and tabs."""
    return printable(text, keep="\n\t")


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] != "C" and category not in ("Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode("ascii")
