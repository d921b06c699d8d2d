"""Compile a loaded workflow to a `WorkflowPlan`: everything that the GUI would put into a request except the values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from invokeai_gen.compiler.inputs import constraints_of, planned_inputs
from invokeai_gen.compiler.readiness import NotReadyError, reasons_of, refused_choices
from invokeai_gen.core.batch import batch_items, server_queries
from invokeai_gen.core.plan import (
    ASSET_KINDS,
    AssetKind,
    FieldLimits,
    JsonValue,
    OutputRole,
    PlanBatch,
    PlanEdge,
    PlanField,
    PlannedInput,
    PlannedOutput,
    PlanNode,
    WorkflowInfo,
    WorkflowPlan,
)
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import FieldType, NodeTemplate, Schema
from invokeai_gen.schema.templates import BATCH_FIELDS
from invokeai_gen.workflow import LoadedWorkflow, WorkflowFile, load_workflow
from invokeai_gen.workflow.document import (
    CALL_SAVED_WORKFLOW,
    NODES_WITH_EXTRA_INPUTS,
    SAVED_WORKFLOW_INPUT,
    InvocationNode,
    Node,
)
from invokeai_gen.workflow.edges import EdgeIndex
from invokeai_gen.workflow.values import parse_value


@dataclass(frozen=True, slots=True)
class Compilation:
    """The result of compiling a workflow."""

    plan: WorkflowPlan
    workflow: LoadedWorkflow
    warnings: tuple[str, ...]
    """What the GUI reports on loading, and what it sends although the server will refuse it."""


def compile_workflow(file: WorkflowFile, schema: Schema, *, validate: bool = True) -> Compilation:
    """Compile a workflow against the node types of a server.

    With `validate`, raise `NotReadyError` with every reason why the GUI would not invoke the workflow, except values of
    fields on the form that are empty or not allowed: those can still be set when it is run. Without, leave out
    unknown nodes, as the GUI does when its "Validate Connections and Graph" is off.

    Raises `WorkflowError` for a file that the GUI would not open.
    """
    workflow, warnings = load_workflow(file.data, schema)
    warnings += (str(reason) for reason in refused_choices(workflow))
    plan = plan_of(workflow, schema, file)
    if validate:
        on_form = {item.binding for item in plan.inputs}
        try:
            items = None if server_queries(plan, {}) else batch_items(plan, {}, {})
        except ParamsError:
            items = None
        reasons = [reason for reason in reasons_of(workflow, plan, schema, {}, items) if not reason.values & on_form]
        if reasons:
            raise NotReadyError(reasons)
    return Compilation(plan, workflow, tuple(warnings))


def plan_of(workflow: LoadedWorkflow, schema: Schema, file: WorkflowFile) -> WorkflowPlan:
    """Return the plan of a loaded workflow, even if the GUI would not invoke it."""
    index = EdgeIndex(workflow.node_by_id(), workflow.edges)
    nodes = [node for node in workflow.invocations() if node.template is not None]
    templates = {node.type: node.template for node in nodes if node.template is not None}
    edges = tuple(dict.fromkeys(_edges(workflow, index)))
    connected = {(edge.target_node_id, edge.target_field) for edge in edges}
    inputs = tuple(planned_inputs(workflow, index))
    return WorkflowPlan(
        info=WorkflowInfo(
            **workflow.texts,
            source=file.name,
            sha256=file.sha256,
            server_version=schema.version,
            schema_fingerprint=schema.fingerprint(node.type for node in workflow.invocations()),
        ),
        nodes=tuple(_node(node, connected) for node in nodes),
        edges=edges,
        batches=tuple(_batch(node, index) for node in nodes if node.is_batch),
        workflow=_stored(workflow, schema) if workflow.form.is_sound else None,
        inputs=inputs,
        outputs=tuple(_outputs(workflow, edges, inputs)),
        node_types={kind: template.summary() for kind, template in sorted(templates.items())},
    )


def _stored(workflow: LoadedWorkflow, schema: Schema) -> JsonValue:
    """Return the workflow as the server stores it with each image.

    The GUI parses it once more, which drops what an update has merged into a value of another shape.
    """
    stored = workflow.to_json()
    for node in stored["nodes"]:
        keep_extras = node["data"]["type"] in NODES_WITH_EXTRA_INPUTS
        for instance in node["data"].get("inputs", {}).values():
            if isinstance(instance.get("value"), dict):
                value = parse_value(instance.pop("value"), schema, keep_extras=keep_extras)
                if value is not UNSET:
                    instance["value"] = value
    return stored


def _node(node: InvocationNode, connected: set[tuple[str, str]]) -> PlanNode:
    return PlanNode(
        id=node.id,
        type=node.type,
        label=node.title,
        fields=tuple(_fields(node, connected)),
        use_cache=node.use_cache,
        is_intermediate=node.is_intermediate,
        is_executable=node.is_executable,
    )


def _fields(node: InvocationNode, connected: set[tuple[str, str]]) -> Iterator[PlanField]:
    for name, instance in node.inputs.items():
        template = node.input_template(name)
        is_called_input = node.type == CALL_SAVED_WORKFLOW and name.startswith(SAVED_WORKFLOW_INPUT)
        if template is None and not node.takes_extra_inputs and not is_called_input:
            continue
        is_connected = (node.id, name) in connected
        asset = None
        # The entries of `core_metadata` refer to nothing: the server only stores them.
        if template is not None and not is_connected and not node.takes_extra_inputs:
            asset = _REFERENCES.get(template.type.name)
        yield PlanField(
            name=name,
            value=instance.value,
            is_board=template is not None and template.type.name == "BoardField",
            is_connected=is_connected,
            is_called_input=is_called_input,
            asset=asset,
            label=instance.label or template.title if asset is not None and template is not None else "",
        )


_REFERENCES: Final[Mapping[str, AssetKind]] = {**ASSET_KINDS, "LoRAField": "model", "ImageGeneratorField": "board"}
"""What the value of a field type refers to, whole or in a part of it."""


def _edges(workflow: LoadedWorkflow, index: EdgeIndex) -> Iterator[PlanEdge]:
    """Yield the edges between executable nodes, with connectors replaced by their real source."""
    for edge in workflow.edges:
        target = index.nodes.get(edge.target)
        if edge.is_default and isinstance(target, InvocationNode) and target.is_executable:
            origin = index.origin(edge)
            if origin is not None and origin[0].is_executable:
                yield PlanEdge(origin[0].id, origin[1], edge.target, edge.target_handle)


def _batch(node: InvocationNode, index: EdgeIndex) -> PlanBatch:
    field_name = BATCH_FIELDS[node.type]
    handle = "image" if node.type == "image_batch" else "value"
    edges = index.by_source.get(node.id, ())
    targets = [(edge.target, edge.target_handle) for edge in edges if edge.source_handle == handle]
    feeding = index.feeding(node.id, field_name)
    generator = feeding.id if feeding is not None else None
    limits = tuple(_target_limits(index.nodes.get(target), name) for target, name in targets)
    return PlanBatch(node.id, field_name, tuple(targets), generator, limits)


def _target_limits(node: Node | None, name: str) -> FieldLimits:
    """Return what the server accepts in a field that a batch feeds."""
    template = node.input_template(name) if isinstance(node, InvocationNode) else None
    if template is None or template.type.cardinality == "COLLECTION":
        return FieldLimits()
    return FieldLimits(
        field_type=template.type.name,
        constraints=constraints_of(template.exact_limits, template.type.name),
        choices=template.choices,
    )


def _outputs(
    workflow: LoadedWorkflow, edges: Sequence[PlanEdge], inputs: Sequence[PlannedInput]
) -> Iterator[PlannedOutput]:
    """Return the nodes with a board on the form, the nodes that are not intermediate, the ends of chains, and other images.

    The first three come in the order of the form, then of the file. The intermediate images come last; they are for
    debugging.
    """
    boards = {item.node_id: item for item in inputs if item.field_type == "BoardField"}
    sources = {edge.source_node_id for edge in edges}
    iterated = _iterated(workflow, edges)
    outputs = []
    # If two nodes have the same id, they are one node with one result.
    for node in {node.id: node for node in workflow.invocations()}.values():
        template = node.template
        if template is None or not node.is_executable or not template.outputs:
            continue
        role = _role(node, template, node.id in boards, node.id not in sources)
        if role is None:
            continue
        board = boards.get(node.id)
        outputs.append(
            PlannedOutput(
                node_id=node.id,
                node_type=node.type,
                node_label=node.label,
                node_title=template.title,
                output_type=template.output_type,
                output_fields={name: _described(kind) for name, kind in template.outputs.items()},
                role=role,
                is_iterated=node.id in iterated,
                board_input=board.index if board is not None else None,
                sections=board.sections if board is not None else (),
            )
        )
    order: Mapping[OutputRole, int] = {"user": 0, "result": 1, "debug": 2}
    return iter(sorted(outputs, key=lambda item: (order[item.role], item.board_input or 0)))


def _role(node: InvocationNode, template: NodeTemplate, has_board: bool, is_end: bool) -> OutputRole | None:
    if has_board:
        return "user"
    if not node.is_intermediate or is_end:
        return "result"
    types = {kind.name for kind in template.outputs.values()}
    return "debug" if types & {"ImageField", "VideoField"} and "board" in template.inputs else None


def _described(kind: FieldType) -> str:
    return kind.name if kind.is_single else f"list[{kind.name}]"


def _iterated(workflow: LoadedWorkflow, edges: Sequence[PlanEdge]) -> set[str]:
    """Return the nodes that run once for each item of an `iterate` node: everything after it, up to a `collect` node."""
    types = {node.id: node.type for node in workflow.invocations()}
    targets: dict[str, list[str]] = {}
    for edge in edges:
        targets.setdefault(edge.source_node_id, []).append(edge.target_node_id)
    pending = [node_id for node_id, node_type in types.items() if node_type == "iterate"]
    found = set(pending)
    while pending:
        for target in targets.get(pending.pop(), ()):
            if target not in found and types[target] != "collect":
                found.add(target)
                pending.append(target)
    return found
