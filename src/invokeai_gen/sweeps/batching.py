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
from typing import Any, Final, NamedTuple, TypeAlias

from invokeai_gen.core.batch import Binding
from invokeai_gen.core.called_workflows import with_called
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.core.request import build_request
from invokeai_gen.core.run_values import params_of_item, values_of_item
from invokeai_gen.js_json import Unset
from invokeai_gen.sweeps.space import MAX_ITEMS, Space, digits_of

Columns: TypeAlias = Mapping[str, Sequence[JsonValue | Unset]]
"""For each input that changes, by Python name: the value in each row of its axis, as the server takes it."""

Selection: TypeAlias = tuple[tuple[int, ...], ...]
"""Some rows of each axis, which stand for the points that are their combinations."""

Data: TypeAlias = list[list[dict[str, JsonValue]]]
"""Batch data: the lists of one entry advance together, the entries multiply, the last one changing fastest."""

_BATCH_TYPES: Final = frozenset(
    {"IntegerField", "FloatField", "StringField", "EnumField", "SchedulerField", "ImageField"}
)


class Cell(NamedTuple):
    """Where one queue item of a sweep stands."""

    run: int
    point: int
    combination: int = 0
    """Which combination of the workflow's own batch nodes."""


@dataclass(frozen=True, slots=True)
class Group:
    """Points whose graphs are the same but for their batch data."""

    selection: Selection
    own: Data
    """The batch data of the workflow's own batch nodes."""

    @property
    def combinations(self) -> int:
        """The number of items that the workflow's own batch nodes make of each point."""
        return math.prod(self._sizes)

    @property
    def _sizes(self) -> list[int]:
        return [len(entry[0]["items"]) for entry in self.own]

    @property
    def size(self) -> int:
        """The number of items in one run of the group."""
        return math.prod(map(len, self.selection)) * self.combinations

    def own_columns(self, cells: Sequence[Cell]) -> Iterator[tuple[dict[str, JsonValue], list[int]]]:
        """Yield each list of the workflow's own batch nodes, and the place in it of the item that each cell has."""
        places = [digits_of(cell.combination, self._sizes) for cell in cells]
        for number, entry in enumerate(self.own):
            yield from ((column, [each[number] for each in places]) for column in entry)

    def own_item(self, cell: Cell) -> dict[Binding, JsonValue]:
        """Return a cell's item in each list of the workflow's own batch nodes, by the field that it fills."""
        return {binding_of(column): column["items"][place] for column, (place,) in self.own_columns([cell])}

    def own_places(self, cell: Cell) -> dict[Binding, tuple[int, int]]:
        """Return the place of each item of `own_item` in its list, and the length of that list."""
        return {binding_of(column): (place, len(column["items"])) for column, (place,) in self.own_columns([cell])}

    def own_data(self, cells: Sequence[Cell]) -> list[dict[str, JsonValue]]:
        """Return the lists of the workflow's own batch nodes with the items of these cells, one for each cell."""
        return [
            {**column, "items": [column["items"][place] for place in places]}
            for column, places in self.own_columns(cells)
        ]


@dataclass(frozen=True, slots=True)
class Block:
    """The items that are sent with one enqueue."""

    group: int
    items: tuple[int, ...]
    """Their numbers, in the order in which the server makes queue items of them."""
    is_whole: bool = False
    """All items of the group, so that the server multiplies them itself."""
    batch_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def split(self, size: int) -> tuple[Block, Block]:
        """Return the first `size` items, which keep the id, and the rest as another block."""
        return Block(self.group, self.items[:size], batch_id=self.batch_id), Block(self.group, self.items[size:])


@dataclass(frozen=True, slots=True)
class ResolvedValues:
    """The values of a sweep as the server takes them."""

    base: Mapping[Binding, JsonValue | Unset]
    columns: Columns
    auto_board_id: str | None
    called: dict[str, JsonValue] = field(default_factory=dict)
    """The workflows that `call_saved_workflow` nodes call, as the server has them now, by id."""


