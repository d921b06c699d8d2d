"""Which Python values a field of a workflow takes.

`shape_of` says what an input accepts. Generated modules render that shape as an annotation; `validator_for` turns the
same shape into a check at run time, for values that come without a generated module (`payload --set`, opened workflows).
`allowed_values` says it in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic_core import CoreConfig, SchemaValidator, ValidationError

from invokeai_gen.core import checks, problems
from invokeai_gen.core.checks import Limits
from invokeai_gen.core.json_writing import file_value, may_be_none
from invokeai_gen.core.plan import FieldLimits, PlannedInput
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import (
    BoardInput,
    BoundingBox,
    ColorInput,
    ImageInput,
    Input,
    LoRA,
    ModelInput,
    VideoInput,
)
from invokeai_gen.js_json import UNSET, Unset, is_encodable
from invokeai_gen.limits import LENGTH_LIMITS, NUMBER_LIMITS, ModelLimits
from invokeai_gen.texts import collapsed

_MAX_CHOICES: Final = 12

_AS_THE_SERVER: Final = CoreConfig(coerce_numbers_to_str=True)
"""As InvokeAI itself: a text field accepts a number, and an integer field accepts `64.0`."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A type that has a name of its own: `int`, `ImageInput`, `None` …"""

    name: str


@dataclass(frozen=True, slots=True)
class Structure:
    """A value type of the schema that the GUI cannot edit, such as `SAMPointsField`. At run time: any JSON object."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a fixed set of values."""

    options: tuple[str | int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class Limited:
    """A shape with limits, by pydantic's names for them."""

    shape: Shape
    limits: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """A collection."""

    item: Shape


@dataclass(frozen=True, slots=True)
class OneOf:
    """Any of several shapes."""

    members: tuple[Shape, ...]


Shape: TypeAlias = Plain | Structure | Choice | Limited | ListOf | OneOf
NONE: Final = Plain("None")

_PLAIN_TYPES: Final[Mapping[str, str]] = {
    "IntegerField": "int",
    "FloatField": "float",
    "StringField": "str",
    "BooleanField": "bool",
    "EnumField": "str",
    "SchedulerField": "str",
    "SavedWorkflowField": "str",
    "ImageField": "ImageInput",
    "VideoField": "VideoInput",
    "BoardField": "BoardInput",
    "ModelIdentifierField": "ModelInput",
    "ColorField": "ColorInput",
    "BoundingBoxField": "BoundingBox",
    "LoRAField": "LoRA",
    "AnyField": "Any",
    "CollectionField": "Any",
    "CollectionItemField": "Any",
    "FloatGeneratorField": "dict[str, Any]",
    "IntegerGeneratorField": "dict[str, Any]",
    "StringGeneratorField": "dict[str, Any]",
    "ImageGeneratorField": "dict[str, Any]",
}
_RUNTIME_TYPES: Final[Mapping[str, Any]] = {
    "None": None,
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "Any": Any,
    "dict[str, Any]": dict[str, Any],
    "ImageInput": ImageInput,
    "VideoInput": VideoInput,
    "BoardInput": BoardInput,
    "ModelInput": ModelInput,
    "ColorInput": ColorInput,
    "BoundingBox": BoundingBox,
    "LoRA": LoRA,
}

_LENGTHS_OF_ITEMS: Final = {"min_items": "min_length", "max_items": "max_length"}
"""pydantic has one name for the size of a text and of a list."""
_LIMITS_OF: Final = {"int": NUMBER_LIMITS, "float": NUMBER_LIMITS, "str": LENGTH_LIMITS}


def shape_of(planned: PlannedInput) -> Shape:
    """Return what the input accepts, including `None` if it may stay empty."""
    item = _item_shape(planned)
    many = _limited(ListOf(item), planned, _LENGTHS_OF_ITEMS)
    if planned.cardinality == "COLLECTION":
        shape: Shape = many
    elif planned.cardinality == "SINGLE_OR_COLLECTION":
        shape = OneOf((item, many))
    else:
        shape = item
    if not may_be_none(planned):
        return shape
    return OneOf((*shape.members, NONE)) if isinstance(shape, OneOf) else OneOf((shape, NONE))


def runtime_type(shape: Shape) -> Any:
    """Return the shape as the type that a generated module is annotated with."""
    match shape:
        case Plain(name):
            return _RUNTIME_TYPES[name]
        case Structure():
            return dict[str, Any]
        case Choice(options):
            return Literal[options]
        case Limited(inner, limits):
            keywords: dict[str, Any] = dict(limits)
            return Annotated[runtime_type(inner), Limits(**keywords)]
        case ListOf(item):
            return list[runtime_type(item)]  # type: ignore[misc]
        case OneOf(members):
            return reduce(or_, (runtime_type(member) for member in members))


def validator_for(planned: PlannedInput) -> SchemaValidator:
    """Return a check of values for the input; it raises pydantic's `ValidationError`."""
    limits = model_limits(planned)
    return _validator(shape_of(planned), Input(0, "", "", "", base=limits.base, type=limits.type))


@cache
def batch_item_validator(limits: FieldLimits) -> SchemaValidator | None:
    """Return a check whether the server accepts a value in a field; `None` if only the server knows."""
    shape = _item_shape(limits)
    inner = shape.shape if isinstance(shape, Limited) else shape
    if not isinstance(inner, Choice) and inner not in (Plain("int"), Plain("float"), Plain("str"), Plain("bool")):
        return None
    return checks.validator(runtime_type(shape), _AS_THE_SERVER)


@cache
def _validator(shape: Shape, models: Input) -> SchemaValidator:
    kind: Any = runtime_type(shape)
    return checks.validator(Annotated[kind, models])


def check_value(planned: PlannedInput, value: Any) -> Any:
    """Return the value as the input holds it. Raises `ParamsError`, which uses the labels of the GUI."""
    problems.settable(planned.name, {planned.name: planned})
    try:
        return validator_for(planned).validate_python(checks.without_numpy(value))
    except ValidationError as error:
        raise ParamsError([problems.invalid(planned, error)]) from None


def model_limits(planned: PlannedInput) -> ModelLimits:
    """Return which models the input accepts: those that the schema allows, and the kind of the one in the file."""
    limits, value = planned.models, planned.value
    if not isinstance(value, dict):
        return limits
    base, kind = value.get("base"), value.get("type")
    return replace(
        limits,
        base=(*limits.base, base) if limits.base and base and base not in limits.base else limits.base,
        type=(*limits.type, kind) if limits.type and kind and kind not in limits.type else limits.type,
    )


def input_of(planned: PlannedInput) -> Input:
    """Return the input as the annotation in a generated module has it, with its Python name."""
    models = model_limits(planned)
    return Input(
        planned.index,
        node=planned.node_id,
        field=planned.field_name,
        label=planned.label,
        base=models.base,
        type=models.type,
        variant=models.variant,
        format=models.format,
        fed_by=planned.fed_by,
        name=planned.name,
    )


def default_of(planned: PlannedInput) -> Any | Unset:
    """Return the default of an input; `UNSET` if the caller must give a value."""
    value = file_value(planned)
    if planned.value is not UNSET and planned.value is not None and value is not UNSET:
        try:
            validator_for(planned).validate_python(value)
        except (AttributeError, KeyError, TypeError, ValueError):
            return UNSET  # a value that its own field could not hold, kept by a hand-made file
    return value


def _item_shape(planned: PlannedInput | FieldLimits) -> Shape:
    """Return the shape of one value, also for a collection."""
    options = tuple(option for option in planned.choices if not isinstance(option, str) or is_encodable(option))
    if options:
        return Choice(options)
    name = _PLAIN_TYPES.get(planned.field_type)
    if name is None:
        # If the file has a value, only the server knows whether a structure fits it.
        has_value = isinstance(planned, PlannedInput) and planned.value is not UNSET
        return Plain("dict[str, Any]") if has_value else Structure(planned.field_type)
    return _limited(Plain(name), planned, {limit: limit for limit in _LIMITS_OF.get(name, ())})


def _limited(shape: Shape, planned: PlannedInput | FieldLimits, names: Mapping[str, str]) -> Shape:
    """Return the shape with those limits of the input that apply to it, by pydantic's names."""
    limits = tuple((names[limit], value) for limit, value in planned.constraints.items() if limit in names)
    return Limited(shape, limits) if limits else shape


def allowed_values(planned: PlannedInput, names: Mapping[Shape, str] = {}) -> Iterable[str]:
    """Yield what the input accepts, beyond its type."""
    for part in parts_of(shape_of(planned)):
        if isinstance(part, Limited):
            if isinstance(part.shape, ListOf):
                yield _sizes(dict(part.limits), "item")
            elif any(name.endswith("_length") for name, _ in part.limits):
                yield _sizes(dict(part.limits), "character")
            else:
                yield problems.range_text(part.limits)
        elif isinstance(part, Choice):
            yield _choices(part, planned, names)
    if planned.field_type == "ModelIdentifierField":
        limits = model_limits(planned).items()
        words = ", ".join(f"{noun} {' or '.join(map(collapsed, allowed))}" for noun, allowed in limits)
        if words:
            yield f"A model of {words}"


def parts_of(shape: Shape) -> Iterable[Shape]:
    """Yield the shape and all shapes inside it, outermost first."""
    yield shape
    match shape:
        case OneOf(members):
            for member in members:
                yield from parts_of(member)
        case Limited(inner) | ListOf(inner):
            yield from parts_of(inner)
        case _:
            return


def _sizes(limits: dict[str, float], noun: str) -> str:
    low, high = int(limits.get("min_length", 0)), limits.get("max_length")
    if high is None:
        return f"At least {low} {noun}{'' if low == 1 else 's'}"
    return f"{low} to {int(high)} {noun}s" if low else f"At most {int(high)} {noun}s"


def _choices(choice: Choice, planned: PlannedInput, names: Mapping[Shape, str]) -> str:
    labels, many = planned.choice_labels, len(choice.options)
    if many > _MAX_CHOICES and not labels:
        named = names.get(choice)
        return f"One of the {many} choices of `{named}`" if named else f"One of {many} choices"
    return "One of " + ", ".join(
        f"`{option!r}` ({collapsed(labels[str(option)])})" if labels.get(str(option)) else f"`{option!r}`"
        for option in choice.options
    )
