"""Which names of an earlier plan stay: a name, once given, never comes to mean another node.

The plan beside a module is the memory. An input or output keeps its name as long as its label stays the same, whatever
else was added, removed or moved. A node that was deleted and added again keeps its names. A name that is no longer
used is free again after the next generation, and remembered in case its node comes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from invokeai_gen.core.plan import PlannedInput, PlannedOutput, RetiredName, WorkflowPlan

Key: TypeAlias = tuple[str, str | None]
"""What identifies an input or output whatever its label: the id of its node, and the name of an input's field."""

Planned = TypeVar("Planned", PlannedInput, PlannedOutput)

_INPUT_LIKENESS: Final = (6, 5, 4, 2)
_OUTPUT_LIKENESS: Final = (4, 3, 3, 3)
"""How many of the facts in `_likeness` have to be the same: first everything a person sees, then less and less."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What an earlier plan says about the names of inputs, or of outputs."""

    names: Mapping[Key, str] = field(default_factory=dict)
    """Names that stay, by what they mean."""
    formerly: Mapping[Key, str] = field(default_factory=dict)
    """What each name meant: it is not given to anything else."""


def key_of(item: PlannedInput | PlannedOutput) -> Key:
    """Return the key of an input or output."""
    return item.node_id, item.field_name if isinstance(item, PlannedInput) else None


def items_of(plan: WorkflowPlan) -> Iterator[PlannedInput | PlannedOutput]:
    """Yield the inputs and outputs of a plan."""
    yield from plan.inputs
    yield from plan.outputs


def results_of(plan: WorkflowPlan) -> list[PlannedOutput]:
    """Return the outputs that have an attribute in a module: all but the intermediate images."""
    return [item for item in plan.outputs if item.role != "debug"]


def memory_of(
    before: Iterable[Planned], after: Iterable[Planned], retired: Iterable[RetiredName], *, keep_renamed: bool
) -> Memory:
    """Return what an earlier plan says about the names of inputs, or of outputs."""
    known, now = {key_of(item): item for item in before}, {key_of(item): item for item in after}
    names = {
        key: was.name
        for key, was in same_items(known.values(), now.values()).items()
        if keep_renamed or _label(was) == _label(now[key])
    }
    used = set(names.values())
    gone = {(item.node_id, item.field_name): item for item in retired}
    for key, item in now.items():
        was = gone.get(key) if key not in known and key not in names else None
        if was is not None and was.label == _label(item) and was.name not in used:
            names[key] = was.name
            used.add(was.name)
    return Memory(names, {key: item.name for key, item in known.items() if item.name})


def retired_names(named: WorkflowPlan, earlier: WorkflowPlan | None) -> tuple[RetiredName, ...]:
    """Return the names of an earlier plan whose nodes are gone, except those that something else has now."""
    if earlier is None:
        return ()
    gone = {(item.node_id, item.field_name): item for item in earlier.retired}
    gone |= {key_of(item): RetiredName(*key_of(item), _label(item), item.name) for item in items_of(earlier)}
    present = {key_of(item) for item in items_of(named)}
    used = {(item.name, key_of(item)[1] is None) for item in items_of(named)}
    return tuple(
        item for key, item in gone.items() if key not in present and (item.name, item.field_name is None) not in used
    )


def same_items(before: Iterable[Planned], after: Iterable[Planned]) -> dict[Key, Planned]:
    """Return what each item of a plan was in an earlier one, by its key now; new items are left out.

    An item that was deleted and added again has another node id. It is the same if it is like one that is gone, and no
    other is.
    """
    old, new = {key_of(item): item for item in before}, {key_of(item): item for item in after}
    same = {key: old[key] for key in new if key in old}
    gone = {key: item for key, item in old.items() if key not in new}
    added = {key: item for key, item in new.items() if key not in old}
    for level in range(len(_INPUT_LIKENESS)):
        was, now = _unique(gone.values(), level), _unique(added.values(), level)
        for likeness in was.keys() & now.keys():
            same[key_of(now[likeness])] = gone.pop(key_of(was[likeness]))
            del added[key_of(now[likeness])]
    return same


def _label(item: PlannedInput | PlannedOutput) -> str:
    return item.label if isinstance(item, PlannedInput) else item.node_label


def _unique(items: Iterable[Planned], level: int) -> dict[Hashable, Planned]:
    likeness = [(_likeness(item, level), item) for item in items]
    count = Counter(kind for kind, _ in likeness)
    return {kind: item for kind, item in likeness if count[kind] == 1}


def _likeness(item: PlannedInput | PlannedOutput, level: int) -> Hashable:
    if isinstance(item, PlannedInput):
        seen = (item.label, item.field_type, item.node_type, item.field_name, item.node_label, item.sections)
        return seen[: _INPUT_LIKENESS[level]]
    return (item.node_label, item.node_type, item.role, item.sections)[: _OUTPUT_LIKENESS[level]]
