"""The walk from a value to what the request holds: the same for a run, a dry run and a printed request.

What only a server can say (the key of a model, the id of a board, the name of an uploaded image) comes from a look-up,
which is live for a run and a placeholder otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.plan import ASSET_KINDS, AssetKind, JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.values import BoardRef, ImageRef, LoRA, ModelRef, VideoRef
from invokeai_gen.js_json import UNSET, Unset, is_encodable

LookUp: TypeAlias = Callable[[AssetKind, Any], JsonValue]
"""Returns what the request holds for an image, video, board or model that was given as a name, a file or a reference."""

_REFERENCES: Final[Mapping[type, AssetKind]] = {
    ImageRef: "image",
    VideoRef: "video",
    BoardRef: "board",
    ModelRef: "model",
}
_LEGACY_MODEL_SUFFIX: Final = "ModelField"
"""Older custom nodes name the type of their model fields `VAEModelField`, `LoRAModelField` …"""


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


def needs_server(plan: WorkflowPlan, values: Mapping[tuple[str, str], Any]) -> bool:
    """Return whether a server has to look something up, for these values or for hidden fields, or a text to be refused."""
    inputs = {planned.binding: planned for planned in plan.inputs}
    return any(look_ups(inputs[binding], value) or not is_sendable(value) for binding, value in values.items()) or any(
        field.asset is not None and isinstance(field.value, (Mapping, list)) and (node.id, field.name) not in inputs
        for node in plan.nodes
        for field in node.fields
    )


def plain_values(plan: WorkflowPlan, values: Mapping[tuple[str, str], Any]) -> dict[tuple[str, str], JsonValue | Unset]:
    """Return values as the request holds them, for which `needs_server` is false."""
    inputs = {planned.binding: planned for planned in plan.inputs}
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
