"""From what a node returned to the Python value of an output. Loaded when there is something to decode."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from invokeai_gen.core.results import (
    ConditioningOutput,
    LatentsOutput,
    MaskOutput,
    NodeResult,
    image_sizes,
    results_by_node,
)
from invokeai_gen.core.values import BoundingBox, Color
from invokeai_gen.runtime.media import ImageOutput, VideoOutput
from invokeai_gen.server.errors import DecodeError

if TYPE_CHECKING:
    from invokeai_gen.core.plan import OutputType, PlannedOutput
    from invokeai_gen.server.client import AsyncInvokeAIClient

OutputItem: TypeAlias = (
    ImageOutput
    | VideoOutput
    | LatentsOutput
    | ConditioningOutput
    | MaskOutput
    | NodeResult
    | Color
    | BoundingBox
    | int
    | float
    | str
    | bool
    | list[Any]
)
Sizes: TypeAlias = Mapping[str, Mapping[str, int]]
_NO_SIZES: Final[Sizes] = {}
_VALUES: Final[Mapping[str, Callable[..., Color | BoundingBox]]] = {"Color": Color, "BoundingBox": BoundingBox}


def decode(
    output: PlannedOutput, result: NodeResult, client: AsyncInvokeAIClient | None, sizes: Sizes = _NO_SIZES
) -> OutputItem:
    """Return one result of a node as the Python type `output.item_type`. Raises `DecodeError` if it has another form.

    `sizes` has the sizes of images in collections, for which InvokeAI returns only names.
    """
    try:
        return _decoded(output, output.item_type, result, client, sizes)
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(
            f"{output.node_label or output.node_title!r} ({output.node_type}) did not return what its schema says "
            f"({output.item_type}): {error!r} in {dict(result.fields)!r}"
        ) from error


def _decoded(
    output: PlannedOutput, kind: OutputType, result: NodeResult, client: AsyncInvokeAIClient | None, sizes: Sizes
) -> OutputItem:
    if kind.name == "NodeResult":
        return result
    if kind.is_plain:
        (name,) = output.output_fields
        value: OutputItem = result.fields[name]
        return value
    if kind.name in _VALUES:
        (given,) = result.fields.values()
        make = _VALUES[kind.name]
        return [make(**item) for item in given] if kind.is_list else make(**given)
    if kind.name == "MaskOutput":
        fields = result.fields
        return MaskOutput(fields["mask"]["tensor_name"], fields["width"], fields["height"], result.node_id)
    if kind.is_list:
        (values,) = result.fields.values()
        return [handle(kind.name, item, sizes.get(item.get("image_name"), {}), result, client) for item in values]
    if kind.name == "ConditioningOutput":
        conditioning: Any = next(iter(result.fields.values()))
        first = conditioning[0] if isinstance(conditioning, list) else conditioning
        return handle(kind.name, first, {}, result, client)
    field_type = {"ImageOutput": "ImageField", "VideoOutput": "VideoField", "LatentsOutput": "LatentsField"}[kind.name]
    name = next(name for name, field in output.output_fields.items() if field == field_type)
    return handle(kind.name, result.fields[name], result.fields, result, client)


def handle(
    kind: str,
    value: Mapping[str, Any],
    sizes: Mapping[str, Any],
    result: NodeResult,
    client: AsyncInvokeAIClient | None,
) -> ImageOutput | VideoOutput | LatentsOutput | ConditioningOutput:
    """Return the handle for an image, video, latents or conditioning in a result."""
    width, height = sizes.get("width") or 0, sizes.get("height") or 0
    if kind == "ImageOutput":
        return ImageOutput(value["image_name"], width, height, result.node_id, client)
    if kind == "VideoOutput":
        return VideoOutput(value["video_name"], width, height, result.node_id, client)
    if kind == "ConditioningOutput":
        return ConditioningOutput(value["conditioning_name"], result.node_id, result.fields)
    return LatentsOutput(value["latents_name"], width, height, value.get("seed"), result.node_id)


class ItemResults:
    """Everything that the nodes of one queue item returned."""

    def __init__(self, session: Mapping[str, Any], client: AsyncInvokeAIClient | None) -> None:
        self.by_node = results_by_node(session)
        self.sizes = image_sizes(itertools.chain(*self.by_node.values()))
        self._client = client

    def decoded(self, output: PlannedOutput) -> list[OutputItem]:
        """Return each result of the node of an output, in the order of execution. Raises `DecodeError`."""
        return [decode(output, result, self._client, self.sizes) for result in self.by_node.get(output.node_id, ())]
