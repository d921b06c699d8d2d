"""The values of one queue item of a batch: pure rules over what the server says about the item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

from invokeai_gen.core.batch import GENERATOR_FIELD, Binding
from invokeai_gen.core.json_values import guess_value
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.core.problems import ParamsError

P = TypeVar("P", bound=WorkflowParams)


def batch_values(field_values: Iterable[Mapping[str, JsonValue]] | None) -> dict[Binding, JsonValue]:
    """Return the batch data that an item got, by the field that it went into."""
    return {(entry["node_path"], entry["field_name"]): entry["value"] for entry in field_values or ()}


def values_of_item(
    plan: WorkflowPlan, params: WorkflowParams | None, given: Mapping[Binding, JsonValue]
) -> dict[str, Any]:
    """Return the values that one item was run with, by the Python name of the input.

    The list of a batch node, or the generator that fills it, stands there as the one value that this item got. Batch
    nodes that are not on the form are added under `NODE LABEL: FIELD`. `given` is what `batch_values` returns.
    """
    values = {spec.name: getattr(params, spec.name) for spec in fields(cast(Any, params))} if params is not None else {}
    names = {planned.binding: planned.name for planned in plan.inputs}
    for batch in plan.batches:
        own = [target for target in batch.targets if target in given]
        if not own:
            continue
        value = guess_value(given[own[0]])
        source = (batch.node_id, batch.field_name)
        if batch.generator_node_id is not None:
            source = (batch.generator_node_id, GENERATOR_FIELD)
        if (name := names.get(source)) is not None:
            values[name] = value
        else:
            values[f"{plan.node(own[0][0]).label}: {own[0][1]}"] = value
    for binding, value in given.items():
        if binding in names:
            values[names[binding]] = guess_value(value)
    return values


def params_of_item(plan: WorkflowPlan, params: P, given: Mapping[Binding, JsonValue]) -> P:
    """Return the parameters that run one item of a batch alone: its lists have the one value that the item got.

    Generators keep their settings.
    """
    names = {planned.binding: planned.name for planned in plan.inputs}
    changes: dict[str, Any] = {
        names[binding]: guess_value(value) for binding, value in given.items() if binding in names
    }
    for batch in plan.batches:
        own = next((given[target] for target in batch.targets if target in given), None)
        name = names.get((batch.node_id, batch.field_name))
        if own is not None and name is not None and batch.generator_node_id is None:
            changes[name] = [guess_value(own)]
    try:
        return replace(cast(Any, params), **changes) if changes else params
    except ParamsError:  # a list that may not be as short as this
        return params
