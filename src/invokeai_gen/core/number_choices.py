"""The check of a choice whose options are not all texts, which few inputs have."""

from __future__ import annotations

from typing import Any

from pydantic_core import CoreSchema, PydanticKnownError, core_schema


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
