"""Packing the points of a sweep into enqueues: as few as possible, none larger than the queue. Pure rules.

A server puts the values of batch data into the graph, which takes numbers, texts and images. Points that differ in
anything else (a model, a colour, a board, a list) have graphs of their own, and so enqueues of their own.
"""

from __future__ import annotations

import itertools
import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from invokeai_gen.core.batch import Binding
from invokeai_gen.core.called_workflows import with_called
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.request import build_request
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.sweeps.space import Space, check_total

Columns: TypeAlias = Mapping[str, Sequence[JsonValue | Unset]]
"""For each input that changes, by Python name: the value in each row of its axis, as the server takes it."""

Data: TypeAlias = list[list[dict[str, JsonValue]]]
"""Batch data: the lists of one entry advance together, the entries multiply, the last one changing fastest."""

_BATCH_TYPES: Final = frozenset(
    {"IntegerField", "FloatField", "StringField", "EnumField", "SchedulerField", "ImageField"}
)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One queue item of a sweep."""

    run: int
    point: int
    combination: int = 0
    """Which combination of the workflow's own batch nodes."""


@dataclass(frozen=True, slots=True)
class Group:
    """Points whose graphs are the same but for their batch data."""

    selection: tuple[tuple[int, ...], ...]
    """The rows of each axis; the points are all their combinations."""
    own: Data
    """The batch data of the workflow's own batch nodes."""

    @property
    def combinations(self) -> int:
        """The number of items that the workflow's own batch nodes make of each point."""
        return math.prod(len(entry[0]["items"]) for entry in self.own)

    @property
    def size(self) -> int:
        """The number of items in one run of the group."""
        return math.prod(map(len, self.selection)) * self.combinations


@dataclass(frozen=True, slots=True)
class Block:
    """The items that are sent with one enqueue."""

    group: int
    cells: tuple[Cell, ...]
    """In the order in which the server makes items of them."""
    is_whole: bool = False
    """All cells of the group, so that the server multiplies them itself."""
    batch_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def split(self, size: int) -> tuple[Block, Block]:
        """Return the first `size` cells, which keep the id, and the rest as another block."""
        return Block(self.group, self.cells[:size], batch_id=self.batch_id), Block(self.group, self.cells[size:])


def is_batchable(plan: WorkflowPlan, planned: PlannedInput, values: Sequence[JsonValue | Unset]) -> bool:
    """Return whether the server can put these values of an input into the graph itself."""
    node = plan.node(planned.node_id)
    spec = next((spec for spec in node.fields if spec.name == planned.field_name), None)
    if spec is None or spec.is_board or spec.is_connected or spec.is_called_input or not node.is_executable:
        return False
    if planned.field_type not in _BATCH_TYPES or planned.cardinality == "COLLECTION":
        return False
    return len({_kind(value) for value in values}) == 1 and _kind(values[0]) != ""


def _kind(value: JsonValue | Unset) -> str:
    """Return the kind of value that one batch can hold: number, text or image; empty for anything else."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "number"
    return "image" if isinstance(value, Mapping) and {*value} == {"image_name"} else ""


def selections(space: Space[Any], columns: Columns, batchable: frozenset[str]) -> list[tuple[tuple[int, ...], ...]]:
    """Return the rows of each axis for each group of points that differ only in batchable inputs."""
    choices = []
    for axis in space.axes:
        rest = [columns[name] for name in axis.names if name not in batchable]
        groups: dict[str, list[int]] = {}
        for row in range(len(axis.rows)):
            groups.setdefault(json.dumps([_keyed(column[row]) for column in rest], default=repr), []).append(row)
        choices.append([tuple(rows) for rows in groups.values()])
    return list(itertools.product(*choices))


def _keyed(value: JsonValue | Unset) -> JsonValue:
    return {"unset": True} if isinstance(value, Unset) else [value]


def check_size(groups: Sequence[Group], runs: int) -> None:
    """Raise `ParamsError` if there are more than `MAX_ITEMS` items."""
    check_total(sum(group.size for group in groups), runs)


def blocks_of(space: Space[Any], groups: Sequence[Group], runs: int, limit: int) -> list[Block]:
    """Return all cells of a sweep in blocks of at most `limit`."""
    blocks: list[Block] = []
    for number, group in enumerate(groups):
        cells = tuple(group_cells(space, group, runs))
        if len(cells) <= limit:
            blocks.append(Block(number, cells, is_whole=True))
        else:
            blocks += [Block(number, cells[start : start + limit]) for start in range(0, len(cells), limit)]
    return blocks


def group_cells(space: Space[Any], group: Group, runs: int) -> Iterator[Cell]:
    """Yield the cells of a group in the order in which a server runs its batch."""
    points = [space.point_of(rows) for rows in itertools.product(*group.selection)]
    for run in range(runs):
        for point in points:
            for combination in range(group.combinations):
                yield Cell(run, point, combination)


def batch_of(
    plan: WorkflowPlan, space: Space[Any], group: Group, block: Block, columns: Columns, batchable: frozenset[str]
) -> tuple[Data, int]:
    """Return the batch data and the number of runs that make the items of a block."""
    bindings = {planned.name: planned.binding for planned in plan.inputs}
    if block.is_whole:
        data = [
            [_list(bindings[name], [columns[name][row] for row in rows]) for name in axis.names if name in batchable]
            for axis, rows in zip(space.axes, group.selection, strict=True)
        ]
        return [*filter(None, data), *group.own], 1 + max(cell.run for cell in block.cells)
    rows_of = [space.rows_of(cell.point) for cell in block.cells]
    together = [
        _list(bindings[name], [columns[name][rows[place]] for rows in rows_of])
        for place, axis in enumerate(space.axes)
        for name in axis.names
        if name in batchable
    ]
    for entry, places in zip(group.own, places_of(group, block.cells), strict=True):
        together += [{**column, "items": [column["items"][place] for place in places]} for column in entry]
    return ([together], 1) if together else ([], len(block.cells))


def field_values(
    plan: WorkflowPlan, space: Space[Any], group: Group, cell: Cell, columns: Columns, batchable: frozenset[str]
) -> list[dict[str, JsonValue]]:
    """Return the `field_values` of an item, as the server would report them."""
    bindings = {planned.name: planned.binding for planned in plan.inputs}
    varying = {
        bindings[name]: columns[name][row]
        for axis, row in zip(space.axes, space.rows_of(cell.point), strict=True)
        for name in axis.names
        if name in batchable
    }
    return [
        {"node_path": node, "field_name": name, "value": value}
        for (node, name), value in (varying | own_item(group, cell)).items()
    ]


def own_columns(group: Group, cell: Cell) -> dict[Binding, tuple[list[JsonValue], int]]:
    """Return the list of each of the workflow's own batch fields, and the place in it of the item that a cell has."""
    return {
        (column["node_path"], column["field_name"]): (column["items"], place)
        for entry, (place,) in zip(group.own, places_of(group, [cell]), strict=True)
        for column in entry
    }


