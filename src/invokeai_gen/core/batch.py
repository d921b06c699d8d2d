"""Batch data: how the lists of batch nodes become the `data` of an enqueue, and how many queue items that makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from pydantic_core import ValidationError

from invokeai_gen.core import problems
from invokeai_gen.core.field_values import batch_item_validator
from invokeai_gen.core.plan import FieldLimits, JsonValue, PlanBatch, WorkflowPlan
from invokeai_gen.core.problems import NamedInput, ParamsError, Problem
from invokeai_gen.core.values import Input
from invokeai_gen.js_json import UNSET, Unset, in_key_order
from invokeai_gen.texts import shown

if TYPE_CHECKING:
    from invokeai_gen.core.generators import ServerQuery

Binding: TypeAlias = tuple[str, str]
"""What identifies an input: `(node id, field name)`."""

Values: TypeAlias = Mapping[Binding, JsonValue | Unset]
"""Values that take the place of the file's own; `UNSET` leaves the field empty."""

GROUP_FIELD = "batch_group_id"
GENERATOR_FIELD = "generator"
UNGROUPED = "None"


def value_of(plan: WorkflowPlan, values: Values, node_id: str, field_name: str) -> JsonValue | Unset:
    """Return the chosen value of a field, else the one in the file."""
    if (node_id, field_name) in values:
        return values[node_id, field_name]
    for item in plan.node(node_id).fields:
        if item.name == field_name:
            return item.value
    return UNSET


def server_queries(plan: WorkflowPlan, values: Values) -> tuple[ServerQuery, ...]:
    """Return the requests that a server must answer before the batches can be laid out."""
    generators = [batch.generator_node_id for batch in plan.batches if batch.generator_node_id is not None]
    if not generators:
        return ()
    from invokeai_gen.core.generators import server_query

    queries = (server_query(node_id, _settings(plan, values, node_id)) for node_id in generators)
    return tuple({query.node_id: query for query in queries if query is not None}.values())


def batch_items(
    plan: WorkflowPlan, values: Values, generated: Mapping[str, list[JsonValue]]
) -> dict[str, list[JsonValue]]:
    """Return the list of every batch node, by its id. `generated` has the answers to `server_queries`, by generator node."""
    return {batch.node_id: _items(plan, values, batch, generated) for batch in plan.batches}


def _items(
    plan: WorkflowPlan, values: Values, batch: PlanBatch, generated: Mapping[str, list[JsonValue]]
) -> list[JsonValue]:
    if batch.generator_node_id is None:
        own = value_of(plan, values, batch.node_id, batch.field_name)
        return own if isinstance(own, list) else []
    if batch.generator_node_id in generated:
        return generated[batch.generator_node_id]
    from invokeai_gen.core.generators import GeneratorError, generate

    try:
        return generate(_settings(plan, values, batch.generator_node_id))
    except GeneratorError as error:
        raise ParamsError([problems.about(_input_of(plan, batch), f": {error}")]) from error


def _settings(plan: WorkflowPlan, values: Values, node_id: str) -> dict[str, JsonValue]:
    """Return the settings of a generator; empty if they are not settings of any known kind."""
    from invokeai_gen.generator_settings import parse_settings

    settings = value_of(plan, values, node_id, GENERATOR_FIELD)
    return (parse_settings(settings) if isinstance(settings, dict) and "type" in settings else None) or {}


def batch_groups(plan: WorkflowPlan, values: Values) -> dict[str, list[PlanBatch]]:
    """Return the batch nodes by group, in order of first appearance. Nodes without the field share the group `undefined`."""
    groups: dict[str, list[PlanBatch]] = {}
    for batch in plan.batches:
        group = value_of(plan, values, batch.node_id, GROUP_FIELD)
        groups.setdefault("undefined" if group is UNSET else str(group), []).append(batch)
    return in_key_order(groups.items())


