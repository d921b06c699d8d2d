"""Writing a plan: as JSON data, and as text whose diffs stay readable."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cache
from typing import Any, Final

_JSON: Final = json.JSONEncoder(ensure_ascii=False).encode
_PLAIN: Final = (str, bool, int, float, dict)
"""What JSON writes as it is."""


def text(value: Any, levels: int) -> str:
    """Return JSON text with line breaks in the outermost levels only; the fast encoder of `json` writes the rest."""
    if not value or not levels or not isinstance(value, (dict, list)):
        return _JSON(value)
    if isinstance(value, list):
        # What is in a list stays together: a node, an edge, an input.
        lines = [_JSON(item) for item in value]
    else:
        lines = [f"{_JSON(key)}: {text(item, levels - 1)}" for key, item in value.items()]
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{closing}"


def encode(item: Any) -> dict[str, Any]:
    """Return a dataclass as a dict, without the fields that have their default value."""
    encoded: dict[str, Any] = {}
    for name, default in _defaults_of(item.__class__):
        value = getattr(item, name)
        if value is default or (value.__class__ is default.__class__ and value == default):
            continue
        encoded[name] = value if value.__class__ in _PLAIN else _encode_value(value)
    return encoded


def _encode_value(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return encode(value)
    return [_encode_value(item) for item in value] if isinstance(value, tuple) else value


@cache
def _defaults_of(cls: type) -> tuple[tuple[str, Any], ...]:
    """Return the fields of a dataclass with their defaults."""
    return tuple(
        (spec.name, spec.default_factory() if callable(spec.default_factory) else spec.default) for spec in fields(cls)
    )
