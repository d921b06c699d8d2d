"""From annotations to checks, as pydantic would build them, but without loading pydantic.

Importing pydantic takes longer than everything else that a generated module needs, and its core (`pydantic_core`) does
all the checking. So the annotations of generated modules are translated for the core here; any other is left to
pydantic, which is loaded then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin

from pydantic_core import CoreConfig, CoreSchema, SchemaValidator, core_schema

from invokeai_gen.limits import LENGTH_LIMITS, NUMBER_LIMITS, ValueLimits

STRICT: Final = CoreConfig(strict=True, extra_fields_behavior="forbid", allow_inf_nan=False)
"""Nothing is coerced: `"768"` and `True` are not integers. Only an integer is accepted as a float."""


class Check:
    """Metadata in `Annotated` that decides which values are accepted. pydantic understands it too."""

    __slots__ = ()

    def core_schema(self, inner: Callable[[], CoreSchema]) -> CoreSchema:
        """Return the check: around `inner`, the check of the type before it, or instead of it."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        return self.core_schema(lambda: handler(source))


class Instance:
    """Base of classes that are accepted as instances only and never built from a dict, by pydantic as well."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.is_instance_schema(cls)


class Limits(ValueLimits):
    """Limits of a number, or of the length of a text or list. Metadata in `Annotated`; `None` means no limit.

    Libraries that know annotated-types (pydantic, hypothesis …) understand it.
    """

    __slots__ = ()
    __is_annotated_types_grouped_metadata__ = True

    def __repr__(self) -> str:
        return f"Limits({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def __iter__(self) -> Iterator[object]:
        from invokeai_gen.core.rare_checks import annotated_limits

        return annotated_limits(self)


_LIMITS_OF: Final[Mapping[object, frozenset[str]]] = {
    int: NUMBER_LIMITS,
    float: NUMBER_LIMITS,
    str: LENGTH_LIMITS,
    list: LENGTH_LIMITS,
}
_MAX_INT: Final = int(sys.float_info.max)
"""The GUI's numbers are doubles: a larger integer cannot be sent."""
_SIMPLE: Final[Mapping[object, Callable[[], CoreSchema]]] = {
    Any: core_schema.any_schema,
    None: core_schema.none_schema,
    NoneType: core_schema.none_schema,
    bool: core_schema.bool_schema,
    float: core_schema.float_schema,
    int: partial(core_schema.int_schema, ge=-_MAX_INT, le=_MAX_INT),
    str: core_schema.str_schema,
}


def without_numpy(value: Any) -> Any:
    """Return the numbers, booleans and lists of numbers of numpy as Python's own; anything else as it is.

    Arrays with more than one dimension stay, because they may be images. numpy is not imported.
    """
    if type(value) is list:
        return [without_numpy(item) for item in value] if any(_is_of_numpy(item) for item in value) else value
    return value.tolist() if _is_of_numpy(value) and value.ndim < 2 else value


def _is_of_numpy(value: object) -> bool:
    return type(value).__module__ == "numpy" and hasattr(value, "tolist")


def core_schema_of(hint: Any) -> CoreSchema:
    """Return the check of a type hint as a schema of pydantic's core."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(hint, arguments[0], hint.__metadata__)
    if origin is Union or origin is UnionType:
        return _union(arguments)
    if origin is Literal:
        if any(not isinstance(choice, str) for choice in arguments):
            from invokeai_gen.core.rare_checks import choice_schema

            return choice_schema(arguments)
        return core_schema.literal_schema([*arguments])
    if origin is list:
        return core_schema.list_schema(core_schema_of(arguments[0]))
    if origin is dict:
        return core_schema.dict_schema(*(core_schema_of(argument) for argument in arguments))
    if origin is None and isinstance(hint, type) and issubclass(hint, Instance):
        return core_schema.is_instance_schema(hint)
    simple = _SIMPLE.get(hint)
    return simple() if simple is not None else _by_pydantic(hint)


def validator(hint: Any, config: CoreConfig = STRICT) -> SchemaValidator:
    """Return a check of values of a type, which raises pydantic's `ValidationError`."""
    return SchemaValidator(core_schema_of(hint), config)


def dataclass_schema(cls: type, hints: Mapping[str, Any]) -> CoreSchema:
    """Return the check of all fields of a dataclass, which also fills in the defaults."""
    checked = [core_schema.dataclass_field(item.name, _with_default(item, hints[item.name])) for item in fields(cls)]
    arguments = core_schema.dataclass_args_schema(cls.__name__, checked)
    return core_schema.dataclass_schema(cls, arguments, [item["name"] for item in checked], config=STRICT)


def _with_default(item: Any, hint: Any) -> CoreSchema:
    schema = core_schema_of(hint)
    if item.default is not MISSING:
        return core_schema.with_default_schema(schema, default=item.default)
    if item.default_factory is not MISSING:
        return core_schema.with_default_schema(schema, default_factory=item.default_factory)
    return schema


def _annotated(hint: Any, inner: Any, metadata: tuple[Any, ...]) -> CoreSchema:
    """Return the check of an annotated type: each piece of metadata is a check around those before it."""
    *before, last = metadata
    checked = Annotated[(inner, *before)] if before else inner
    if isinstance(last, Check):
        return last.core_schema(lambda: core_schema_of(checked))
    if isinstance(last, Limits):
        limits = dict(last.items())
        if limits.keys() <= _LIMITS_OF.get(get_origin(checked) or checked, frozenset()):
            return cast("CoreSchema", {**core_schema_of(checked), **limits})
    return _by_pydantic(hint)


def _union(members: tuple[Any, ...]) -> CoreSchema:
    choices = [core_schema_of(member) for member in members if member is not NoneType]
    schema = choices[0] if len(choices) == 1 else core_schema.union_schema([*choices])
    return core_schema.nullable_schema(schema) if NoneType in members else schema


def _by_pydantic(hint: Any) -> CoreSchema:
    from invokeai_gen.core.rare_checks import schema_by_pydantic

    return schema_by_pydantic(hint, STRICT)
