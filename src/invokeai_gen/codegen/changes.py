"""What the callers of a generated module would notice between two of its plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from invokeai_gen.codegen.annotations import Imports, Names, type_text, value_text
from invokeai_gen.core import field_values
from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan
from invokeai_gen.js_json import UNSET

ChangeKind: TypeAlias = Literal["added", "removed", "renamed", "retyped", "default", "moved"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference in the surface of a module."""

    kind: ChangeKind
    what: Literal["input", "output"]
    name: str
    """The Python name, the new one where it was renamed."""
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "added":
                return f"{self.what} {self.name} added{f' ({self.new})' if self.new else ''}"
            case "removed":
                return f"{self.what} {self.name} removed"
            case "renamed":
                return f"{self.what} {self.old} renamed to {self.new}"
            case "retyped":
                return f"{self.what} {self.name} was {self.old}, is {self.new}"
            case "default":
                return f"default of {self.name} was {self.old}, is {self.new}"
            case "moved":
                return f"index of {self.name} was {self.old}, is {self.new}"


def changes(old: WorkflowPlan, new: WorkflowPlan) -> tuple[Change, ...]:
    """The differences between two plans with names. Inputs are matched by node and field, outputs by node."""
    return (*_input_changes(old, new), *_output_changes(old, new))


def _input_changes(old: WorkflowPlan, new: WorkflowPlan) -> Iterator[Change]:
    before = {item.binding: item for item in old.inputs}
    after = {item.binding: item for item in new.inputs}
    for binding, item in before.items():
        if binding not in after:
            yield Change("removed", "input", item.name)
    for binding, item in after.items():
        previous = before.get(binding)
        if previous is None:
            yield Change("added", "input", item.name, new=_default(item))
            continue
        if previous.name != item.name:
            yield Change("renamed", "input", item.name, previous.name, item.name)
        pairs: tuple[tuple[ChangeKind, str, str], ...] = (
            ("retyped", _type(previous), _type(item)),
            ("default", _default(previous), _default(item)),
            ("moved", str(previous.index), str(item.index)),
        )
        for kind, was, is_now in pairs:
            if was != is_now:
                yield Change(kind, "input", item.name, was, is_now)


def _output_changes(old: WorkflowPlan, new: WorkflowPlan) -> Iterator[Change]:
    before, after = _results(old), _results(new)
    for node_id, item in before.items():
        if node_id not in after:
            yield Change("removed", "output", item.name)
    for node_id, item in after.items():
        previous = before.get(node_id)
        if previous is None:
            yield Change("added", "output", item.name)
            continue
        if previous.name != item.name:
            yield Change("renamed", "output", item.name, previous.name, item.name)
        if previous.result_type != item.result_type:
            yield Change("retyped", "output", item.name, previous.result_type, item.result_type)


def _results(plan: WorkflowPlan) -> dict[str, PlannedOutput]:
    return {item.node_id: item for item in plan.outputs if item.role != "debug"}


def _type(item: PlannedInput) -> str:
    if item.fed_by is not None:
        return f"fed by {item.fed_by!r}"
    limits = field_values.model_limits(item)
    models = [f"{name}={value}" for name in ("base", "type", "variant", "format") if (value := getattr(limits, name))]
    return " ".join([type_text(field_values.shape_of(item), Names(), Imports()), *models])


def _default(item: PlannedInput) -> str:
    if item.fed_by is not None:
        return ""
    value = field_values.default_of(item)
    return "required" if value is UNSET else value_text(value, Imports())