def own_item(group: Group, cell: Cell) -> dict[Binding, JsonValue]:
    """Return the item of each of the workflow's own batch lists that a cell has, by the field it is put into."""
    return {binding: items[place] for binding, (items, place) in own_columns(group, cell).items()}


def own_places(group: Group, cell: Cell) -> dict[Binding, tuple[int, int]]:
    """Return the place of each item of `own_item` in its list, and the length of that list."""
    return {binding: (place, len(items)) for binding, (items, place) in own_columns(group, cell).items()}


def own_items(group: Group, cell: Cell) -> Data:
    """Return the batch data that makes the item of one cell alone."""
    together = [_list(binding, [item]) for binding, item in own_item(group, cell).items()]
    return [together] if together else []


def places_of(group: Group, cells: Sequence[Cell]) -> list[list[int]]:
    """Return, for each entry of the group's own batch data, which of its items each cell has."""
    sizes = [len(entry[0]["items"]) for entry in group.own]
    places: list[list[int]] = [[] for _ in sizes]
    for cell in cells:
        rest = cell.combination
        for entry in reversed(range(len(sizes))):
            rest, place = divmod(rest, sizes[entry])
            places[entry].append(place)
    return places


def graph_values(
    plan: WorkflowPlan, space: Space[Any], group: Group, base: Mapping[Binding, JsonValue | Unset], columns: Columns
) -> dict[Binding, JsonValue | Unset]:
    """Return the values in the graph of a group, including those that the server replaces by its batch data."""
    bindings = {planned.name: planned.binding for planned in plan.inputs}
    values = dict(base)
    for axis, rows in zip(space.axes, group.selection, strict=True):
        values |= {bindings[name]: columns[name][rows[0]] for name in axis.names}
    return values


def _list(binding: Binding, items: list[JsonValue | Unset]) -> dict[str, JsonValue]:
    node, name = binding
    assert UNSET not in items, "an empty value cannot be batch data"
    return {"node_path": node, "field_name": name, "items": items}


@dataclass(frozen=True, slots=True)
class ResolvedValues:
    """The values of a sweep as the server takes them."""

    base: Mapping[Binding, JsonValue | Unset]
    columns: Columns
    auto_board_id: str | None
    called: Mapping[str, JsonValue] = field(default_factory=dict)
    """The workflows that `call_saved_workflow` nodes call, as the server has them now, by id."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the items of a sweep are grouped into enqueues; every process that works on the sweep uses the same."""

    groups: Sequence[Group]
    batchable: frozenset[str]
    """The inputs whose values the server puts into the graph itself."""
    runs: int
    prepend: bool


def request_of(
    plan: WorkflowPlan, space: Space[Any], layout: Layout, resolved: ResolvedValues, block: Block
) -> dict[str, JsonValue]:
    """Return the request that puts the items of a block into the queue."""
    group = layout.groups[block.group]
    data, runs = batch_of(plan, space, group, block, resolved.columns, layout.batchable)
    values = graph_values(plan, space, group, resolved.base, resolved.columns)
    return build_request(
        with_called(plan, values, resolved.called),
        values,
        runs=runs,
        auto_board_id=resolved.auto_board_id,
        data=data,
        batch_id=block.batch_id,
        prepend=layout.prepend,
    )


class Numbering:
    """The number of each cell in its sweep, from 0: all of the first run, point by point, then the next run."""

    def __init__(self, space: Space[Any], groups: Sequence[Group], runs: int) -> None:
        sizes = [0] * len(space)
        self.group_of = [0] * len(space)
        """The group of each point."""
        for number, group in enumerate(groups):
            for rows in itertools.product(*group.selection):
                point = space.point_of(rows)
                sizes[point], self.group_of[point] = group.combinations, number
        *self._first, self._stride = itertools.accumulate(sizes, initial=0)
        self.cells = [
            Cell(run, point, combination)
            for run in range(runs)
            for point, size in enumerate(sizes)
            for combination in range(size)
        ]
        """Every cell, by its number."""

    def index(self, cell: Cell) -> int:
        """Return the number of a cell."""
        return cell.run * self._stride + self._first[cell.point] + cell.combination
