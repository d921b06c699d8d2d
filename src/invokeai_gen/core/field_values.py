"""Which Python values a field of a workflow takes, and how they look in JSON: one rule for all that ask.

`shape_of` says what an input accepts. Generated modules render that shape as an annotation; `validator_for` turns the
same shape into a check at run time, for values that come without a generated module (`payload --set`, opened workflows).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic_core import CoreConfig, SchemaValidator, ValidationError

from invokeai_gen.core import checks, problems
from invokeai_gen.core.checks import Limits
from invokeai_gen.core.plan import UNSET, FieldLimits, JsonValue, ModelLimits, PlannedInput, Unset
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import (
    BoardInput,
    BoardRef,
    BoundingBox,
    Color,
    ColorInput,
    ImageInput,
    ImageRef,
    LoRA,
    ModelInput,
    ModelRef,
    VideoInput,
    VideoRef,
    as_color,
)

_AS_THE_SERVER: Final = CoreConfig(coerce_numbers_to_str=True)
"""InvokeAI's own configuration: a number goes into a field of text, and `64.0` into one of integers."""


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
_REFERENCES: Final = frozenset({"ImageField", "VideoField", "ModelIdentifierField", "BoundingBoxField", "LoRAField"})
"""Types that the GUI can empty again after a value was chosen."""

_NUMBER_LIMITS: Final = {name: name for name in ("ge", "gt", "le", "lt", "multiple_of")}
_LENGTH_LIMITS: Final = {name: name for name in ("min_length", "max_length")}
_ITEM_LIMITS: Final = {"min_items": "min_length", "max_items": "max_length"}


def shape_of(planned: PlannedInput) -> Shape:
    """What the input accepts; `None` is part of it where the input may stay empty."""
    item = _item_shape(planned)
    many = _limited(ListOf(item), planned, _ITEM_LIMITS)
    if planned.cardinality == "COLLECTION":
        shape: Shape = many
    elif planned.cardinality == "SINGLE_OR_COLLECTION":
        shape = OneOf((item, many))
    else:
        shape = item
    if not may_be_none(planned):
        return shape
    return OneOf((*shape.members, NONE)) if isinstance(shape, OneOf) else OneOf((shape, NONE))


def may_be_none(planned: PlannedInput) -> bool:
    """Whether `None`, which leaves the field out of the request, is a value of the input."""
    if planned.required or planned.field_type == "BoardField":
        return False
    return planned.value is UNSET or (planned.field_type in _REFERENCES and planned.cardinality == "SINGLE")


def runtime_type(shape: Shape) -> Any:
    """The shape as the type that a generated module is annotated with."""
    match shape:
        case Plain(name):
            return _RUNTIME_TYPES[name]
        case Structure():
            return dict[str, Any]
        case Choice(options):
            return Literal[options]
        case Limited(inner, limits):
            return Annotated[runtime_type(inner), Limits(**cast("dict[str, Any]", dict(limits)))]
        case ListOf(item):
            return list[runtime_type(item)]  # type: ignore[misc]
        case OneOf(members):
            return reduce(or_, (runtime_type(member) for member in members))


def validator_for(planned: PlannedInput) -> SchemaValidator:
    """A check of values for the input; it raises pydantic's `ValidationError`."""
    return _validator(shape_of(planned))


@cache
def batch_item_validator(limits: FieldLimits) -> SchemaValidator | None:
    """A check whether the server could put a value into a field; `None` where only the server can say."""
    shape = _item_shape(limits)
    inner = shape.shape if isinstance(shape, Limited) else shape
    if not isinstance(inner, Choice) and inner not in (Plain("int"), Plain("float"), Plain("str"), Plain("bool")):
        return None
    return checks.validator(runtime_type(shape), _AS_THE_SERVER)


@cache
def _validator(shape: Shape) -> SchemaValidator:
    return checks.validator(runtime_type(shape))


def check_value(planned: PlannedInput, value: Any) -> Any:
    """The value if the input accepts it. Raises `ParamsError`, told in the labels of the GUI."""
    if planned.fed_by is not None:
        raise ParamsError([problems.unsettable(planned.name, {planned.name: planned})])
    try:
        return validator_for(planned).validate_python(value)
    except ValidationError as error:
        raise ParamsError([problems.invalid(planned, error)]) from None


def model_limits(planned: PlannedInput) -> ModelLimits:
    """Which models the input accepts: those of the schema, and the one in the file."""
    limits, value = planned.models, planned.value
    if not isinstance(value, dict):
        return limits
    base, kind = value.get("base"), value.get("type")
    return ModelLimits(
        base=(*limits.base, base) if limits.base and base and base not in limits.base else limits.base,
        type=(*limits.type, kind) if limits.type and kind and kind not in limits.type else limits.type,
        variant=limits.variant,
        format=limits.format,
    )


