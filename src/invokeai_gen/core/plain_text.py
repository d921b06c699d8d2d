"""Text of workflows and servers for people and agents: bounded, on one line, and without control characters."""

from __future__ import annotations

from typing import Any, Final

MAX_TEXT: Final = 600
"""Characters of a label, a description or a name."""
MAX_DEFAULT: Final = 4000
"""Characters of a default value; a longer one still applies, but is not shown."""


def plain(text: object, limit: int = MAX_TEXT) -> str:
    """Return text on one line, without control and formatting characters, cut to `limit` characters."""
    words = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def plain_lines(text: object, limit: int = 10 * MAX_TEXT) -> str:
    """Return text of several lines, each of them `plain`."""
    return plain_cut("\n".join(plain(line, limit) for line in str(text).splitlines()), limit)


def plain_cut(text: str, limit: int) -> str:
    """Return text cut to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema whose titles, descriptions, choices and defaults are plain.

    A list of choices that are not plain becomes a type, and a default that is not plain is left out: what the agent
    sends has to match them character by character.
    """
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("title", "description"):
            found[key] = plain(value)
        elif key == "enum" and not all(_is_plain(item, MAX_TEXT) for item in value):
            found.setdefault("type", "string")
        elif key == "default" and not _is_plain(value, MAX_DEFAULT):
            continue
        elif key == "properties":
            found[key] = {name: plain_schema(part) for name, part in value.items()}
        elif isinstance(value, dict) and key != "default":
            found[key] = plain_schema(value)
        elif isinstance(value, list) and key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            found[key] = [plain_schema(part) for part in value]
        else:
            found[key] = value
    return found


def _is_plain(value: Any, limit: int) -> bool:
    if isinstance(value, str):
        return len(value) <= limit and all(char.isprintable() or char in "\n\t" for char in value)
    if isinstance(value, dict):
        return all(_is_plain(part, limit) for pair in value.items() for part in pair)
    return not isinstance(value, list) or all(_is_plain(item, limit) for item in value)
