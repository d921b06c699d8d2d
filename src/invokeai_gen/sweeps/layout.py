"""From the points of a sweep to its layout: every value as the server takes it, and which points share an enqueue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from invokeai_gen.core.batch import Binding, own_batches, unfit_items
from invokeai_gen.core.called_workflows import WORKFLOW_ID, with_called
from invokeai_gen.core.placeholders import board_placeholder, placeholder
from invokeai_gen.core.plan import FieldLimits, JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.request import CALL_SAVED_WORKFLOW
from invokeai_gen.js_json import Unset
from invokeai_gen.runtime.called import fetch_called
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.options import SubmitOptions, check_options
from invokeai_gen.runtime.resolve import Resolver, resolve_board
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.constants import DEFAULT_CAPACITY
from invokeai_gen.sweeps.batching import Group, Layout, ResolvedValues, graph_values, is_batchable, selections
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.space import Space


async def resolve_columns(
    plan: WorkflowPlan,
    columns: Mapping[Binding, Sequence[Any]],
    client: AsyncInvokeAIClient,
    options: SubmitOptions,
    preparations: Preparations,
) -> dict[Binding, list[JsonValue | Unset]]:
    """Return any number of values for each input as JSON; see `runtime.resolve.resolve`.

    What `preparations` contains is not uploaded again, and what is made is added to it. Models, images and boards of
    hidden fields are looked up too, and returned if they have another key here.
    """
    more = preparations.branch()  # undoing these must not delete what was made before
    inputs = {planned.binding: planned for planned in plan.inputs}
    keyed = {binding: [_key(value, place) for place, value in enumerate(each)] for binding, each in columns.items()}
    distinct = {
        (binding, key): (inputs[binding], value)
        for binding, each in columns.items()
        for key, value in zip(keyed[binding], each, strict=True)
    }
    answers, changed = await Resolver(client, options, more).resolve(list(distinct.values()), plan)
    preparations.add(more)
    found = dict(zip(distinct, answers, strict=True))
    given = {binding: [found[binding, key] for key in keys] for binding, keys in keyed.items()}
    return {binding: [value] for binding, value in changed.items()} | given


def _key(value: Any, place: int) -> object:
    """Return a key that is equal for values that need to be looked up only once: a sweep can have many."""
    return (type(value), value) if isinstance(value, (str, int, float, Path)) else place


async def resolve_values(
    plan: WorkflowPlan,
    space: Space[Any],
    client: AsyncInvokeAIClient,
    options: SubmitOptions,
    preparations: Preparations,
) -> ResolvedValues:
    """Upload files and look up models and boards, each once; return all values as the server takes them."""
    given = {binding: [value] for binding, value in space.params(0).values().items()}
    given |= {space.bindings[name]: values for name, values in space.columns().items()}
    base = await resolve_columns(plan, given, client, options, preparations)
    columns = {name: base.pop(binding) for name, binding in space.bindings.items()}
    resolved = ResolvedValues(
        base={binding: values[0] for binding, values in base.items()},
        columns=columns,
        auto_board_id=await resolve_board(client, options.get("auto_board")),
    )
    if any(node.type == CALL_SAVED_WORKFLOW for node in plan.nodes):
        others = frozenset(planned.name for planned in plan.inputs if planned.field_name != WORKFLOW_ID)
        for selection in selections(space, columns, others):
            values = graph_values(space, selection, resolved.base, columns)
            resolved.called.update(await fetch_called(plan, values, client, resolved.called))
    return resolved


async def lay_out(
    plan: WorkflowPlan, space: Space[Any], client: AsyncInvokeAIClient, options: SubmitOptions, resolved: ResolvedValues
) -> Layout:
    """Return how the points become enqueues. The server is asked only for what generators of the workflow need.

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
        values = graph_values(space, selection, resolved.base, columns)
        with_called(plan, values, resolved.called)
        groups.append(Group(selection, await own_batches(plan, values, client.ask)))
    return Layout(plan, space, groups, names, options.get("runs", 1), prepend=options.get("prepend", False))


def unresolved_values(plan: WorkflowPlan, space: Space[Any], options: SubmitOptions) -> ResolvedValues:
    """Return all values with placeholders for names of models and boards, and for files, without asking a server."""
    inputs = {planned.binding: planned for planned in plan.inputs}
    base, columns = space.params(0).values(), space.columns()
    return ResolvedValues(
        base={binding: placeholder(inputs[binding], value) for binding, value in base.items()},
        columns={
            name: [placeholder(inputs[binding], value) for value in columns[name]]
            for name, binding in space.bindings.items()
        },
        auto_board_id=board_placeholder(options.get("auto_board")),
    )


async def dry_run(
    plan: WorkflowPlan, space: Space[Any], client: AsyncInvokeAIClient, options: SweepOptions
) -> tuple[Layout, int, dict[str, JsonValue]]:
    """Return the items of a sweep, the number of requests that would put them into an empty queue, and the first request.

    Nothing is sent; the server is asked only for what batch nodes need. Names of models and boards, and files, are not
    looked up: the request has `<model dreamshaper>`, `<board Cats>` and `<upload of in.png>` in their place. Raise
    `ParamsError` for values that cannot be sent.
    """
    check_options(options, SweepOptions.__annotations__)
    resolved = unresolved_values(plan, space, options)
    layout = await lay_out(plan, space, client, options, resolved)
    blocks = layout.blocks(DEFAULT_CAPACITY)
    return layout, len(blocks), layout.request(blocks[0], resolved)


def _check_items(planned: PlannedInput, values: Sequence[JsonValue | Unset]) -> None:
    """Raise `ParamsError` for a value of the wrong type: the server accepts it and then its queue is blocked."""
    limits = FieldLimits(field_type=planned.field_type, constraints=planned.constraints, choices=planned.choices)
    target = f"{planned.node_label or planned.node_title!r} ({planned.field_name})"
    if (problem := next(unfit_items(planned, limits, target, values), None)) is not None:
        raise ParamsError([problem])