def default_of(planned: PlannedInput) -> Any | Unset:
    """The value an input has when its caller gives none; `UNSET` where the caller must give one."""
    if planned.value is UNSET or planned.value is None:
        if planned.field_type == "BoardField" and planned.cardinality == "SINGLE":
            return "auto"
        return None if may_be_none(planned) else UNSET
    try:
        value = _value_from_json(planned.field_type, planned.value)
        validator_for(planned).validate_python(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return UNSET  # a value that its own field could not hold, kept by a hand-made file
    return value


def to_json(value: Any, field_type: str = "") -> JsonValue:
    """A value as the request carries it. Pass the field's type to have colours in all their forms understood.

    Raises `TypeError` for what only the server can turn into JSON: files, bytes, images in memory, and (where
    `field_type` says so) a model or board by name. Without a `field_type`, for storage, a path becomes
    `{"path": …}` and a tuple of channels a colour.
    """
    if (field_type == "ColorField" and isinstance(value, (tuple, str))) or (not field_type and _is_color_tuple(value)):
        value = as_color(value)
    match value:
        case list() | tuple():
            return [to_json(item, field_type) for item in value]
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
        case Color():
            return {"r": value.r, "g": value.g, "b": value.b, "a": value.a}
        case ImageRef():
            return {"image_name": value.name}
        case VideoRef():
            return {"video_name": value.name}
        case BoardRef():
            return {"board_id": value.id}
        case ModelRef():
            return _model_to_json(value)
        case LoRA():
            return {"lora": to_json(value.lora, field_type), "weight": value.weight}
        case BoundingBox():
            box = {"x_min": value.x_min, "x_max": value.x_max, "y_min": value.y_min, "y_max": value.y_max}
            return box if value.score is None else {**box, "score": value.score}
        case Path() if not field_type:
            return {"path": value.as_posix()}
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"{problems.shown(value)} cannot be written as JSON")


def from_json(data: JsonValue) -> Any:
    """The inverse of `to_json` without a field type: objects are told apart by their keys."""
    if isinstance(data, list):
        return [from_json(item) for item in data]
    if isinstance(data, dict):
        keys = frozenset(data)
        for required, allowed, build in _OBJECTS:
            if required <= keys <= allowed:
                return build(data)
    return data


def _item_shape(planned: PlannedInput | FieldLimits) -> Shape:
    """One value of the input, without regard to its cardinality."""
    options = tuple(option for option in planned.choices if _is_text(option))
    if options:
        return Choice(options)
    name = _PLAIN_TYPES.get(planned.field_type)
    if name is None:
        return Structure(planned.field_type)
    names = {"int": _NUMBER_LIMITS, "float": _NUMBER_LIMITS, "str": _LENGTH_LIMITS}.get(name, {})
    return _limited(Plain(name), planned, names)


def _limited(shape: Shape, planned: PlannedInput | FieldLimits, names: Mapping[str, str]) -> Shape:
    """The shape with those limits of the input that apply to it, by pydantic's names."""
    limits = tuple((names[limit], value) for limit, value in planned.constraints.items() if limit in names)
    return Limited(shape, limits) if limits else shape


def _value_from_json(field_type: str, data: JsonValue) -> Any:
    """A plan's value as the Python value that a person would write. Raises where it has another form."""
    if isinstance(data, list) and field_type not in {"CollectionField", "AnyField"}:
        return [_item_from_json(field_type, item) for item in data]
    return _item_from_json(field_type, data)


def _item_from_json(field_type: str, data: JsonValue) -> Any:
    match field_type:
        case "ImageField":
            return ImageRef(data["image_name"])
        case "VideoField":
            return VideoRef(data["video_name"])
        case "BoardField":
            return BoardRef(data["board_id"]) if isinstance(data, dict) else data
        case "ModelIdentifierField":
            return _model_from_json(data)
        case "ColorField":
            return Color(data["r"], data["g"], data["b"], data.get("a", 255))
        case "BoundingBoxField":
            return BoundingBox(**data)
        case "LoRAField":
            return LoRA(_model_from_json(data["lora"]), data["weight"])
        case "FloatField" if isinstance(data, int) and not isinstance(data, bool):
            return float(data)
        case _:
            return data


def _is_text(value: object) -> bool:
    """Not a string with a lone surrogate, which is no text that could be compared or sent."""
    return not isinstance(value, str) or value.isascii() or value.encode("utf-8", "ignore").decode() == value


def _is_color_tuple(value: object) -> bool:
    return isinstance(value, tuple) and len(value) in (3, 4) and all(type(channel) is int for channel in value)


_MODEL_KEYS: Final = ("key", "hash", "name", "base", "type")


def _model_from_json(data: Mapping[str, Any]) -> ModelRef:
    known = {key: data.get(key) or "" for key in _MODEL_KEYS}
    return ModelRef(**known, submodel_type=data.get("submodel_type"))


def _model_to_json(model: ModelRef) -> dict[str, JsonValue]:
    known: dict[str, JsonValue] = {key: getattr(model, key) for key in _MODEL_KEYS}
    return known if model.submodel_type is None else {**known, "submodel_type": model.submodel_type}


def _lora_from_json(data: Mapping[str, Any]) -> LoRA:
    return LoRA(from_json(data["lora"]), data["weight"])


_BOX: Final = frozenset({"x_min", "x_max", "y_min", "y_max"})
_OBJECTS: Final[tuple[tuple[frozenset[str], frozenset[str], Any], ...]] = (
    (frozenset({"image_name"}), frozenset({"image_name"}), lambda data: ImageRef(data["image_name"])),
    (frozenset({"video_name"}), frozenset({"video_name"}), lambda data: VideoRef(data["video_name"])),
    (frozenset({"board_id"}), frozenset({"board_id"}), lambda data: BoardRef(data["board_id"])),
    (frozenset({"path"}), frozenset({"path"}), lambda data: Path(data["path"])),
    (frozenset("rgb"), frozenset("rgba"), lambda data: Color(**data)),
    (_BOX, _BOX | {"score"}, lambda data: BoundingBox(**data)),
    (frozenset({"lora", "weight"}), frozenset({"lora", "weight"}), _lora_from_json),
    (frozenset(_MODEL_KEYS), frozenset((*_MODEL_KEYS, "submodel_type")), _model_from_json),
)
