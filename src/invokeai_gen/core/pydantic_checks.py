"""Checks of annotations that only pydantic itself knows, and our limits for libraries that know annotated-types."""

from __future__ import annotations

from types import GenericAlias
from typing import Any, Final, cast

import annotated_types
from pydantic import ConfigDict, TypeAdapter
from pydantic_core import CoreConfig, CoreSchema, SchemaValidator, core_schema

_LIMITS: Final[dict[str, Any]] = {
    "ge": annotated_types.Ge,
    "gt": annotated_types.Gt,
    "le": annotated_types.Le,
    "lt": annotated_types.Lt,
    "multiple_of": annotated_types.MultipleOf,
    "min_length": annotated_types.MinLen,
    "max_length": annotated_types.MaxLen,
}


def annotated_limit(name: str, value: float) -> object:
    """Return one of our `Limits` as annotated-types has it."""
    return _LIMITS[name](value)


def schema_by_pydantic(hint: Any, strict: CoreConfig) -> CoreSchema:
    """Return the check that pydantic builds for a hint, as strict as `strict` says of other checks."""
    # As an item of a list, because an adapter of a class that could have a configuration of its own takes none.
    config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    several: Any = GenericAlias(list, (hint,))
    schema: Any = TypeAdapter(several, config=config).core_schema
    if schema["type"] == "definitions":
        # Two fields may define the same, which the core refuses within one check: each has one of its own.
        whole = core_schema.definitions_schema(schema["schema"]["items_schema"], schema["definitions"])
        return core_schema.no_info_plain_validator_function(SchemaValidator(whole, strict).validate_python)
    return cast("CoreSchema", schema["items_schema"])
