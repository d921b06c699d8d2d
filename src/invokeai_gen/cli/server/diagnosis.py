"""What stands between a generated module and a server: node types, models, boards and images, by their GUI labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from invokeai_gen.compiler.readiness import value_problems
from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.plan import JsonValue, ModelLimits, PlannedInput, PlanNode, WorkflowPlan
from invokeai_gen.core.values import BoardRef, ModelRef
from invokeai_gen.js_json import UNSET
from invokeai_gen.runtime.resolve import find_board, find_model
from invokeai_gen.server.errors import BoardResolutionError, ModelResolutionError, NotFoundError
from invokeai_gen.server.records import Board, Model
from invokeai_gen.workflow.document import NODES_WITH_EXTRA_INPUTS

if TYPE_CHECKING:
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.schema import NodeTemplate, Schema

_MODEL_KEYS: Final = frozenset({"key", "name", "base", "type"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a server lacks or has otherwise."""

    kind: Literal["error", "warning"]
    where: str
    """What the GUI calls the input or node."""
    problem: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a server has, as far as some modules name it."""

    models: list[Model]
    boards: list[Board]
    missing_media: frozenset[tuple[str, str]]
    """`(kind, name)` of the images and videos that are named and not there."""


def inventory_of(client: InvokeAIClient, plans: Iterable[WorkflowPlan]) -> Inventory:
    """Ask a server for everything that the modules name."""
    named = {media for plan in plans for _, _, value in _values(plan) for media in _media(value)}
    missing = set()
    for kind, name in sorted(named):
        try:
            if kind == "image":
                client.images.get(name)
            else:
                client.videos.get(name)
        except NotFoundError:
            missing.add((kind, name))
    return Inventory(client.models.list(), client.boards.list(include_archived=True), frozenset(missing))


def diagnose(plan: WorkflowPlan, schema: Schema, known: Schema, inventory: Inventory) -> list[Finding]:
    """Everything that a server with this schema and inventory lacks for a module.

    `known` are the node types that the module was probably generated from: only with them can a schema be compared in
    more than what the module itself uses of it.
    """
    return [
        *_version_findings(plan, schema),
        *_node_findings(plan, schema, known),
        *_value_findings(plan, inventory),
    ]


def _version_findings(plan: WorkflowPlan, schema: Schema) -> Iterator[Finding]:
    then, now = plan.info.server_version, schema.version
    if then and now and then.split(".")[0] != now.split(".")[0]:
        yield Finding("warning", "InvokeAI", f"generated for version {then}, the server has {now}")


def _node_findings(plan: WorkflowPlan, schema: Schema, known: Schema) -> Iterator[Finding]:
    types = {node.type for node in plan.nodes}
    if schema.fingerprint(types) == plan.info.schema_fingerprint:
        return
    is_known = known.fingerprint(types) == plan.info.schema_fingerprint
    versions = _versions(plan)
    is_explained = False
    for node_type in sorted(types):
        nodes = [node for node in plan.nodes if node.type == node_type]
        where = _named_nodes(nodes)
        template = schema.template(node_type)
        if template is None:
            is_explained = True
            yield Finding("error", where, f"the server has no node type {node_type!r} (is a node pack missing?)")
            continue
        problems = [*_lost(nodes, plan, template)]
        for problem in problems:
            yield Finding("error", where, problem)
        then, now = versions.get(node_type, ""), template.version
        if then and then != now:
            kind: Literal["error", "warning"] = "error" if then.split(".")[0] != now.split(".")[0] else "warning"
            yield Finding(kind, where, f"{node_type} was version {then}, the server has {now}: generate again")
        elif is_known and not problems and known.fingerprint([node_type]) != schema.fingerprint([node_type]):
            yield Finding("warning", where, f"the schema of {node_type} changed: generate again to be sure")
        else:
            is_explained = is_explained or bool(problems)
            continue
        is_explained = True
    if not is_explained:
        problem = (
            "the schema of some node type changed; which one cannot be told without the node types that the module was "
            "generated from (--openapi FILE): generate again to be sure"
        )
        yield Finding("warning", "node types", problem)


def _lost(nodes: list[PlanNode], plan: WorkflowPlan, template: NodeTemplate) -> Iterator[str]:
    """What the module uses of a node type and the server's has not, or does not allow."""
    if template.type in NODES_WITH_EXTRA_INPUTS:
        return
    told = set()
    ids = {node.id for node in nodes}
    on_form = {planned.binding for planned in plan.inputs}
    for node in nodes:
        for field in node.fields:
            known = template.inputs.get(field.name)
            if known is None:
                if not field.is_called_input and field.name not in told:
                    told.add(field.name)
                    yield f"the server's {template.type} {template.version} has no field {field.name!r}"
            elif not field.is_connected and field.value is not UNSET and (node.id, field.name) not in on_form:
                for problem in value_problems(field.value, known):
                    yield f"field {known.title!r} ({field.name}): {problem}"
    for edge in plan.edges:
        if edge.source_node_id in ids and edge.source_field not in template.outputs and edge.source_field not in told:
            told.add(edge.source_field)
            yield f"the server's {template.type} {template.version} has no output {edge.source_field!r}"
    for planned in plan.inputs:
        known = template.inputs.get(planned.field_name)
        if planned.node_id in ids and known is not None and planned.fed_by is None and planned.value is not UNSET:
            for problem in value_problems(planned.value, known):
                yield f"the default of {planned.label!r} ({planned.name}): {problem}"


