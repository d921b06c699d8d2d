"""What keeps a server from running a workflow: node types, values, models, boards and images, by their GUI labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from invokeai_gen.compiler.readiness import choice_problem, value_problems
from invokeai_gen.core.field_values import default_of, model_limits
from invokeai_gen.core.matching import fits
from invokeai_gen.core.plan import JsonValue, ModelLimits, PlannedInput, PlanNode, WorkflowPlan
from invokeai_gen.core.values import BoardRef, ModelRef
from invokeai_gen.js_json import UNSET
from invokeai_gen.runtime.matching import find_board, find_model
from invokeai_gen.server.errors import BoardResolutionError, ModelResolutionError, NotFoundError
from invokeai_gen.server.inventory import Board, Model
from invokeai_gen.workflow.document import NODES_WITH_EXTRA_INPUTS

if TYPE_CHECKING:
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.schema import NodeTemplate, Schema

_MODEL_KEYS: Final = frozenset({"key", "name", "base", "type"})
_MAX_NAMES: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a server lacks, refuses or ignores."""

    kind: Literal["error", "warning"]
    where: str
    """What the GUI calls the input or node."""
    problem: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """The models, boards and images of a server, as far as workflows refer to them."""

    models: list[Model]
    boards: list[Board]
    missing_media: frozenset[tuple[str, str]]
    """`(kind, name)` of the images and videos that do not exist."""


def inventory_of(client: InvokeAIClient, plans: Iterable[WorkflowPlan]) -> Inventory:
    """Ask a server for everything that the plans refer to."""
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
    """Return everything that a server with this schema and inventory lacks, refuses or ignores of a plan.

    Errors are decided by what a run without arguments would send. `known` are the node types that the plan was probably
    made from: with them other changes of a schema are warned of, too.
    """
    return [
        *_version_findings(plan, schema),
        *_node_findings(plan, schema, known),
        *_value_findings(plan, inventory),
        *_missing_inputs(plan, inventory.models),
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
        found = [*_field_findings(nodes, plan, template), *_edge_findings(nodes, plan, template)]
        yield from found
        then, now = versions.get(node_type, ""), template.version
        if then and then != now:
            # The server does not look at versions: what it would refuse is among the errors above.
            yield Finding("warning", where, f"{node_type} was version {then}, the server has {now}: generate again")
        elif is_known and not found and known.fingerprint([node_type]) != schema.fingerprint([node_type]):
            yield Finding("warning", where, f"the schema of {node_type} changed: generate again to be sure")
        else:
            is_explained = is_explained or bool(found)
            continue
        is_explained = True
    if not is_explained:
        problem = (
            "the schema of some node type changed; which one is unknown without the node types that the module was "
            "generated from (--openapi FILE): generate again to be sure"
        )
        yield Finding("warning", "node types", problem)


def _field_findings(nodes: list[PlanNode], plan: WorkflowPlan, template: NodeTemplate) -> Iterator[Finding]:
    """Yield what the server would refuse or ignore of the values that a run without arguments sends."""
    inputs = {planned.binding: planned for planned in plan.inputs}
    for node in nodes:
        fields = {field.name: field for field in node.fields}
        for field in node.fields:
            known = template.inputs.get(field.name)
            planned = inputs.get((node.id, field.name))
            value = field.value if planned is None or planned.value is UNSET else planned.value
            if field.is_connected or field.is_called_input or value is UNSET:
                continue
            title = planned.label if planned is not None else known.title if known is not None else field.name
            where = f"{title} ({planned.name})" if planned is not None else f"{node.label}, {title} ({field.name})"
            if known is None:
                if template.type not in NODES_WITH_EXTRA_INPUTS:
                    problem = (
                        f"the server's {template.type} {template.version} has no field {field.name!r} and ignores it"
                    )
                    yield Finding("warning", where, problem)
                continue
            refused = [*value_problems(value, known), choice_problem(value, known)]
            yield from (Finding("error", where, problem) for problem in refused if problem)
        for name, known in template.inputs.items():
            if known.required and known.connection != "connection" and name not in fields:
                problem = f"the server's {template.type} {template.version} requires it, and the workflow has no value"
                yield Finding("error", f"{node.label}, {known.title} ({name})", problem)


def _edge_findings(nodes: list[PlanNode], plan: WorkflowPlan, template: NodeTemplate) -> Iterator[Finding]:
    """Yield the fields that an edge of the graph needs and the server's node type lacks."""
    labels = {node.id: node.label for node in nodes}
    what = f"the server's {template.type} {template.version}"
    missing: set[tuple[str, str, str]] = set()
    for edge in plan.edges:
        if edge.source_node_id in labels and edge.source_field not in template.outputs:
            missing.add((labels[edge.source_node_id], "output", edge.source_field))
        is_open = template.type in NODES_WITH_EXTRA_INPUTS
        if edge.target_node_id in labels and edge.target_field not in template.inputs and not is_open:
            missing.add((labels[edge.target_node_id], "field", edge.target_field))
    for label, kind, field in sorted(missing):
        yield Finding("error", f"{label}, {field}", f"{what} has no {kind} {field!r}, and the workflow connects it")


def _missing_inputs(plan: WorkflowPlan, models: list[Model]) -> Iterator[Finding]:
    """Yield the inputs that a caller must set; for models, with those that fit."""
    for planned in plan.inputs:
        if planned.fed_by is not None or default_of(planned) is not UNSET:
            continue
        where = f"{planned.label} ({planned.name})"
        if planned.field_type != "ModelIdentifierField":
            yield Finding("warning", where, "required: every run must set it")
            continue
        names = [model.name for model in models if fits(model, model_limits(planned))]
        if names:
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            shown = ", ".join(map(repr, names[:_MAX_NAMES])) + more
            yield Finding("warning", where, f"required: every run must set it; the server has {shown}")
        else:
            yield Finding("error", where, "required, and the server has no model that fits: install one")


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
    """Yield every value that a run without arguments sends, with what the GUI calls its field."""
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
    """Return the version of each node type, as far as the workflow in the plan has it."""
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
