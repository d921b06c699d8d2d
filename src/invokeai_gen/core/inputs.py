"""`Input`: ties an attribute of `Params` to a field of a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import CoreSchema, core_schema

from invokeai_gen.core.checks import Check
from invokeai_gen.core.values import ModelRef


@dataclass(frozen=True, slots=True)
class Input(Check):
    """The field of a node that a parameter sets, and its label in the GUI. Metadata in `Annotated`."""

    index: int
    """Position in the form, counted from 0."""
    node: str
    field: str
    label: str
    base: tuple[str, ...] = ()
    """Model bases that the field accepts, with `type`, `variant` and `format` alike; empty means any."""
    type: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    format: tuple[str, ...] = ()
    fed_by: str | None = None
    """The node whose output feeds the field, which therefore cannot be set."""
    name: str = ""
    """The Python name; `params` fills it in."""

    def __repr__(self) -> str:
        """Return what a reader of an annotation needs; the rest is in the attributes."""
        return f"Input({self.index}, label={self.label!r})"

    @property
    def binding(self) -> tuple[str, str]:
        """`(node id, field name)`, which identifies the input independent of its label."""
        return self.node, self.field

    def core_schema(self, inner: Callable[[], CoreSchema]) -> CoreSchema:
        """Return the check of the type itself; for a model, its base and type are checked after that, if they are known.

        A model that is given by name alone is looked up when the workflow is submitted.
        """
        if self.base or self.type:
            return core_schema.no_info_after_validator_function(self._check_model, inner())
        return inner()

    def _check_model(self, value: Any) -> Any:
        if isinstance(value, ModelRef):
            for given, allowed, noun in ((value.base, self.base, "base"), (value.type, self.type, "type")):
                if given not in ("", "any") and allowed and given not in allowed:
                    raise ValueError(f"Input should be a model of {noun} {' or '.join(allowed)}, not {given}")
        return value