def _value_findings(plan: WorkflowPlan, inventory: Inventory) -> Iterator[Finding]:
    for where, planned, value in _values(plan):
        for kind, name in _media(value):
            if (kind, name) in inventory.missing_media:
                yield Finding("error", where, f"{kind} {name!r} is not on the server")
        for item in _items(value):
            if "board_id" in item:
                try:
                    find_board(where, BoardRef(str(item["board_id"])), inventory.boards)
                except BoardResolutionError:
                    yield Finding("error", where, f"the server has no board with id {str(item['board_id'])!r}")
            model = item.get("lora", item)
            if isinstance(model, Mapping) and model.keys() >= _MODEL_KEYS:
                yield from _model_findings(where, planned, model, inventory.models)


def _model_findings(
    where: str, planned: PlannedInput | None, model: Mapping[str, Any], models: list[Model]
) -> Iterator[Finding]:
    ref = ModelRef(**{key: str(model.get(key) or "") for key in ("key", "hash", "name", "base", "type")})
    shown = f"{ref.name} ({ref.base} {ref.type})"
    try:
        found = find_model(where, ref, model_limits(planned) if planned is not None else ModelLimits(), models)
    except ModelResolutionError:
        yield Finding("error", where, f"the server has no model {shown} with this hash or name")
        return
    if planned is None and found.key != ref.key:
        # The runtime looks up what the form sets; all other values are sent as the file has them.
        yield Finding(
            "error",
            where,
            f"model {shown} has another key on this server, and is not on the form: expose it, or save the workflow there",
        )


def _values(plan: WorkflowPlan) -> Iterator[tuple[str, PlannedInput | None, JsonValue]]:
    """Every value that a run without arguments sends, and what the GUI calls its field."""
    inputs = {planned.binding: planned for planned in plan.inputs}
    for node in plan.nodes:
        for field in node.fields:
            planned = inputs.get((node.id, field.name))
            value = field.value if planned is None else planned.value
            if not field.is_connected and value is not UNSET:
                where = f"{planned.label} ({planned.name})" if planned is not None else f"{node.label}, {field.name}"
                yield where, planned, value


def _items(value: JsonValue) -> Iterator[Mapping[str, JsonValue]]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Mapping):
            yield item


def _media(value: JsonValue) -> Iterator[tuple[str, str]]:
    for item in _items(value):
        for kind in ("image", "video"):
            name = item.get(f"{kind}_name")
            if isinstance(name, str):
                yield kind, name


def _versions(plan: WorkflowPlan) -> dict[str, str]:
    """Node type to version, as far as the workflow beside the module has it."""
    found = {}
    nodes = plan.workflow.get("nodes", ()) if isinstance(plan.workflow, Mapping) else ()
    for node in nodes:
        data = node.get("data", {})
        if node.get("type") == "invocation" and isinstance(data.get("version"), str):
            found[str(data.get("type"))] = data["version"]
    return found


def _named_nodes(nodes: list[PlanNode]) -> str:
    labels = list(dict.fromkeys(node.label for node in nodes))
    more = f" and {len(labels) - 2} more" if len(labels) > 2 else ""
    return f"node {', '.join(map(repr, labels[:2]))}{more}"