class Layout:
    """The items of a sweep and how they are grouped into enqueues; every process that works on the sweep uses the same.

    Items are numbered from 0: all of the first run, point by point, then the next run.
    """

    def __init__(
        self,
        plan: WorkflowPlan,
        space: Space[Any],
        groups: Sequence[Group],
        batchable: frozenset[str] = frozenset(),
        runs: int = 1,
        *,
        prepend: bool = False,
    ) -> None:
        """`batchable` are the inputs whose values the server puts into the graph itself.

        Raise `ParamsError` if there are more than `MAX_ITEMS` items.
        """
        once = sum(group.size for group in groups)
        if once * runs > MAX_ITEMS:
            raise ParamsError([Problem("runs", f"the sweep has {once} × {runs} items; the limit is {MAX_ITEMS}")])
        self.plan: Final = plan
        self.space: Final = space
        self.groups: Final = groups
        self.batchable: Final = batchable
        self._runs = runs
        self._prepend = prepend
        sizes = [0] * len(space)
        self._group_of = [0] * len(space)
        for number, group in enumerate(groups):
            for rows in itertools.product(*group.selection):
                point = space.point_of(rows)
                sizes[point], self._group_of[point] = group.combinations, number
        *self._first, self._stride = itertools.accumulate(sizes, initial=0)
        self.cells: Final = [
            Cell(run, point, combination)
            for run in range(runs)
            for point, size in enumerate(sizes)
            for combination in range(size)
        ]
        """Where each item stands, by its number."""

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.cells)

    def group_of(self, index: int) -> int:
        """Return the number of an item's group."""
        return self._group_of[self.cells[index].point]

    def params(self, index: int) -> Any:
        """Return the `Params` of an item; a batch of the workflow holds only the item's own value."""
        return params_of_item(self.plan, *self._values(index))

    def values(self, index: int) -> dict[str, Any]:
        """Return the values of an item by name, for file names, tables and captions."""
        return values_of_item(self.plan, *self._values(index))

    def _values(self, index: int) -> tuple[Any, dict[Binding, JsonValue], dict[Binding, tuple[int, int]]]:
        cell, group = self.cells[index], self.groups[self.group_of(index)]
        return self.space.params(cell.point), group.own_item(cell), group.own_places(cell)

    def whole(self, number: int) -> Block:
        """Return all items of a group, in the order in which a server runs its batch."""
        group = self.groups[number]
        points = [self.space.point_of(rows) for rows in itertools.product(*group.selection)]
        items = tuple(
            run * self._stride + self._first[point] + combination
            for run in range(self._runs)
            for point in points
            for combination in range(group.combinations)
        )
        return Block(number, items, is_whole=True)

    def blocks(self, limit: int) -> list[Block]:
        """Return all items in blocks of at most `limit`."""
        blocks: list[Block] = []
        for number in range(len(self.groups)):
            block = self.whole(number)
            if len(block.items) <= limit:
                blocks.append(block)
            else:
                starts = range(0, len(block.items), limit)
                blocks += [Block(number, block.items[start : start + limit]) for start in starts]
        return blocks

    def batch(self, block: Block, columns: Columns) -> tuple[Data, int]:
        """Return the batch data and the number of runs that make the items of a block."""
        group, space = self.groups[block.group], self.space
        if block.is_whole:
            data = [self._lists(place, rows, columns) for place, rows in enumerate(group.selection)]
            return [*filter(None, data), *group.own], self._runs
        cells = [self.cells[index] for index in block.items]
        rows_of = [space.rows_of(cell.point) for cell in cells]
        lists = [self._lists(place, [rows[place] for rows in rows_of], columns) for place in range(len(space.axes))]
        together = [*itertools.chain(*lists), *group.own_data(cells)]
        return ([together], 1) if together else ([], len(cells))

    def _lists(self, axis: int, rows: Sequence[int], columns: Columns) -> list[dict[str, JsonValue]]:
        """Return the list of each batchable input of an axis, with its values in these rows."""
        return [
            {"node_path": node, "field_name": field_name, "items": [columns[name][row] for row in rows]}
            for name in self.space.axes[axis].names
            if name in self.batchable
            for node, field_name in [self.space.bindings[name]]
        ]

    def request(self, block: Block, resolved: ResolvedValues) -> dict[str, JsonValue]:
        """Return the request that puts the items of a block into the queue."""
        data, runs = self.batch(block, resolved.columns)
        values = graph_values(self.space, self.groups[block.group].selection, resolved.base, resolved.columns)
        return build_request(
            with_called(self.plan, values, resolved.called),
            values,
            runs=runs,
            auto_board_id=resolved.auto_board_id,
            data=data,
            batch_id=block.batch_id,
            prepend=self._prepend,
        )

    def field_values(self, index: int, columns: Columns) -> list[dict[str, JsonValue]]:
        """Return the `field_values` of an item, as the server would report them."""
        cell = self.cells[index]
        lists = [self._lists(place, [row], columns) for place, row in enumerate(self.space.rows_of(cell.point))]
        varying = {binding_of(column): column["items"][0] for column in itertools.chain(*lists)}
        own = self.groups[self.group_of(index)].own_item(cell)
        return [
            {"node_path": node, "field_name": name, "value": value} for (node, name), value in (varying | own).items()
        ]


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


def selections(space: Space[Any], columns: Columns, batchable: frozenset[str]) -> list[Selection]:
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


def graph_values(
    space: Space[Any], selection: Selection, base: Mapping[Binding, JsonValue | Unset], columns: Columns
) -> dict[Binding, JsonValue | Unset]:
    """Return the values in the graph of a group, including those that the server replaces by its batch data."""
    values = dict(base)
    for axis, rows in zip(space.axes, selection, strict=True):
        values |= {space.bindings[name]: columns[name][rows[0]] for name in axis.names}
    return values


def binding_of(column: Mapping[str, JsonValue]) -> Binding:
    """Return the field that a list of batch data fills."""
    return column["node_path"], column["field_name"]
