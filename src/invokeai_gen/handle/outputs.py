"""What a run of a handle gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from invokeai_gen.core.plan import OutputRole
from invokeai_gen.runtime.media import ConditioningOutput, ImageOutput, LatentsOutput
from invokeai_gen.runtime.outputs import WorkflowOutputs


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputMapping:
    """The images of one output of a workflow."""

    name: str
    """The name of the output in a generated module."""
    label: str
    """What the GUI shows on the node."""
    node_id: str
    """Id of the node in the workflow."""
    node_type: str
    role: OutputRole
    """`user`: its board is on the form. `result`: another final result. `debug`: an intermediate image."""
    input_index: int | None
    """Index of the input that is its board."""
    images: tuple[ImageOutput, ...]

    @property
    def image_names(self) -> list[str]:
        """The names of the images on the server."""
        return [image.name for image in self.images]


class HandleOutputs(WorkflowOutputs):
    """The results of one queue item: attributes by the names a generated module has, `images`, `nodes` and these."""

    def get_user_outputs(self) -> dict[str, Any]:
        """What the workflow is for, by name: results whose board is on the form, and other final results."""
        return self.user_outputs

    def get_debug_outputs(self) -> dict[str, Any]:
        """Intermediate images, by name."""
        return self.debug_outputs

    @property
    def execution_time(self) -> float | None:
        """Seconds from start to end, by the server's clock."""
        return self.timings.execution_seconds

    @property
    def latents(self) -> list[LatentsOutput]:
        """Latents that any node returned, in the order of execution."""
        return [
            LatentsOutput(
                value["latents_name"],
                result.get("width") or 0,
                result.get("height") or 0,
                value.get("seed"),
                result.node_id,
            )
            for results in self.nodes.values()
            for result in results
            for value in _objects_with("latents_name", result.fields)
        ]

    @property
    def conditioning(self) -> list[ConditioningOutput]:
        """Conditioning that any node returned, in the order of execution."""
        return [
            ConditioningOutput(value["conditioning_name"], result.node_id, result.fields)
            for results in self.nodes.values()
            for result in results
            for value in _objects_with("conditioning_name", result.fields)
        ]

    def map_images(self) -> list[OutputMapping]:
        """The images of each output, results before intermediate ones; outputs that gave none are left out."""
        found = []
        for planned in self._plan.outputs if self._plan is not None else ():
            images = tuple(item for item in _flat(self._named.get(planned.node_id)) if isinstance(item, ImageOutput))
            if images:
                found.append(
                    OutputMapping(
                        name=planned.name,
                        label=planned.node_label or planned.node_title,
                        node_id=planned.node_id,
                        node_type=planned.node_type,
                        role=planned.role,
                        input_index=planned.board_input,
                        images=images,
                    )
                )
        return found


def _objects_with(key: str, value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object with that key anywhere in a result, in order."""
    if isinstance(value, Mapping):
        if isinstance(value.get(key), str):
            yield value
        for item in value.values():
            yield from _objects_with(key, item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects_with(key, item)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value
