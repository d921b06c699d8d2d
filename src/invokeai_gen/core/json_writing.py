"""Values as JSON: writing the forms that `json_values` reads."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
)

if TYPE_CHECKING:
    from invokeai_gen.core.plan import JsonValue


def to_json(value: Any, field_type: str = "", *, embed: bool = False) -> JsonValue:
    """Return a value as the request carries it, if `field_type` is given, else as a file can store it.

    For storage, a path becomes `{"path": …}`, and `embed` makes data URLs of bytes and Pillow images.

    Raises `TypeError` for what only the server can turn into JSON (files, bytes, images in memory), and for numbers that
    JSON cannot hold: NaN, infinities, and integers of more than 308 digits.
    """
    if (field_type == "ColorField" and isinstance(value, (tuple, str))) or (not field_type and _is_color_tuple(value)):
        value = as_color(value)
    match value:
        case list() | tuple():
            return [to_json(item, field_type, embed=embed) for item in value]
        case dict():
            return {str(key): to_json(item, embed=embed) for key, item in value.items()}
        case Color():
            return {"r": value.r, "g": value.g, "b": value.b, "a": value.a}
        case ImageRef():
            return {"image_name": value.name}
        case VideoRef():
            return {"video_name": value.name}
        case BoardRef():
            return {"board_id": value.id}
        case ModelRef():
            known: dict[str, JsonValue] = {key: getattr(value, key) for key in MODEL_KEYS}
            return known if value.submodel_type is None else {**known, "submodel_type": value.submodel_type}
        case LoRA():
            return {"lora": to_json(value.lora, field_type), "weight": value.weight}
        case BoundingBox():
            box = {"x_min": value.x_min, "x_max": value.x_max, "y_min": value.y_min, "y_max": value.y_max}
            return box if value.score is None else {**box, "score": value.score}
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


def model_from_json(data: Mapping[str, Any]) -> ModelRef:
    """Return the model in a workflow file or a server's answer, where absent and `null` are the same."""
    known = {key: data.get(key) or "" for key in MODEL_KEYS}
    return ModelRef(**known, submodel_type=data.get("submodel_type"))


def _is_color_tuple(value: object) -> bool:
    return isinstance(value, tuple) and len(value) in (3, 4) and all(type(channel) is int for channel in value)
