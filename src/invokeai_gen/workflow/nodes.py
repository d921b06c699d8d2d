"""Update the nodes of a file to the versions that the server offers."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import FieldType, InputTemplate, NodeTemplate, Schema
from invokeai_gen.schema.templates import limits_in
from invokeai_gen.workflow.document import (
    CALL_SAVED_WORKFLOW,
    NODES_WITH_EXTRA_INPUTS,
    SAVED_WORKFLOW_INPUT,
    FieldInstance,
    InvocationNode,
    LoadedWorkflow,
)
from invokeai_gen.workflow.errors import LoadWarning


def input_template(node: InvocationNode, name: str, schema: Schema) -> InputTemplate | None:
    """Return the template of an input; a called workflow has its inputs described in the node itself."""
    dynamic = node.dynamic_input_templates.get(name)
    if isinstance(dynamic, dict):
        return _dynamic_template(name, dynamic)
    template = schema.template(node.type)
    return template.inputs.get(name) if template is not None else None


def _dynamic_template(name: str, data: dict[str, Any]) -> InputTemplate:
    kind = data["type"]
    limits = limits_in(data)
    return InputTemplate(
        name=name,
        title=str(data.get("title") or name.removeprefix(SAVED_WORKFLOW_INPUT)),
        type=FieldType(kind["name"], kind["cardinality"], bool(kind.get("batch"))),
        required=bool(data.get("required")),
        connection="any",
        description=str(data.get("description") or ""),
        default=data.get("default", UNSET),
        limits=limits,
        exact_limits=limits,
        choices=tuple(data.get("options") or ()),
        choice_labels={str(key): str(value) for key, value in (data.get("ui_choice_labels") or {}).items()},
        model_base=tuple(data.get("ui_model_base") or ()),
        model_type=tuple(data.get("ui_model_type") or ()),
        model_variant=tuple(data.get("ui_model_variant") or ()),
        model_format=tuple(data.get("ui_model_format") or ()),
    )


def update_nodes(workflow: LoadedWorkflow, schema: Schema, warnings: list[LoadWarning]) -> None:
    """Update every node whose version differs from its template's, if the major version is the same."""
    connected: dict[str, set[str]] = {}
    for edge in workflow.edges:
        connected.setdefault(edge.target, set()).add(edge.target_handle or "")
    for node in workflow.invocations():
        template = schema.template(node.type)
        if template is None:
            warnings.append(LoadWarning(f"node {node.id} is of unknown type {node.type} (is a node pack missing?)"))
            continue
        if node.version != template.version:
            if _major(node.version) != _major(template.version):
                warnings.append(
                    LoadWarning(
                        f"node {node.id} of type {node.type} cannot be updated from version {node.version} to "
                        f"{template.version}: delete it in the GUI and add it again"
                    )
                )
                continue
            _update(node, template, connected.get(node.id, set()))
        if node.type not in NODES_WITH_EXTRA_INPUTS:
            unknown = [name for name in node.inputs if input_template(node, name, schema) is None]
            warnings += [LoadWarning(f"node {node.id} of type {node.type} has no input {name}") for name in unknown]


def drop_uncalled_inputs(workflow: LoadedWorkflow) -> None:
    """Remove the inputs of called workflows from nodes that call none, with their edges and form fields."""
    dropped = set()
    for node in workflow.invocations():
        called = node.inputs.get("workflow_id")
        if node.type != CALL_SAVED_WORKFLOW or called is None or called.value:
            continue
        for name in [name for name in node.inputs if name.startswith(SAVED_WORKFLOW_INPUT)]:
            dropped.add((node.id, name))
            node.inputs.pop(name)
            node.dynamic_input_templates.pop(name, None)
    if not dropped:
        return
    workflow.edges = [edge for edge in workflow.edges if (edge.target, edge.target_handle) not in dropped]
    fields = workflow.form.elements.items()
    workflow.form.remove({key for key, element in fields if (element.node_id, element.field_name) in dropped})


def updated_field_name(node: InvocationNode, name: str) -> str:
    """Return the name of a field after an update may have renamed it."""
    if node.type == "image_collection" and name == "collection" and "images" in node.inputs:
        return "images"
    return name


def _update(node: InvocationNode, template: NodeTemplate, connected: set[str]) -> None:
    """Add missing inputs, put all in template order, and drop those that the template does not have."""
    old_version = node.version
    node.version = template.version
    for name, instance in node.inputs.items():
        if name in template.inputs:
            instance.value = _filled(instance.value, template.inputs[name].default)
    inputs = {
        name: node.inputs.get(name) or FieldInstance(name, value=copy.deepcopy(item.default))
        for name, item in template.inputs.items()
    }
    if node.type in NODES_WITH_EXTRA_INPUTS:
        inputs |= {name: instance for name, instance in node.inputs.items() if name not in inputs}
    node.inputs = inputs
    if node.type == "image_collection" and _release(old_version) < (1, 0, 2):
        _move_image_collection(inputs, connected)


def _filled(value: Any, default: Any) -> Any:
    """Return the value with defaults in place of everything undefined in it."""
    if value is UNSET:
        return copy.deepcopy(default)
    if isinstance(value, dict) and isinstance(default, dict):
        return {**{key: _filled(item, default.get(key, UNSET)) for key, item in value.items()},
                **{key: copy.deepcopy(item) for key, item in default.items() if key not in value}}  # fmt: skip
    return value


def _move_image_collection(inputs: dict[str, FieldInstance], connected: set[str]) -> None:
    collection, images = inputs.get("collection"), inputs.get("images")
    if collection is None or images is None or not isinstance(collection.value, list) or "collection" in connected:
        return
    if isinstance(images.value, list) and images.value:
        return
    inputs["images"] = replace(images, value=collection.value)
    inputs["collection"] = replace(collection, value=[])


def _release(version: str) -> tuple[float, ...]:
    """Return the first three numbers of a version, as floats because JavaScript reads any number of digits."""
    return tuple(float(part) if part.strip().isdecimal() else 0 for part in version.split(".")[:3])


def _major(version: str) -> float:
    return _release(version)[0]
