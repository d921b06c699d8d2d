"""Convert what a node returned to the Python value of an output. Loaded when there is something to decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.core.results import ConditioningOutput, LatentsOutput, MaskOutput, NodeResult
from invokeai_gen.core.values import BoundingBox, Color
from invokeai_gen.runtime.media import ImageOutput, VideoOutput
from invokeai_gen.server.errors import DecodeError

if TYPE_CHECKING:
    from invokeai_gen.core.plan import PlannedOutput
    from invokeai_gen.server.client import AsyncInvokeAIClient

    Sizes = Mapping[str, Mapping[str, int]]

NAME_KEYS: Final[Mapping[str, str]] = {
    "ImageOutput": "image_name",
    "VideoOutput": "video_name",
    "LatentsOutput": "latents_name",
    "ConditioningOutput": "conditioning_name",
}
"""The key of the name of what stays on the server."""
_NO_SIZES: Final[Sizes] = {}
_VALUES: Final[Mapping[str, Callable[..., Color | BoundingBox]]] = {"Color": Color, "BoundingBox": BoundingBox}


def decode(
    output: PlannedOutput, result: NodeResult, client: AsyncInvokeAIClient | None, sizes: Sizes = _NO_SIZES
) -> Any:
    """Return one result of a node as the Python type `output.item_type`. Raises `DecodeError` if it has another form.

    `sizes` has the sizes of images in collections, for which InvokeAI returns only names.
    """
    try:
        return _decoded(output, result, client, sizes)
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(
            f"{output.node_label or output.node_title!r} ({output.node_type}) did not return what its schema says "
            f"({output.item_type}): {error!r} in {dict(result.fields)!r}"
        ) from error


def _decoded(output: PlannedOutput, result: NodeResult, client: AsyncInvokeAIClient | None, sizes: Sizes) -> Any:
    kind, fields = output.item_type, result.fields
    if kind.name == "NodeResult":
        return result
    if kind.is_plain:
        (name,) = output.output_fields
        return fields[name]
    if kind.name in _VALUES:
        (given,) = fields.values()
        make = _VALUES[kind.name]
        return [make(**item) for item in given] if kind.is_list else make(**given)
    if kind.name == "MaskOutput":
        return MaskOutput(fields["mask"]["tensor_name"], fields["width"], fields["height"], result.node_id)
    if kind.is_list:
        (values,) = fields.values()
        return [handle(kind.name, item, sizes.get(item.get("image_name"), {}), result, client) for item in values]
    if kind.name == "ConditioningOutput":
        conditioning: Any = next(iter(fields.values()))
        first = conditioning[0] if isinstance(conditioning, list) else conditioning
        return handle(kind.name, first, {}, result, client)
    field_type = {"ImageOutput": "ImageField", "VideoOutput": "VideoField", "LatentsOutput": "LatentsField"}[kind.name]
    name = next(name for name, field in output.output_fields.items() if field == field_type)
    return handle(kind.name, fields[name], fields, result, client)


def handle(
    kind: str,
    value: Mapping[str, Any],
    sizes: Mapping[str, Any],
    result: NodeResult,
    client: AsyncInvokeAIClient | None,
) -> ImageOutput | VideoOutput | LatentsOutput | ConditioningOutput:
    """Return the handle for an image, video, latents or conditioning in a result."""
    name, width, height = value[NAME_KEYS[kind]], sizes.get("width") or 0, sizes.get("height") or 0
    if kind == "ImageOutput":
        return ImageOutput(name, width, height, result.node_id, client)
    if kind == "VideoOutput":
        return VideoOutput(name, width, height, result.node_id, client)
    if kind == "ConditioningOutput":
        return ConditioningOutput(name, result.node_id, result.fields)
    return LatentsOutput(name, width, height, value.get("seed"), result.node_id)
