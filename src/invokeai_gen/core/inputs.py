"""`Input`: what ties an attribute of `Params` to a field of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic_core import CoreSchema, core_schema

from invokeai_gen.core.checks import Check
from invokeai_gen.core.values import ModelRef


@dataclass(frozen=True, slots=True)
class Input(Check):
    """Where a parameter goes in the workflow, and what the GUI calls it. Stands in `Annotated`."""

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

    @property
    def binding(self) -> tuple[str, str]:
        """`(node id, field name)`, which identifies the input whatever its label says."""
        return self.node, self.field

    def core_schema(self, inner: Callable[[], CoreSchema]) -> CoreSchema:
        """The check of the type itself, and for a model the one of its base and type after it."""
        if self.base or self.type:
            return core_schema.no_info_after_validator_function(self._check_model, inner())
        return inner()

    def _check_model(self, value: Any) -> Any:
        """Refuse a model that is known to be of another base or type; a name alone is looked up at submission."""
        if isinstance(value, ModelRef):
            for said, allowed, noun in ((value.base, self.base, "base"), (value.type, self.type, "type")):
                if said not in ("", "any") and allowed and said not in allowed:
                    raise ValueError(f"Input should be a model of {noun} {' or '.join(allowed)}, not {said}")
        return value


class HasInputs(Protocol):
    """A class of parameters, as far as `params_json` and `json_schema` need to know it: a `WorkflowParams`."""

    __inputs__: ClassVar[Mapping[str, Input]]
    __plan__: ClassVar[Callable[[], Any] | None]
