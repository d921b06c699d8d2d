"""Checks that few annotations need: choices that are not texts, annotations that only pydantic itself knows.

Our limits for libraries that know annotated-types are here, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import GenericAlias
from typing import Any, cast

from pydantic_core import CoreConfig, CoreSchema, PydanticKnownError, SchemaValidator, core_schema

from invokeai_gen.limits import ValueLimits


def annotated_limits(limits: ValueLimits) -> Iterator[object]:
    """Yield limits as annotated-types has them."""
    from annotated_types import Interval, Len, MultipleOf

    yield from Interval(ge=limits.ge, gt=limits.gt, le=limits.le, lt=limits.lt)
    if limits.multiple_of is not None:
        yield MultipleOf(limits.multiple_of)
    yield from Len(limits.min_length or 0, limits.max_length)


def choice_schema(options: tuple[Any, ...]) -> CoreSchema:
    """Return the check of a choice. Unlike pydantic and the server, it refuses `True` and `1.0` for 1 if it is strict."""
    choice = core_schema.literal_schema([*options])
    others = tuple({bool, float}.difference(map(type, options)))
    listed = ", ".join(map(repr, options[:-1]))

    def refuse_others(value: Any) -> Any:
        if isinstance(value, others):
            expected = f"{listed} or {options[-1]!r}" if listed else repr(options[-1])
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value

    strict = core_schema.no_info_before_validator_function(refuse_others, choice)
    return core_schema.lax_or_strict_schema(choice, strict)


def schema_by_pydantic(hint: Any, strict: CoreConfig) -> CoreSchema:
    """Return the check that pydantic builds for a hint, as strict as `strict` says of other checks."""
    from pydantic import ConfigDict, TypeAdapter

    # As an item of a list, because an adapter of a class that could have a configuration of its own takes none.
    config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    several: Any = GenericAlias(list, (hint,))
    schema: Any = TypeAdapter(several, config=config).core_schema
    if schema["type"] == "definitions":
        # Two fields may define the same, which the core refuses within one check: each has one of its own.
        whole = core_schema.definitions_schema(schema["schema"]["items_schema"], schema["definitions"])
        return core_schema.no_info_plain_validator_function(SchemaValidator(whole, strict).validate_python)
    return cast("CoreSchema", schema["items_schema"])
