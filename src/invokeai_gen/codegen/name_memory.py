"""Which names of an earlier plan stay: a name, once given, never comes to mean another node.

The plan beside a module is the memory. An input or output keeps its name as long as its label stays the same, whatever
else was added, removed or moved. A node that was deleted and added again keeps its names. A name that is no longer
used is free again after the next generation, and remembered in case its node comes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from invokeai_gen.core.plan import PlannedInput, PlannedOutput, RetiredName, WorkflowPlan

H = TypeVar("H", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Memory(Generic[H]):
    """What an earlier plan says about the names of one kind of thing."""

    names: Mapping[H, str] = field(default_factory=dict)
    """Names that stay, by what they mean."""
    formerly: Mapping[H, str] = field(default_factory=dict)
    """What each name meant: it is not given to anything else."""


def input_memory(plan: WorkflowPlan, earlier: WorkflowPlan | None, *, keep_renamed: bool) -> Memory[tuple[str, str]]:
    """Return what an earlier plan says about the names of inputs, by binding."""
    if earlier is None:
        return Memory()
    retired = {(item.node_id, item.field_name): item for item in earlier.retired if item.field_name is not None}
    return _memory(
        {item.binding: item for item in earlier.inputs},
        {item.binding: item for item in plan.inputs},
        retired,
        label=lambda item: item.label,
        name=lambda item: item.name,
        likeness=_INPUT_LIKENESS,
        keep_renamed=keep_renamed,
    )


def output_memory(plan: WorkflowPlan, earlier: WorkflowPlan | None, *, keep_renamed: bool) -> Memory[str]:
    """Return what an earlier plan says about the names of outputs, by node id."""
    if earlier is None:
        return Memory()
    retired = {item.node_id: item for item in earlier.retired if item.field_name is None}
    return _memory(
        {item.node_id: item for item in earlier.outputs},
        {item.node_id: item for item in plan.outputs},
        retired,
        label=lambda item: item.node_label,
        name=lambda item: item.name,
        likeness=_OUTPUT_LIKENESS,
        keep_renamed=keep_renamed,
    )


def retired_names(named: WorkflowPlan, earlier: WorkflowPlan | None) -> tuple[RetiredName, ...]:
    """Return the names of an earlier plan whose nodes are gone, except those that something else has now."""
    if earlier is None:
        return ()
    gone = {(item.node_id, item.field_name): item for item in earlier.retired}
    gone |= {item.binding: RetiredName(*item.binding, item.label, item.name) for item in earlier.inputs}
    gone |= {
        (item.node_id, None): RetiredName(item.node_id, None, item.node_label, item.name) for item in earlier.outputs
    }
    present = {*(item.binding for item in named.inputs), *((item.node_id, None) for item in named.outputs)}
    used = {(item.name, False) for item in named.inputs} | {(item.name, True) for item in named.outputs}
    return tuple(
        item for key, item in gone.items() if key not in present and (item.name, item.field_name is None) not in used
    )


def same_again(gone: Mapping[H, T], new: Mapping[H, T], likeness: Sequence[Callable[[T], Hashable]]) -> dict[H, H]:
    """Return pairs (new, gone) of things that were deleted and added again under another id.

    Two are a pair if they are alike and no other is, first in everything a person sees and then in less and less.
    """
    left, right = dict(gone), dict(new)
    pairs: dict[H, H] = {}
    for alike in likeness:
        old, now = _unique(left, alike), _unique(right, alike)
        for kind in old.keys() & now.keys():
            pairs[now[kind]] = old[kind]
            del left[old[kind]], right[now[kind]]
    return pairs


def inputs_again(gone: Iterable[PlannedInput], new: Iterable[PlannedInput]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the inputs that were deleted and added again: new binding to old binding."""
    return same_again({item.binding: item for item in gone}, {item.binding: item for item in new}, _INPUT_LIKENESS)


def outputs_again(gone: Iterable[PlannedOutput], new: Iterable[PlannedOutput]) -> dict[str, str]:
    """Return the outputs that were deleted and added again: new node id to old node id."""
    return same_again({item.node_id: item for item in gone}, {item.node_id: item for item in new}, _OUTPUT_LIKENESS)


def _memory(
    before: Mapping[H, T],
    after: Mapping[H, T],
    retired: Mapping[H, RetiredName],
    *,
    label: Callable[[T], str],
    name: Callable[[T], str],
    likeness: Sequence[Callable[[T], Hashable]],
    keep_renamed: bool,
) -> Memory[H]:
    names = {
        key: name(before[key])
        for key, item in after.items()
        if key in before and (keep_renamed or label(before[key]) == label(item))
    }
    gone = {key: item for key, item in before.items() if key not in after}
    new = {key: item for key, item in after.items() if key not in before}
    names |= {key: name(gone[old]) for key, old in same_again(gone, new, likeness).items()}
    used = set(names.values())
    for key, item in new.items():
        if key not in names and key in retired and retired[key].label == label(item) and retired[key].name not in used:
            names[key] = retired[key].name
            used.add(retired[key].name)
    return Memory(names, {key: name(item) for key, item in before.items() if name(item)})


def _unique(items: Mapping[H, T], alike: Callable[[T], Hashable]) -> dict[Hashable, H]:
    kinds = {key: alike(item) for key, item in items.items()}
    count = Counter(kinds.values())
    return {kind: key for key, kind in kinds.items() if count[kind] == 1}


_INPUT_LIKENESS: Final[Sequence[Callable[[PlannedInput], Hashable]]] = (
    lambda item: (item.label, item.field_type, item.node_type, item.field_name, item.node_label, item.sections),
    lambda item: (item.label, item.field_type, item.node_type, item.field_name, item.node_label),
    lambda item: (item.label, item.field_type, item.node_type, item.field_name),
    lambda item: (item.label, item.field_type),
)
_OUTPUT_LIKENESS: Final[Sequence[Callable[[PlannedOutput], Hashable]]] = (
    lambda item: (item.node_label, item.node_type, item.sections, item.role),
    lambda item: (item.node_label, item.node_type, item.role),
)
