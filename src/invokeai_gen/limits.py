"""Limits of values: JSON Schema's keywords, and pydantic's names for them, which we use everywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final

KEYWORDS: Final[Mapping[str, str]] = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
}
NUMBER_LIMITS: Final = frozenset({"ge", "gt", "le", "lt", "multiple_of"})
LENGTH_LIMITS: Final = frozenset({"min_length", "max_length"})
"""Of a text, in characters."""
ITEM_LIMITS: Final = frozenset({"min_items", "max_items"})
"""Of a collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueLimits:
    """Limits of a number, or of the length of a text or list; `None` means no limit."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None

    def items(self) -> Iterator[tuple[str, float]]:
        """Yield the limits that are set, in declaration order."""
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is not None:
                yield spec.name, value


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """Which models a model field accepts. An empty tuple means any."""

    base: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    format: tuple[str, ...] = ()

    def items(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the limits that are set."""
        return ((spec.name, getattr(self, spec.name)) for spec in fields(self) if getattr(self, spec.name))


ANY_MODEL: Final = ModelLimits()
