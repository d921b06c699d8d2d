"""What one run of a sweep was made with, where the workflow has batch nodes of its own. Pure rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final, TypeVar, cast

from invokeai_gen.core.batch import GENERATOR_FIELD
from invokeai_gen.core.json_values import guess_value
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue, PlanBatch, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.sweeps.batching import Cell, Group, own_item, places_of

P = TypeVar("P", bound=WorkflowParams)

_SEQUENCE: Final = {"IntegerGeneratorField": "integer", "FloatGeneratorField": "float"}


def params_of_run(plan: WorkflowPlan, params: P, group: Group, cell: Cell) -> P:
    """Return the values of one run: each batch list and generator holds only the item that this run got.

    Given to `run` again, they make the same run alone.
    """
    changes: dict[str, Any] = {}
    for planned, value, batch in _batch_inputs(plan, params, group, cell):
        if batch is None:
            changes[planned.name] = value
        elif planned.field_name != GENERATOR_FIELD:
            changes[planned.name] = [value]
        elif (settings := _generator_of(planned.field_type, value)) is not None:
            changes[planned.name] = settings
    try:
        return replace(cast(Any, params), **changes) if changes else params
    except ParamsError:  # a list that may not be as short as this
        return params


def values_of_run(plan: WorkflowPlan, params: WorkflowParams, group: Group, cell: Cell) -> dict[str, Any]:
    """Return the values of one run by name, for file names, tables and captions.

    A batch list or generator stands there as the one item that this run got. Batch nodes that are not on the form are
    added as `LABEL: FIELD` of the field they feed.
    """
    values = values_of(params)
    items = own_item(group, cell)
    for planned, value, batch in _batch_inputs(plan, params, group, cell):
        values[planned.name] = value
        for target in (planned.binding,) if batch is None else batch.targets:
            items.pop(target, None)
    hidden = {f"{plan.node(node_id).label}: {name}": guess_value(item) for (node_id, name), item in items.items()}
    return values | hidden


def values_of(params: WorkflowParams) -> dict[str, Any]:
    """Return all values by name."""
    return {spec.name: getattr(params, spec.name) for spec in fields(cast(Any, params))}


def _batch_inputs(
    plan: WorkflowPlan, params: WorkflowParams, group: Group, cell: Cell
) -> Iterator[tuple[PlannedInput, Any, PlanBatch | None]]:
    """Yield each input on the form that a batch decides, with this run's item, and the batch unless it is its target."""
    items = own_item(group, cell)
    inputs = {planned.binding: planned for planned in plan.inputs if planned.fed_by is None}
    for batch in plan.batches:
        target = next((target for target in batch.targets if target in items), None)
        if target is None:
            continue
        source = (
            (batch.node_id, batch.field_name)
            if batch.generator_node_id is None
            else (batch.generator_node_id, GENERATOR_FIELD)
        )
        if (planned := inputs.get(source)) is not None:
            yield planned, _as_given(getattr(params, planned.name), group, cell, target, items[target]), batch
        for fed in batch.targets:
            if (planned := inputs.get(fed)) is not None:
                yield planned, guess_value(items[target]), None


def _as_given(given: Any, group: Group, cell: Cell, target: tuple[str, str], item: JsonValue) -> Any:
    """Return the item as the caller wrote it in a list, such as the path of a file; else as the server has it."""
    place, size = _own_place(group, cell, target)
    return given[place] if isinstance(given, list) and len(given) == size else guess_value(item)


def _own_place(group: Group, cell: Cell, target: tuple[str, str]) -> tuple[int, int]:
    """Return which item of its batch list a run got, and how long that list is."""
    for entry, (place,) in zip(group.own, places_of(group, [cell]), strict=True):
        if any((column["node_path"], column["field_name"]) == target for column in entry):
            return place, len(entry[0]["items"])
    raise KeyError(target)


def _generator_of(field_type: str, item: JsonValue) -> Mapping[str, JsonValue] | None:
    """Return generator settings that give exactly this item, if the type of generator can."""
    if field_type in _SEQUENCE:
        kind = f"{_SEQUENCE[field_type]}_generator_arithmetic_sequence"
        return {"type": kind, "start": item, "step": 0, "count": 1}
    if field_type == "StringGeneratorField":
        return {"type": "string_generator_parse_string", "input": item, "splitOn": ""}
    return None
