"""The values of one queue item: what a batch of the workflow, or a sweep, gave to this very item. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from invokeai_gen.core.batch import GENERATOR_FIELD, Binding, source_of
from invokeai_gen.core.json_values import guess_value
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.params_json import values_by_name
from invokeai_gen.core.plan import JsonValue, PlanBatch, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError

P = TypeVar("P", bound=WorkflowParams)

_SEQUENCE: Final = {"IntegerGeneratorField": "integer", "FloatGeneratorField": "float"}


def batch_values(field_values: Iterable[Mapping[str, JsonValue]] | None) -> dict[Binding, JsonValue]:
    """Return the batch data that an item got, by the field that it went into."""
    return {(entry["node_path"], entry["field_name"]): entry["value"] for entry in field_values or ()}


def values_of_item(
    plan: WorkflowPlan,
    params: WorkflowParams | None,
    given: Mapping[Binding, JsonValue],
    places: Mapping[Binding, tuple[int, int]] = {},
) -> dict[str, Any]:
    """Return the values that one item was run with, by Python name.

    The list of a batch node, or the generator that fills it, stands there as the one value that this item got. Batch
    nodes that are not on the form are added as `NODE LABEL: FIELD` of each field that they feed. `given` has the item's
    batch data as `batch_values` returns it; `places`, where it is known, the place of each in its list, and the length
    of that list, for values as the caller wrote them (the path of a file).
    """
    values = values_by_name(params) if params is not None else {}
    hidden = dict(given)
    for planned, value, batch in _values_on_form(plan, params, given, places):
        values[planned.name] = value
        for target in (planned.binding,) if batch is None else batch.targets:
            hidden.pop(target, None)
    return values | {
        f"{plan.node(node_id).label}: {name}": guess_value(value) for (node_id, name), value in hidden.items()
    }


def params_of_item(
    plan: WorkflowPlan,
    params: P,
    given: Mapping[Binding, JsonValue],
    places: Mapping[Binding, tuple[int, int]] = {},
) -> P:
    """Return the parameters that run one item alone: each batch list and generator has only the value that it got.

    Generators that cannot make one chosen value, such as those of a board, keep their settings. For the arguments see
    `values_of_item`.
    """
    changes: dict[str, Any] = {}
    for planned, value, batch in _values_on_form(plan, params, given, places):
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


def _values_on_form(
    plan: WorkflowPlan,
    params: WorkflowParams | None,
    given: Mapping[Binding, JsonValue],
    places: Mapping[Binding, tuple[int, int]],
) -> Iterator[tuple[PlannedInput, Any, PlanBatch | None]]:
    """Yield each input that batch data decides, with the item's value, and the batch unless the input is its target."""
    inputs = {planned.binding: planned for planned in plan.inputs if planned.fed_by is None}
    for batch in plan.batches:
        target = next((target for target in batch.targets if target in given), None)
        if target is not None and (planned := inputs.get(source_of(batch))) is not None:
            written: Any = getattr(params, planned.name, None)
            place, size = places.get(target, (0, -1))
            is_listed = isinstance(written, list) and len(written) == size
            yield planned, written[place] if is_listed else guess_value(given[target]), batch
    for binding, value in given.items():
        if (planned := inputs.get(binding)) is not None:
            yield planned, guess_value(value), None


def _generator_of(field_type: str, value: JsonValue) -> Mapping[str, JsonValue] | None:
    """Return generator settings that make exactly this value, if the type of generator can."""
    if field_type in _SEQUENCE:
        kind = f"{_SEQUENCE[field_type]}_generator_arithmetic_sequence"
        return {"type": kind, "start": value, "step": 0, "count": 1}
    if field_type == "StringGeneratorField":
        return {"type": "string_generator_parse_string", "input": value, "splitOn": ""}
    return None
