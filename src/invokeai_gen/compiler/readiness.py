"""Every reason why the GUI would not invoke a workflow, in the terms that the GUI shows."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from invokeai_gen.core.batch import GENERATOR_FIELD, Binding, Values, size_problems, source_of, value_of
from invokeai_gen.core.plan import JsonValue, PlanBatch, WorkflowPlan
from invokeai_gen.core.problems import range_text
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.js_reading import is_integer, is_number
from invokeai_gen.schema import InputTemplate, Schema
from invokeai_gen.schema.releases import RELEASE_OF, newest
from invokeai_gen.schema.templates import BATCH_FIELDS
from invokeai_gen.texts import shown
from invokeai_gen.workflow.document import ConnectorNode, InvocationNode, LoadedWorkflow

_IS_ITEM: Mapping[str, Callable[[JsonValue], bool]] = {
    "StringField": lambda item: isinstance(item, str),
    "IntegerField": is_integer,
    "FloatField": is_number,
    "ImageField": lambda item: isinstance(item, dict),
}
"""The items of the collections that the GUI can edit. It does not check lists of anything else."""

MAX_LISTED: Final = 10
"""A message lists at most so many choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason why a workflow cannot be invoked."""

    problem: str
    """What is wrong, with the value and what was allowed."""
    node_id: str = ""
    node_type: str = ""
    node_label: str = ""
    """What the GUI shows on the node."""
    field_name: str = ""
    field_label: str = ""
    """What the GUI shows on the field."""
    values: frozenset[Binding] = frozenset()
    """The fields whose values are empty or not allowed, so that other values solve the problem; empty if none can."""

    def __str__(self) -> str:
        if not self.node_id:
            return self.problem
        where = f"node {shown(self.node_label)} ({self.node_type}, id {self.node_id})"
        if self.field_name:
            where += f", field {shown(self.field_label)} ({self.field_name})"
        return f"{where}: {self.problem}"


class NotReadyError(InvokeAIGenError):
    """Raised for a workflow that the GUI would not invoke; `reasons` has every reason."""

    def __init__(self, reasons: list[Reason]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("\n".join(str(reason) for reason in reasons))


def reasons_of(
    workflow: LoadedWorkflow,
    plan: WorkflowPlan,
    schema: Schema,
    values: Values,
    items: Mapping[str, list[JsonValue]] | None,
) -> list[Reason]:
    """Return every reason why the GUI would not invoke `workflow` with these values in its form.

    `items` are the lists of the batch nodes, by node id; `None` if only a server knows them, so that the sizes of
    batches cannot be checked.
    """
    connected = {(edge.target, edge.target_handle) for edge in workflow.edges}
    connected |= workflow.fed_by_unknown  # the missing node is the reason, not that its targets are now empty
    reasons = [*_newer_server_reason(workflow, schema), *_batch_reasons(workflow, plan, values, items)]
    nodes = workflow.node_by_id()
    found: list[Reason] = []
    for node in workflow.invocations():
        # The GUI looks for problems of a node by the id in its data.
        other = nodes.get(node.data_id)
        if isinstance(other, InvocationNode):
            found += _node_reasons(other, values, connected)
        else:
            reasons.append(_reason(node, f"the id in its data, {shown(node.data_id)}, is not the id of any such node"))
    return reasons + found


def _newer_server_reason(workflow: LoadedWorkflow, schema: Schema) -> Iterator[Reason]:
    """Yield one reason that names all node types of a newer InvokeAI."""
    types = dict.fromkeys(node.type for node in workflow.invocations() if node.template is None)
    releases = {node_type: RELEASE_OF[node_type] for node_type in types if node_type in RELEASE_OF}
    if releases:
        server = f" (the server has {schema.version})" if schema.version else ""
        yield Reason(problem=f"needs InvokeAI {newest(releases.values())} or newer{server}: {', '.join(releases)}")


def _node_reasons(node: InvocationNode, values: Values, connected: set[tuple[str, str]]) -> Iterator[Reason]:
    template = node.template
    if template is None:
        if node.type not in RELEASE_OF:
            yield _reason(
                node, "this node type does not exist on the server (install its node pack, or delete the node)"
            )
        return
    for name, instance in node.inputs.items():
        field_template = node.input_template(name)
        if field_template is None:
            if not node.takes_extra_inputs:
                yield _reason(
                    node,
                    f"the server's version {template.version} of this node has no such field (the file has version "
                    f"{node.version}); delete the node in the GUI and add it again",
                    name,
                    instance.label or name,
                )
        elif (node.id, name) not in connected:
            value = values.get((node.id, name), instance.value)
            for problem in value_problems(value, field_template):
                label = instance.label or field_template.title
                yield _reason(node, problem, name, label, [(node.id, name)])


def refused_choices(workflow: LoadedWorkflow) -> Iterator[Reason]:
    """Yield what the GUI does not check but the server will refuse: values that are not among the choices."""
    connected = {(edge.target, edge.target_handle) for edge in workflow.edges}
    for node in workflow.invocations():
        for name, instance in node.inputs.items():
            template = node.input_template(name)
            if template is not None and (node.id, name) not in connected:
                problem = choice_problem(instance.value, template)
                if problem is not None:
                    label = instance.label or template.title
                    yield _reason(node, f"{problem}, so the server will refuse it", name, label)


def value_problems(value: JsonValue | Unset, template: InputTemplate) -> Iterator[str]:
    """Yield what the GUI finds wrong with the value of a field that is not connected."""
    if value is UNSET:
        if template.required:
            yield "a value is required, and the field is empty"
        return
    kind = template.type
    if isinstance(value, list):
        if kind.cardinality == "COLLECTION" and _is_list_of(value, kind.name):
            yield from _collection_problems(value, template.limits)
    elif isinstance(value, (int, float)) and kind.cardinality != "COLLECTION" and _is_list_of([value], kind.name):
        yield from _number_problems(value, template.limits)


def choice_problem(value: JsonValue | Unset, template: InputTemplate) -> str | None:
    """Return what is wrong with a value that is not among the choices: the GUI sends it, and the server answers 422."""
    is_choice = bool(template.choices) and template.type.name in ("EnumField", "SchedulerField")
    if not is_choice or value is UNSET or value is None or value in template.choices:
        return None
    listed = ", ".join(map(repr, template.choices[:MAX_LISTED]))
    more = f", … ({len(template.choices)} in all)" if len(template.choices) > MAX_LISTED else ""
    return f"{shown(value)} is not one of {listed}{more}"


def _collection_problems(items: list[JsonValue], limits: Mapping[str, float]) -> Iterator[str]:
    yield from _size_problems(f"it has {len(items)} items", len(items), limits, "items")
    for item in items:
        if isinstance(item, str):
            yield from _size_problems(f"{shown(item)} has {len(item)} characters", len(item), limits, "length")
        elif isinstance(item, (int, float)):
            yield from _number_problems(item, limits)


def _size_problems(what: str, size: int, limits: Mapping[str, float], suffix: str) -> Iterator[str]:
    low, high = limits.get(f"min_{suffix}", size), limits.get(f"max_{suffix}", size)
    if size < low:
        yield f"{what}, but should have {range_text([('ge', low)])}"
    if size > high:
        yield f"{what}, but should have {range_text([('le', high)])}"


_KEEPS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "le": operator.le,
    "ge": operator.ge,
    "lt": operator.lt,
    "gt": operator.gt,
    "multiple_of": lambda value, step: value % step == 0,
}


def _number_problems(value: float, limits: Mapping[str, float]) -> Iterator[str]:
    for name, keeps in _KEEPS.items():
        if name in limits and not keeps(value, limits[name]):
            yield f"{value} should be {range_text([(name, limits[name])])}"


def _batch_reasons(
    workflow: LoadedWorkflow, plan: WorkflowPlan, values: Values, items: Mapping[str, list[JsonValue]] | None
) -> Iterator[Reason]:
    nodes = {node.id: node for node in workflow.invocations()}
    if not any(node.is_executable for node in nodes.values()):
        yield Reason(problem="the workflow has no node that could run")
    connectors = {node.id for node in workflow.nodes if isinstance(node, ConnectorNode)}
    for batch in plan.batches:
        node = nodes[batch.node_id]
        if not any(edge.source == node.id for edge in workflow.edges):
            yield _batch_reason(node, "this batch node is not connected")
        if any(target in connectors for target, _ in batch.targets):
            yield _batch_reason(
                node, "a batch cannot go through a connector (the server refuses it): connect it directly"
            )
        yield from _batch_value_reasons(node, batch, workflow, plan, values)
    for batches, problem in size_problems(plan, values, items) if items is not None else ():
        fields = frozenset(map(source_of, batches))
        if len(batches) == 1:
            yield _batch_reason(nodes[batches[0].node_id], problem, fields)
        else:
            yield Reason(problem=problem, values=fields)


def _batch_value_reasons(
    node: InvocationNode, batch: PlanBatch, workflow: LoadedWorkflow, plan: WorkflowPlan, values: Values
) -> Iterator[Reason]:
    item = node.type.removesuffix("_batch")
    is_fed = any(edge.target == node.id and edge.target_handle == batch.field_name for edge in workflow.edges)
    if batch.generator_node_id is None:
        if is_fed:
            yield _batch_reason(node, "no generator enters the connector that this batch is connected to")
            return
        own = value_of(plan, values, node.id, batch.field_name)
        if own is not UNSET and not _is_list_of(own, f"{item.title()}Field"):
            yield _batch_reason(node, f"its list does not suit {node.type}", [source_of(batch)])
        return
    generator = plan.node(batch.generator_node_id)
    settings = value_of(plan, values, generator.id, GENERATOR_FIELD)
    kind = settings.get("type", "") if isinstance(settings, dict) else ""
    if not str(kind).startswith(f"{item}_generator_"):
        problem = f"the generator {shown(generator.label)} has no settings for {node.type}"
        yield _batch_reason(node, problem, [source_of(batch)])


def _is_list_of(value: JsonValue, type_name: str) -> bool:
    is_item = _IS_ITEM.get(type_name)
    return is_item is not None and isinstance(value, list) and all(map(is_item, value))


def _batch_reason(node: InvocationNode, problem: str, values: Iterable[Binding] = ()) -> Reason:
    return _reason(node, problem, BATCH_FIELDS[node.type], BATCH_FIELDS[node.type].title(), values)


def _reason(
    node: InvocationNode,
    problem: str,
    field_name: str = "",
    field_label: str = "",
    values: Iterable[Binding] = (),
) -> Reason:
    return Reason(
        problem=problem,
        node_id=node.id,
        node_type=node.type,
        node_label=node.title,
        field_name=field_name,
        field_label=field_label,
        values=frozenset(values),
    )
