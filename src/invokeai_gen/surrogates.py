"""Unpaired surrogates: JSON can name them (`"\\ud800"`), but UTF-8, and so a request or a file, cannot hold them."""

from __future__ import annotations


def is_encodable(text: str) -> bool:
    """Return whether UTF-8 can hold the text."""
    return text.isascii() or text.encode("utf-8", "ignore").decode() == text


def escape_surrogates(text: str) -> str:
    """Return the text with each unpaired surrogate as the six characters `\\ud800`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
