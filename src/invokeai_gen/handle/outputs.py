"""The results of a run of a handle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from invokeai_gen.core.plan import OutputRole
from invokeai_gen.core.results import ConditioningOutput, LatentsOutput, flat
from invokeai_gen.runtime.media import ImageOutput
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


class NamedOutputs(Sequence[Any]):
    """Outputs in the order of the plan, also found by name: `outputs[0]`, `outputs["poster"]`, `for output in outputs`.

    An item is an `ImageOutput` or any other value that the node returns; behind an `iterate` node it is a list of them.
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = dict(named)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._named.items())})"

    def __len__(self) -> int:
        return len(self._named)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._named.values())

    def __contains__(self, item: object) -> bool:
        """Return whether there is an output of that name, or that output itself."""
        return (isinstance(item, str) and item in self._named) or item in self._named.values()

    @overload
    def __getitem__(self, index: int | str) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | str | slice) -> Any:
        if isinstance(index, str):
            return self._named[index]
        return list(self._named.values())[index]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the output of that name, or `default`."""
        return self._named.get(name, default)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, as a generated module has them."""
        return tuple(self._named)

    def items(self) -> list[tuple[str, Any]]:
        """Return each name with its output."""
        return list(self._named.items())


class HandleOutputs(WorkflowOutputs):
    """The results of one queue item: attributes by the names a generated module has, `images`, `nodes` and these."""

    def get_user_outputs(self) -> NamedOutputs:
        """Return the outputs whose board is on the form; for a form without boards, all final results.

        `user_outputs` has both, as in a generated module.
        """
        return NamedOutputs(self._with_roles({"user"}) or self._with_roles({"result"}))

    def get_debug_outputs(self) -> NamedOutputs:
        """Return the intermediate images."""
        return NamedOutputs(self.debug_outputs)

    def get_all_outputs(self) -> NamedOutputs:
        """Return the outputs of every named node: those with a board on the form first, intermediate images last."""
        return NamedOutputs(self.user_outputs | self.debug_outputs)

    @property
    def execution_time(self) -> float | None:
        """Seconds from start to end, by the server's clock."""
        return self.timings.execution_seconds

    @property
    def latents(self) -> list[LatentsOutput]:
        """Latents that any node returned, each once, in the order of execution."""
        return self.every(LatentsOutput)

    @property
    def conditioning(self) -> list[ConditioningOutput]:
        """Conditioning that any node returned, each once, in the order of execution."""
        return self.every(ConditioningOutput)

    def map_images(self) -> list[OutputMapping]:
        """Return the images of each output, results before intermediate ones; outputs without images are left out."""
        planned = self._plan.outputs if self._plan is not None else ()
        mapped = (
            (output, tuple(item for item in flat(self._named.get(output.node_id)) if isinstance(item, ImageOutput)))
            for output in planned
        )
        return [
            OutputMapping(
                name=output.name,
                label=output.node_label or output.node_title,
                node_id=output.node_id,
                node_type=output.node_type,
                role=output.role,
                input_index=output.board_input,
                images=images,
            )
            for output, images in mapped
            if images
        ]
