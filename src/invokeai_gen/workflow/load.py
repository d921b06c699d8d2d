"""Load a workflow file into a `LoadedWorkflow`, with the warnings that the GUI would show."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from invokeai_gen import js_reading
from invokeai_gen.js_json import UNSET
from invokeai_gen.js_reading import is_number
from invokeai_gen.png_texts import PNG_SIGNATURE, WORKFLOW_KEY, PngError, png_texts
from invokeai_gen.schema import Schema
from invokeai_gen.schema.field_types import Cardinality
from invokeai_gen.schema.templates import limits_in
from invokeai_gen.workflow.document import (
    NODES_WITH_EXTRA_INPUTS,
    TEXTS,
    ConnectorNode,
    Edge,
    FieldInstance,
    InvocationNode,
    LoadedWorkflow,
    Node,
    NotesNode,
)
from invokeai_gen.workflow.edges import validated_edges
from invokeai_gen.workflow.form import form_of, parse_form
from invokeai_gen.workflow.json_object import JsonObject, WorkflowError, wrong
from invokeai_gen.workflow.migrate import migrate
from invokeai_gen.workflow.nodes import drop_uncalled_inputs, update_nodes
from invokeai_gen.workflow.values import parse_value

MAX_WORKFLOW_BYTES: Final = 64 * 1024 * 1024
_EXPORT: Final = "in InvokeAI's workflow editor, choose Download Workflow"
_NO_WORKFLOW: Final = f"an image without a workflow in it: use one that the workflow editor made, or {_EXPORT}"


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """The bytes of a file as JSON data, not checked yet."""

    name: str
    """Its name without any folder."""
    data: Any
    sha256: str
    """Hash of the bytes with line ends made `\\n`, so that it is the same on Windows."""


def read_workflow_file(path: Path) -> WorkflowFile:
    """Read a workflow file, or the workflow in an image. Raises `WorkflowError`."""
    try:
        if path.stat().st_size > MAX_WORKFLOW_BYTES:
            raise WorkflowError(f"larger than {MAX_WORKFLOW_BYTES // 2**20} MiB, the limit for a workflow")
        raw = path.read_bytes()
    except OSError as error:
        raise WorkflowError(error.strerror or str(error)) from error
    return parse_workflow_file(path.name, raw)


def parse_workflow_file(name: str, raw: bytes) -> WorkflowFile:
    """Return the workflow in a file of that name and content: JSON, or an image that InvokeAI stored it in.

    Raises `WorkflowError` for an image without a workflow, and for any other file that is not JSON. The message names the
    kind of file if it is one that people often mistake for a workflow.
    """
    if raw.startswith(PNG_SIGNATURE):
        raw = _in_image(raw)
    raw = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    try:
        data = js_reading.loads(raw)
    except ValueError as error:
        raise WorkflowError(_kind_of_file(raw) or f"not JSON: {error}") from error
    return WorkflowFile(name, data, hashlib.sha256(raw).hexdigest())


def _in_image(raw: bytes) -> bytes:
    try:
        text = png_texts(raw).get(WORKFLOW_KEY)
    except PngError as error:
        raise WorkflowError(str(error) if WORKFLOW_KEY.encode() in raw else _NO_WORKFLOW) from error
    if text is None:
        raise WorkflowError(_NO_WORKFLOW)
    return text.encode()


def _kind_of_file(content: bytes) -> str:
    """Return what a file is that is not JSON, and what to use instead; an empty text if it is of no known kind."""
    start = content.lstrip()[:300].lower()
    if not start:
        return "not a workflow: the file is empty"
    if content.startswith((b"\xff\xd8\xff", b"RIFF", b"GIF8")):
        return _NO_WORKFLOW
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "an HTML page, not a workflow: download the file itself (on GitHub: Raw)"
    return "a ZIP archive, not a workflow: unpack it first" if start.startswith(b"pk\x03\x04") else ""


def load_workflow(data: Any, schema: Schema) -> tuple[LoadedWorkflow, list[str]]:
    """Parse a workflow, migrate it to the current version and repair it, as the GUI does when it opens a file.

    `data` is not changed. Raises `WorkflowError` for anything that the GUI refuses to open.
    """
    check_is_workflow(data)
    workflow = _parse(migrate(JsonObject(data), schema), schema)
    warnings: list[str] = []
    workflow.edges = validated_edges(workflow, warnings)
    update_nodes(workflow, warnings)
    workflow.form = form_of(workflow, warnings)
    drop_uncalled_inputs(workflow)
    # On the GUI's canvas a node whose id is taken already turns into a copy of the first.
    first = workflow.node_by_id()
    workflow.nodes = [first[node.id] for node in workflow.nodes]
    return workflow, warnings


def check_is_workflow(data: Any) -> None:
    """Raise `WorkflowError`, which says what it is instead, for JSON data that is not a workflow of any version."""
    meta = data.get("meta") if isinstance(data, dict) else None
    version = meta.get("version") if isinstance(meta, dict) else None
    if not isinstance(data, dict):
        lack = "it is not a JSON object"
    elif version is None:
        lack = "it has no meta.version"
    elif version != "1.0.0" and not isinstance(data.get("nodes"), list):
        lack = "it has no list of nodes"
    else:
        return
    kind = _kind_of_object(data) if isinstance(data, dict) else ""
    raise WorkflowError(kind or f"not a workflow: {lack} (export it from the InvokeAI workflow editor)")


def _kind_of_object(data: dict[str, Any]) -> str:
    """Return what a JSON object is that is not a workflow, and what to use instead; else an empty text."""
    nodes = data.get("nodes")
    if "openapi" in data and ("paths" in data or isinstance(data.get("components"), dict)):
        return "the openapi.json of a server, not a workflow"
    if isinstance(nodes, list) and ("links" in data or "last_node_id" in data):
        return f"a ComfyUI workflow, not one of InvokeAI: build it anew, and {_EXPORT}"
    if data and all(isinstance(value, dict) and "class_type" in value for value in data.values()):
        return f"a ComfyUI prompt in API format, not an InvokeAI workflow: build it anew, and {_EXPORT}"
    if "batch" in data or "graph" in data or (isinstance(nodes, dict) and "edges" in data):
        return f"a graph in API format, which has no form, not a workflow: {_EXPORT}"
    if isinstance(data.get("info"), dict) and "node_types" in data:
        return "the plan of a generated module, not a workflow: use the file that the module was made from"
    if "generation_mode" in data or "positive_prompt" in data:
        return f"the metadata of an image, not a workflow: {_EXPORT}"
    return ""


def _parse(data: JsonObject, schema: Schema) -> LoadedWorkflow:
    meta = data.record("meta")
    category = meta.text("category", "user")
    if category not in ("user", "default"):
        raise wrong("meta.category", "'user' or 'default'", category)
    if "id" in data.data and not data.text("id"):
        raise wrong("id", "a name that is not empty", "")
    workflow = LoadedWorkflow(
        texts={key: data.text(key) for key in TEXTS},
        category=category,
        nodes=[_parse_node(node, schema) for node in data.records("nodes")],
        edges=[_parse_edge(edge) for edge in data.records("edges")],
        exposed_fields=[(item.name("nodeId"), item.name("fieldName")) for item in data.records("exposedFields")],
        form=parse_form(data.data.get("form")),
    )
    if sum(node.type == "workflow_return" for node in workflow.invocations()) > 1:
        raise WorkflowError("a workflow may not contain more than one workflow_return node")
    return workflow


def _parse_node(node: JsonObject, schema: Schema) -> Node:
    node_id, data = node.name("id"), node.record("data")
    data.name("id")
    position = _parse_position(node)
    match node.data.get("type"):
        case "invocation":
            return _parse_invocation(node_id, data, position, schema)
        case "notes" | "connector" as kind:
            seen = {"id": node_id, "type": kind, "label": data.text("label"), "isOpen": data.flag("isOpen")}
            if kind == "connector":
                return ConnectorNode(node_id, seen, position)
            return NotesNode(node_id, {**seen, "notes": data.text("notes")}, position)
        case other:
            raise wrong(node.at("type"), "'invocation', 'notes' or 'connector'", other)


def _parse_invocation(node_id: str, data: JsonObject, position: dict[str, float], schema: Schema) -> InvocationNode:
    node_type = data.name("type")
    pack = data.text("nodePack", "invokeai")
    if not pack:
        raise wrong(data.at("nodePack"), "a name that is not empty", pack)
    return InvocationNode(
        id=node_id,
        data_id=data.name("id"),
        type=node_type,
        version=data.version("version"),
        node_pack=pack,
        label=data.text("label"),
        notes=data.text("notes"),
        inputs={
            name: _parse_instance(item, schema, keep_extras=node_type in NODES_WITH_EXTRA_INPUTS)
            for name, item in data.members("inputs")
        },
        dynamic_input_templates=_parse_dynamic_templates(data),
        is_open=data.flag("isOpen"),
        is_intermediate=data.flag("isIntermediate"),
        use_cache=data.flag("useCache"),
        position=position,
        template=schema.template(node_type),
    )


def _parse_dynamic_templates(data: JsonObject) -> dict[str, Any]:
    """Return how a `call_saved_workflow` node describes the inputs of the workflow that it calls."""
    if "dynamicInputTemplates" not in data.data:
        return {}
    templates = dict(data.members("dynamicInputTemplates"))
    for template in templates.values():
        kind = template.record("type")
        kind.text("name")
        if kind.text("cardinality") not in get_args(Cardinality):
            raise wrong(kind.at("cardinality"), " or ".join(get_args(Cardinality)), kind.data["cardinality"])
        for key in ("ui_model_base", "ui_model_type", "ui_model_variant", "ui_model_format", "options"):
            items = template.data.get(key)
            if items is not None and not (isinstance(items, list) and all(isinstance(item, str) for item in items)):
                raise wrong(template.at(key), "a list of texts", items)
        labels = template.data.get("ui_choice_labels")
        if labels is not None and not isinstance(labels, dict):
            raise wrong(template.at("ui_choice_labels"), "an object", labels)
        try:
            limits_in(template.data)
        except ValueError as error:
            raise WorkflowError(f"{template.path}: {error}") from error
    return {name: template.data for name, template in templates.items()}


def _parse_instance(item: JsonObject, schema: Schema, *, keep_extras: bool) -> FieldInstance:
    label, description = (item.data.get(key) for key in ("label", "description"))
    return FieldInstance(
        name=item.name("name"),
        label=label if isinstance(label, str) else "",
        description=description if isinstance(description, str) else "",
        value=parse_value(item.data.get("value", UNSET), schema, keep_extras=keep_extras),
    )


def _parse_position(node: JsonObject) -> dict[str, float]:
    if "position" not in node.data:
        return {"x": 0, "y": 0}
    position = node.record("position")
    for axis in ("x", "y"):
        value = position.data.get(axis)
        if not is_number(value):
            raise wrong(position.at(axis), "a number", value)
    return {axis: position.data[axis] for axis in ("x", "y")}


def _parse_edge(edge: JsonObject) -> Edge:
    edge_id, source, target = edge.name("id"), edge.name("source"), edge.name("target")
    match edge.data.get("type"):
        case "default":
            hidden = edge.flag("hidden") if "hidden" in edge.data else None
            return Edge(edge_id, source, target, edge.name("sourceHandle"), edge.name("targetHandle"), hidden)
        case "collapsed":
            return Edge(edge_id, source, target)
        case other:
            raise wrong(edge.at("type"), "'default' or 'collapsed'", other)
