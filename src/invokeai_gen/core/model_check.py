"""The check whether a model is of a base and type that an input accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import CoreSchema, core_schema

from invokeai_gen.core.checks import Check
from invokeai_gen.core.values import ModelRef


@dataclass(frozen=True, slots=True)
class ModelCheck(Check):
    """Refuse a model that is known to be of another base or type. Stands in `Annotated`.

    A model that is given by name alone is looked up when the workflow is submitted. An empty tuple accepts any.
    """

    base: tuple[str, ...] = ()
    type: tuple[str, ...] = ()

    def core_schema(self, inner: Callable[[], CoreSchema]) -> CoreSchema:
        """Return the check of the type itself, with this one after it if there is anything to check."""
        if self.base or self.type:
            return core_schema.no_info_after_validator_function(self._check, inner())
        return inner()

    def _check(self, value: Any) -> Any:
        if isinstance(value, ModelRef):
            for given, allowed, noun in ((value.base, self.base, "base"), (value.type, self.type, "type")):
                if given not in ("", "any") and allowed and given not in allowed:
                    raise ValueError(f"Input should be a model of {noun} {' or '.join(allowed)}, not {given}")
        return value
