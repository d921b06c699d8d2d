"""`Input`: ties an attribute of `Params` to a field of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic_core import CoreSchema

from invokeai_gen.core.checks import Check
from invokeai_gen.core.model_check import ModelCheck


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
        """Return the check of the type itself, and for a model the one of its base and type after it."""
        return ModelCheck(self.base, self.type).core_schema(inner)


class HasInputs(Protocol):
    """A class of parameters, as far as `params_json` and `json_schema` need to know it: a `WorkflowParams`."""

    __inputs__: ClassVar[Mapping[str, Input]]
    __plan__: ClassVar[Any]
