"""What the request holds for a value, in a run, a dry run or a printed request, what a file stores, and the way back.

What only a server can say (the key of a model, the id of a board, the name of an uploaded image) comes from a look-up,
which is live for a run and a placeholder otherwise. `file_value` returns the value in a workflow file as a person would
write it; JSON in the forms that people write is read by `json_values`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeAlias

from invokeai_gen.core.plan import ASSET_KINDS, AssetKind, JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.values import (
    MODEL_KEYS,
    BoardRef,
    BoundingBox,
    Color,
    ImageRef,
    LoRA,
    ModelRef,
    VideoRef,
    as_color,
    is_channels,
)
from invokeai_gen.js_json import UNSET, Unset, is_encodable

LookUp: TypeAlias = Callable[[AssetKind, Any], JsonValue]
"""Returns what the request holds for an image, video, board or model that was given as a name, a file or a reference."""

_REFERENCES: Final[Mapping[type, AssetKind]] = {
    ImageRef: "image",
    VideoRef: "video",
    BoardRef: "board",
    ModelRef: "model",
}
_EMPTIED: Final = frozenset({"ImageField", "VideoField", "ModelIdentifierField", "BoundingBoxField", "LoRAField"})
"""Types that the GUI can empty again after a value was chosen."""
_LEGACY_MODEL_SUFFIX: Final = "ModelField"
"""Older custom nodes name the type of their model fields `VAEModelField`, `LoRAModelField` …"""


def to_json(value: Any, field_type: str = "", *, embed: bool = False) -> JsonValue:
    """Return a value as the request carries it, if `field_type` is given, else as a file can store it.

    For storage, a path becomes `{"path": …}`, and `embed` makes data URLs of bytes and Pillow images.

    Raises `TypeError` for what only the server can turn into JSON (files, bytes, images in memory), and for numbers that
    JSON cannot hold: NaN, infinities, and integers of more than 308 digits.
    """
    if (field_type == "ColorField" and isinstance(value, (tuple, str))) or (not field_type and is_channels(value)):
        value = as_color(value)
    match value:
        case list() | tuple():
            return [to_json(item, field_type, embed=embed) for item in value]
        case dict():
            return {str(key): to_json(item, embed=embed) for key, item in value.items()}
        case ImageRef():
            return {"image_name": value.name}
        case VideoRef():
            return {"video_name": value.name}
        case BoardRef():
            return {"board_id": value.id}
        case BoundingBox() | Color() | LoRA() | ModelRef():
            parts = {part.name: getattr(value, part.name) for part in fields(value)}
            return {name: to_json(part, field_type) for name, part in parts.items() if part is not None}
        case Path() if not field_type:
            return {"path": value.as_posix()}
        case None | bool() | str():
            return value
        case int() | float() if abs(value) <= sys.float_info.max:
            return value
        case _ if embed:
            from invokeai_gen.core.pictures import data_url, is_picture

            if isinstance(value, bytes) or is_picture(value):
                return data_url(value)
        case _:
            pass
    from invokeai_gen.texts import shown

    raise TypeError(f"{shown(value)} cannot be written as JSON")


def request_value(planned: PlannedInput, value: Any, look_up: LookUp) -> JsonValue | Unset:
    """Return a value as the request holds it; `UNSET` for `None`, which leaves the field out.

    `look_up` is called for each image, video, board and model, in order, but not for what is JSON data already, nor for
    the boards `auto` and `none`. Raises `ParamsError` for what JSON cannot hold: an object of Python, NaN.
    """
    try:
        return _request_value(planned, value, look_up)
    except (TypeError, RecursionError) as error:
        from invokeai_gen.core import problems

        raise problems.ParamsError([problems.unusable(planned, value, problems.reason_of(error))]) from None


def _request_value(planned: PlannedInput, value: Any, look_up: LookUp) -> JsonValue | Unset:
    if value is None or isinstance(value, Unset):
        return UNSET
    if isinstance(value, list):
        return [_request_value(planned, item, look_up) for item in value]
    if isinstance(value, LoRA):
        return {"lora": look_up("model", value.lora), "weight": value.weight}
    kind = asset_kind(planned, value)
    if kind is None:
        return to_json(value, planned.field_type)
    if isinstance(value, Mapping) or (kind == "board" and value in ("auto", "none")):
        return to_json(value)
    return look_up(kind, value)


def look_ups(planned: PlannedInput, value: Any) -> list[tuple[AssetKind, Any]]:
    """Return what `request_value` would look up, in order."""
    found: list[tuple[AssetKind, Any]] = []
    request_value(planned, value, lambda kind, item: found.append((kind, item)))
    return found


def plain_values(
    plan: WorkflowPlan, values: Mapping[tuple[str, str], Any]
) -> dict[tuple[str, str], JsonValue | Unset] | None:
    """Return values as the request holds them; `None` if a server has to look something up, or a text to be refused.

    Hidden fields that refer to something count, too.
    """
    inputs = {planned.binding: planned for planned in plan.inputs}
    if any(look_ups(inputs[binding], value) or not is_sendable(value) for binding, value in values.items()) or any(
        field.asset is not None and isinstance(field.value, (Mapping, list)) and (node.id, field.name) not in inputs
        for node in plan.nodes
        for field in node.fields
    ):
        return None
    return {binding: answered(inputs[binding], value, iter(())) for binding, value in values.items()}


def is_sendable(value: Any) -> bool:
    """Return whether the texts in a value have a form in UTF-8."""
    if isinstance(value, dict):
        return all(is_sendable(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(map(is_sendable, value))
    return not isinstance(value, str) or is_encodable(value)


def answered(planned: PlannedInput, value: Any, answers: Iterator[JsonValue]) -> JsonValue | Unset:
    """Return a value as the request holds it, with the answers to its `look_ups`, in order."""
    return request_value(planned, value, lambda kind, item: next(answers))


def asset_kind(planned: PlannedInput, value: Any) -> AssetKind | None:
    """Return what a single value refers to: by its own type, else by the type of the field; `None` for a plain value."""
    for reference, kind in _REFERENCES.items():
        if isinstance(value, reference):
            return kind
    if planned.field_type.endswith(_LEGACY_MODEL_SUFFIX):
        return "model"
    return ASSET_KINDS.get(planned.field_type)


def may_be_none(planned: PlannedInput) -> bool:
    """Return whether the input accepts `None`, which leaves the field out of the request."""
    if planned.required or planned.field_type == "BoardField":
        return False
    return planned.value is UNSET or (planned.field_type in _EMPTIED and planned.cardinality == "SINGLE")


def file_value(planned: PlannedInput) -> Any | Unset:
    """Return the value of an input in the workflow file, not yet checked; `UNSET` if it has none or none that is usable.

    `None` is the value of an input that may stay empty.
    """
    if planned.value is UNSET or planned.value is None:
        if planned.field_type == "BoardField" and planned.cardinality == "SINGLE":
            return "auto"
        return None if may_be_none(planned) else UNSET
    try:
        return _from_json(planned.field_type, planned.value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return UNSET


def _from_json(field_type: str, data: JsonValue) -> Any:
    """Return a value in a plan as the Python value that a person would write. Raises if it has another form."""
    if isinstance(data, list):
        return [_from_json(field_type, item) for item in data]
    match field_type:
        case "ImageField":
            return ImageRef(data["image_name"])
        case "VideoField":
            return VideoRef(data["video_name"])
        case "BoardField":
            return BoardRef(data["board_id"]) if isinstance(data, dict) else data
        case "ModelIdentifierField":
            return model_from_json(data)
        case "ColorField":
            return Color(data["r"], data["g"], data["b"], data.get("a", 255))
        case "BoundingBoxField":
            return BoundingBox(**data)
        case "LoRAField":
            return LoRA(model_from_json(data["lora"]), data["weight"])
        case "FloatField" if isinstance(data, int) and not isinstance(data, bool):
            return float(data)
        case _:
            return data


def model_from_json(data: Mapping[str, Any]) -> ModelRef:
    """Return the model in a workflow file or a server's answer, where absent and `null` are the same."""
    known = {key: data.get(key) or "" for key in MODEL_KEYS}
    return ModelRef(**known, submodel_type=data.get("submodel_type"))
