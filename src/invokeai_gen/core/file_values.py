"""The value of an input in the workflow file, as a person would write it."""

from __future__ import annotations

from typing import Any, Final

from invokeai_gen.core.json_writing import model_from_json
from invokeai_gen.core.plan import JsonValue, PlannedInput
from invokeai_gen.core.values import BoardRef, BoundingBox, Color, ImageRef, LoRA, VideoRef
from invokeai_gen.js_json import UNSET, Unset

_REFERENCES: Final = frozenset({"ImageField", "VideoField", "ModelIdentifierField", "BoundingBoxField", "LoRAField"})
"""Types that the GUI can empty again after a value was chosen."""


def may_be_none(planned: PlannedInput) -> bool:
    """Return whether the input accepts `None`, which leaves the field out of the request."""
    if planned.required or planned.field_type == "BoardField":
        return False
    return planned.value is UNSET or (planned.field_type in _REFERENCES and planned.cardinality == "SINGLE")


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
        return (
            data if field_type in {"CollectionField", "AnyField"} else [_from_json(field_type, item) for item in data]
        )
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
