"""The plan beside a module, of which an unchanged workflow only needs the outline: reading all of it takes far longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final, Self

from invokeai_gen.codegen.generated_files import digest
from invokeai_gen.codegen.names import pascal
from invokeai_gen.core import field_values
from invokeai_gen.core.field_values import Choice, Shape, Structure, parts_of
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.js_json import escape_surrogates

_MIN_NAMED_CHOICES: Final = 8
"""Shorter lists are easier to read where they are used."""


class Known:
    """What the last generation made, by the digest of what it was made from: outlines of plans, digests of modules."""

    def __init__(self, earlier: Mapping[str, JsonValue] | None = None) -> None:
        self._earlier = earlier or {}
        self.current: dict[str, JsonValue] = {}
        """What this generation made, or found in the last one, as JSON data."""

    def get(self, key: str) -> JsonValue:
        """Return what was made from something with this digest; `None` if it is not known."""
        if key in self._earlier:
            self.current[key] = self._earlier[key]
        return self.current.get(key)


@dataclass(frozen=True, slots=True)
class Outline:
    """What the rest of a package has to know of a plan: where it comes from, and what it needs of `_types.py`."""

    source: str
    """Name of the workflow file, without any folder."""
    sha256: str
    nodes: tuple[str, ...]
    """The ids of its nodes."""
    choices: tuple[tuple[tuple[Any, ...], tuple[str, str] | None], ...]
    """The choices of its inputs; those that can have a name with a short one and a longer one."""
    structures: tuple[str, ...]
    """The value types of the schema that its inputs take."""

    @classmethod
    def of(cls, plan: WorkflowPlan) -> Self:
        """Return the outline of a plan."""
        settable = [planned for planned in plan.inputs if planned.fed_by is None]
        parts = [(planned, part) for planned in settable for part in parts_of(field_values.shape_of(planned))]
        choices = [(part.options, _choice_names(part, planned)) for planned, part in parts if isinstance(part, Choice)]
        return cls(
            source=plan.info.source,
            sha256=plan.info.sha256,
            nodes=tuple(node.id for node in plan.nodes),
            choices=tuple(dict.fromkeys(choices)),
            structures=tuple(dict.fromkeys(part.name for _, part in parts if isinstance(part, Structure))),
        )

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The shapes that can have a name in `_types.py`."""
        return *(Choice(options) for options, _ in self.choices), *map(Structure, self.structures)

    @classmethod
    def from_json(cls, data: JsonValue) -> Self:
        """Return the outline that `asdict` turned into JSON data."""
        choices = tuple((tuple(options), tuple(names) if names else None) for options, names in data["choices"])
        return cls(data["source"], data["sha256"], tuple(data["nodes"]), choices, tuple(data["structures"]))


class PlanFile:
    """A plan and the text of its file, each made from the other when it is needed."""

    def __init__(self, content: WorkflowPlan | str, known: Known | None = None) -> None:
        self.is_known = False
        """Whether the last generation wrote this text."""
        if not isinstance(content, str):
            self.plan = content
            return
        self.text = content
        outline = known.get(self.digest) if known is not None else None
        if outline is not None:
            self.outline, self.is_known = Outline.from_json(outline), True

    @cached_property
    def plan(self) -> WorkflowPlan:
        """The plan. Raises `PlanFormatError` if the text is something else."""
        return WorkflowPlan.from_json(self.text)

    @cached_property
    def text(self) -> str:
        """The text of the file."""
        return escape_surrogates(self.plan.to_json())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return digest(self.text)

    @cached_property
    def outline(self) -> Outline:
        """What the rest of the package has to know of the plan, which is not read if the outline is known."""
        return Outline.of(self.plan)

    def remember(self, known: Known) -> None:
        """Note the outline for the next generation."""
        if not self.is_known:
            known.current[self.digest] = asdict(self.outline)


def _choice_names(shape: Choice, planned: PlannedInput) -> tuple[str, str] | None:
    """Return a short name for the choices of a field and a longer one; `None` if they are written out where they are used.

    Choices have a name if they are the schema's own, not narrowed by the form of one workflow.
    """
    is_own = shape.options == tuple(dict.fromkeys(planned.choices)) and planned.field_type != "StringField"
    if not is_own or any(isinstance(option, float) for option in shape.options):
        return None
    if planned.field_type == "SchedulerField":
        return "SchedulerName", f"{pascal(planned.node_type)}SchedulerName"
    if len(shape.options) < _MIN_NAMED_CHOICES:
        return None
    return pascal(planned.field_name), f"{pascal(planned.node_type)}{pascal(planned.field_name)}"