def batch_data(
    plan: WorkflowPlan, values: Values, items: Mapping[str, list[JsonValue]]
) -> list[list[dict[str, JsonValue]]]:
    """Return the `data` of an enqueue: batch nodes without a group multiply, those of one group advance together."""
    data = []
    for group, batches in batch_groups(plan, values).items():
        rows = [
            [{"node_path": node, "field_name": name, "items": items[batch.node_id]} for node, name in batch.targets]
            for batch in batches
        ]
        data += rows if group == UNGROUPED else [[column for row in rows for column in row]]
    return [row for row in data if row]


def size_problems(
    plan: WorkflowPlan, values: Values, items: Mapping[str, list[JsonValue]]
) -> Iterator[tuple[tuple[PlanBatch, ...], str]]:
    """Yield why the GUI would not invoke batches of these sizes, each with the one empty batch or the unequal ones."""
    for batch in plan.batches:
        if not items[batch.node_id]:
            yield (batch,), "the batch is empty"
    for group, batches in batch_groups(plan, values).items():
        sizes = [(_input_of(plan, batch).label, len(items[batch.node_id])) for batch in batches]
        if group != UNGROUPED and len({size for _, size in sizes}) > 1:
            listed = ", ".join(f"{shown(label)} has {size}" for label, size in sizes)
            yield tuple(batches), f"the batches of group {shown(group)} differ in length: {listed}"


def source_of(batch: PlanBatch) -> Binding:
    """Return the field that decides the items of a batch: its list, or the settings of its generator."""
    if batch.generator_node_id is not None:
        return batch.generator_node_id, GENERATOR_FIELD
    return batch.node_id, batch.field_name


def check_items(plan: WorkflowPlan, values: Values, items: Mapping[str, list[JsonValue]]) -> None:
    """Raise `ParamsError` for batches that are empty or of unequal length, or hold what their fields cannot.

    The server does not check the items before it runs them, and one that does not fit blocks its whole queue.
    """
    found = [
        problems.about(_input_of(plan, batches[0]), f": {problem}") if len(batches) == 1 else Problem("", problem)
        for batches, problem in size_problems(plan, values, items)
    ]
    for batch in plan.batches:
        for (node_id, field_name), limits in zip(batch.targets, batch.target_limits, strict=False):
            target = f"{plan.node(node_id).label!r} ({field_name})"
            found += unfit_items(_input_of(plan, batch), limits, target, items[batch.node_id])
    if found:
        raise ParamsError(found)


def unfit_items(
    item: NamedInput, limits: FieldLimits, target: str, values: Iterable[JsonValue | Unset]
) -> Iterator[Problem]:
    """Yield the problem of each value that does not fit the field `target`, into which a batch would put it."""
    validator = batch_item_validator(limits)
    if validator is None:
        return
    for place, value in enumerate(values):
        try:
            validator.validate_python(value)
        except ValidationError as error:
            yield problems.unfit(item, place, value, target, error)


def _input_of(plan: WorkflowPlan, batch: PlanBatch) -> NamedInput:
    """Return the input to change: the list or its generator on the form, else a stand-in that names the node."""
    source = source_of(batch)
    node = plan.node(source[0])
    return next(
        (planned for planned in plan.inputs if planned.binding == source),
        Input(-1, node=node.id, field=batch.field_name, label=node.label),
    )


async def own_batches(
    plan: WorkflowPlan, values: Values, ask: Callable[..., Awaitable[JsonValue]] | None
) -> list[list[dict[str, JsonValue]]]:
    """Return the batch data of the workflow's batch nodes; `ask` asks the server for what only it can generate.

    Raises `ParamsError` for lists that are empty, differ in length, or contain values that do not fit their fields.
    """
    if not plan.batches:
        return []
    generated: dict[str, list[JsonValue]] = {}
    for query in server_queries(plan, values):
        assert ask is not None, "a server generates these"
        answer = await ask(query.method, query.path, params=dict(query.params or {}), json=query.json)
        generated[query.node_id] = query.items(answer)
    items = batch_items(plan, values, generated)
    check_items(plan, values, items)
    return batch_data(plan, values, items)
