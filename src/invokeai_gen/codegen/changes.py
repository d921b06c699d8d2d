"""What people who use a generated module would notice between two of its plans."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias

from invokeai_gen.codegen.docs import short_default, short_type
from invokeai_gen.codegen.name_memory import Planned, key_of, results_of, same_items
from invokeai_gen.codegen.source import literal
from invokeai_gen.core import field_values
from invokeai_gen.core.field_values import Choice, Limited, allowed_values, parts_of
from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan
from invokeai_gen.js_json import UNSET
from invokeai_gen.texts import collapsed

ChangeKind: TypeAlias = Literal[
    "added", "removed", "renamed", "retyped", "choices", "range", "default", "moved", "hidden"
]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two plans of a workflow."""

    kind: ChangeKind
    what: Literal["input", "output", "node"]
    name: str
    """The Python name, the new one if it was renamed; for a node its label and field."""
    old: str = ""
    new: str = ""
    label: str = ""
    """The label in the GUI, the new one if it changed."""

    def __str__(self) -> str:
        who = f"{self.label} ({self.name})" if self.label and self.label != self.name else self.name
        match self.kind:
            case "added":
                return f"{self.what} {who} added{f', {self.new}' if self.new else ''}"
            case "removed":
                return f"{self.what} {who} removed"
            case "renamed":
                return f"{self.what} {self.old} renamed to {self.name}: the label is now {self.label!r}"
            case "choices":
                lost = f"{self.old} removed" if self.old else ""
                return f"{who}: {', '.join(filter(None, (lost, f'{self.new} added' if self.new else '')))}"
            case "hidden":
                return f"node {self.label!r}, {self.name} (not on the form): {self.new}, was {self.old}"
            case "moved":
                return f"{who}: index {self.new}, was {self.old}"
            case "default" if self.new.startswith("default "):
                return f"{who}: {self.new}, was {self.old.removeprefix('default ')}"
            case _:
                return f"{who}: {self.new}, was {self.old}"


def changes(old: WorkflowPlan, new: WorkflowPlan) -> tuple[Change, ...]:
    """Return the differences between two plans that have names.

    Inputs are matched by node and field, outputs by node. A node that was deleted and added again is the same node.
    """
    inputs, outputs = same_items(old.inputs, new.inputs), same_items(results_of(old), results_of(new))
    nodes = {key[0]: was.node_id for key, was in inputs.items()} | {key[0]: was.node_id for key, was in outputs.items()}
    return (
        *_removed(old.inputs, inputs.values(), "input"),
        *chain.from_iterable(_input_changes(inputs.get(key_of(item)), item) for item in new.inputs),
        *_removed(results_of(old), outputs.values(), "output"),
        *chain.from_iterable(_output_changes(outputs.get(key_of(item)), item) for item in results_of(new)),
        *_hidden_changes(old, new, nodes),
    )


def _removed(before: Iterable[Planned], kept: Collection[Planned], what: Literal["input", "output"]) -> list[Change]:
    keys = {key_of(item) for item in kept}
    return [Change("removed", what, item.name, label=_label(item)) for item in before if key_of(item) not in keys]


def _label(item: PlannedInput | PlannedOutput) -> str:
    return item.label if isinstance(item, PlannedInput) else item.node_label or item.node_title


def _input_changes(old: PlannedInput | None, new: PlannedInput) -> Iterator[Change]:
    """Yield the changes of one input; `old` is `None` for a new one."""

    def change(kind: ChangeKind, was: str, is_now: str) -> Change:
        return Change(kind, "input", new.name, was, is_now, new.label)

    if old is None:
        yield change("added", "", _default(new))
        return
    if old.name != new.name:
        yield change("renamed", old.name, new.name)
    if _kind(old) != _kind(new):
        yield change("retyped", _kind(old), _kind(new))
    elif new.fed_by is None:
        was, is_now = _choices(old), _choices(new)
        lost, gained = [item for item in was if item not in is_now], [item for item in is_now if item not in was]
        if lost or gained:
            yield change("choices", ", ".join(lost), ", ".join(gained))
        if _range(old) != _range(new):
            yield change("range", _range(old), _range(new))
    if _default(old) != _default(new):
        yield change("default", _default(old), _default(new))
    if old.index != new.index:
        yield change("moved", str(old.index), str(new.index))


def _output_changes(old: PlannedOutput | None, new: PlannedOutput) -> Iterator[Change]:
    label = _label(new)
    if old is None:
        yield Change("added", "output", new.name, label=label)
        return
    if old.name != new.name:
        yield Change("renamed", "output", new.name, old.name, new.name, label)
    if old.result_type != new.result_type:
        yield Change("retyped", "output", new.name, old.result_type, new.result_type, label)


def _hidden_changes(old: WorkflowPlan, new: WorkflowPlan, same: Mapping[str, str]) -> Iterator[Change]:
    """Yield the values that are sent with every run, are not on the form, and changed."""
    shown = {item.binding for plan in (old, new) for item in plan.inputs}
    before = {node.id: node for node in old.nodes}
    for node in new.nodes:
        earlier = before.get(same.get(node.id, node.id))
        values = {field.name: field.value for field in earlier.fields} if earlier is not None else {}
        for field in node.fields:
            is_hidden = (node.id, field.name) not in shown and not field.is_connected
            if is_hidden and field.name in values and values[field.name] != field.value:
                was, is_now = (_shown(value) for value in (values[field.name], field.value))
                yield Change("hidden", "node", field.name, was, is_now, collapsed(node.label))


def _shown(value: Any) -> str:
    return "empty" if value is UNSET or value is None else short_default(value)


def _kind(item: PlannedInput) -> str:
    """Return what an input takes, without limits and choices; model inputs with what they accept."""
    if item.fed_by is not None:
        return f"fed by {literal(item.fed_by)}"
    models = [text for text in allowed_values(item) if text.startswith("A model of")]
    text = short_type(field_values.shape_of(item), {}, choice="a choice")
    return models[0].removeprefix("A ") if models and text == "ModelInput" else text


def _choices(item: PlannedInput) -> dict[str, None]:
    parts = parts_of(field_values.shape_of(item))
    return {literal(option): None for part in parts if isinstance(part, Choice) for option in part.options}


def _range(item: PlannedInput) -> str:
    limited = [part for part in parts_of(field_values.shape_of(item)) if isinstance(part, Limited)]
    texts = [text for text in allowed_values(item) if not text.startswith(("A model of", "One of"))]
    return ", ".join(texts) if limited else "any"


def _default(item: PlannedInput) -> str:
    if item.fed_by is not None:
        return "not settable"
    value = field_values.default_of(item)
    return "required" if value is UNSET else f"default {short_default(value)}"
