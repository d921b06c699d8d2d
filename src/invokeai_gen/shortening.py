"""Long values in messages: the one rule for what is cut out of them."""

from __future__ import annotations

MAX_LENGTH = 80


def shortened(text: str, limit: int = MAX_LENGTH, *, tail: int = 1) -> str:
    """Return a text of at most `limit` characters: the last `tail` ones stay, and `…` stands for what is cut out."""
    return text if len(text) <= limit else f"{text[: limit - tail - 1]}…{text[len(text) - tail :]}"
