"""From the points of a sweep to its layout: every value as the server takes it, and which points share an enqueue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ValidationError

from invokeai_gen.core import problems
from invokeai_gen.core.batch import Binding, own_batches
from invokeai_gen.core.called_workflows import WORKFLOW_ID, with_called
from invokeai_gen.core.field_values import batch_item_validator
from invokeai_gen.core.plan import FieldLimits, JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.request import CALL_SAVED_WORKFLOW
from invokeai_gen.js_json import Unset
from invokeai_gen.runtime.called import fetch_called
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.resolve import resolve_board
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.sweeps.batching import (
    Columns,
    Group,
    Layout,
    ResolvedValues,
    check_size,
    graph_values,
    is_batchable,
    selections,
)
from invokeai_gen.sweeps.columns import resolve_columns
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.space import Space


async def resolve_values(
    plan: WorkflowPlan,
    space: Space[Any],
    client: AsyncInvokeAIClient,
    options: SweepOptions,
    preparations: Preparations,
) -> ResolvedValues:
    """Upload files and look up models and boards, each once; return all values as the server takes them."""
    bindings = {planned.name: planned.binding for planned in plan.inputs}
    varying = {bindings[name]: name for name in space.names}
    columns: dict[Binding, list[Any]] = {
        binding: [value] for binding, value in space.params(0).values().items() if binding not in varying
    }
    for name, values in space.columns().items():
        columns[bindings[name]] = values
    order = {planned.binding: planned.index for planned in plan.inputs}
    found = await resolve_columns(
        plan,
        {binding: columns[binding] for binding in sorted(columns, key=lambda binding: order[binding])},
        client,
        preparations,
        resolve_models=options.get("resolve_models", "auto"),
        create_boards=options.get("create_boards", False),
        upload=options.get("upload", "once"),
    )
    base = {binding: values[0] for binding, values in found.items() if binding not in varying}
    columns_by_name = {name: found[binding] for binding, name in varying.items()}
    return ResolvedValues(
        base=base,
        columns=columns_by_name,
        auto_board_id=await resolve_board(client, options.get("auto_board")),
        called=await _called(plan, space, client, base, columns_by_name),
    )


async def _called(
    plan: WorkflowPlan,
    space: Space[Any],
    client: AsyncInvokeAIClient,
    base: Mapping[Binding, JsonValue | Unset],
    columns: Columns,
) -> dict[str, JsonValue]:
    """Return the workflows that any of the points calls, by id."""
    called: dict[str, JsonValue] = {}
    if any(node.type == CALL_SAVED_WORKFLOW for node in plan.nodes):
        others = frozenset(planned.name for planned in plan.inputs if planned.field_name != WORKFLOW_ID)
        for selection in selections(space, columns, others):
            values = graph_values(plan, space, Group(selection, []), base, columns)
            called |= await fetch_called(plan, values, client, called)
    return called


async def lay_out(
    plan: WorkflowPlan, space: Space[Any], client: AsyncInvokeAIClient, options: SweepOptions, resolved: ResolvedValues
) -> Layout:
    """Return how the points become enqueues. The server is asked only for what generators of the workflow need of it.

    Raise `ParamsError` for values that the server could not put into the graph, for values of inputs that a called
    workflow no longer has, and for too many items.
    """
    columns = resolved.columns
    inputs = [planned for planned in plan.inputs if planned.name in columns]
    batchable = [planned for planned in inputs if is_batchable(plan, planned, columns[planned.name])]
    for planned in batchable:
        _check_items(planned, columns[planned.name])
    names = frozenset(planned.name for planned in batchable)
    groups: list[Group] = []
    for selection in selections(space, columns, names):
        values = graph_values(plan, space, Group(selection, []), resolved.base, columns)
        with_called(plan, values, resolved.called)
        groups.append(Group(selection, await own_batches(plan, values, client.ask)))
    check_size(groups, options.get("runs", 1))
    return Layout(groups, names, options.get("runs", 1), options.get("prepend", False))


async def own_groups(plan: WorkflowPlan, space: Space[Any], client: AsyncInvokeAIClient) -> list[Group]:
    """Return the points by the values of the workflow's own batch nodes, with the data of these, for single items."""
    executable = {node.id for node in plan.nodes if node.is_executable}
    inputs = {planned.name: planned for planned in plan.inputs}
    columns = space.columns()
    apart = frozenset(name for name in columns if inputs[name].node_id in executable)
    groups: list[Group] = []
    for selection in selections(space, columns, apart):
        values = space.params(space.point_of(rows[0] for rows in selection)).values()
        own = {binding: [value] for binding, value in values.items() if binding[0] not in executable}
        found = await resolve_columns(plan, own, client, Preparations(), with_hidden=False)
        batches = {binding: value for binding, (value,) in found.items()}
        groups.append(Group(selection, await own_batches(plan, batches, client.ask)))
    return groups


def _check_items(planned: PlannedInput, values: Sequence[JsonValue | Unset]) -> None:
    """Raise `ParamsError` for a value of the wrong type: the server accepts it and then its queue is blocked."""
    limits = FieldLimits(field_type=planned.field_type, constraints=planned.constraints, choices=planned.choices)
    validator = batch_item_validator(limits)
    if validator is None:
        return
    for place, value in enumerate(values):
        try:
            validator.validate_python(value)
        except ValidationError as error:
            target = f"{planned.node_label or planned.node_title!r} ({planned.field_name})"
            raise ParamsError([problems.unfit(planned, place, value, target, error)]) from None
