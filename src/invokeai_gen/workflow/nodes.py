"""Update the nodes of a file to the versions that the server offers."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import NodeTemplate
from invokeai_gen.workflow.document import (
    CALL_SAVED_WORKFLOW,
    SAVED_WORKFLOW_INPUT,
    FieldInstance,
    InvocationNode,
    LoadedWorkflow,
)


def update_nodes(workflow: LoadedWorkflow, warnings: list[str]) -> None:
    """Update every node whose version differs from its template's, if the major version is the same.

    The form and the exposed fields follow if that renames a field.
    """
    connected: dict[str, set[str]] = {}
    for edge in workflow.edges:
        connected.setdefault(edge.target, set()).add(edge.target_handle)
    for node in workflow.invocations():
        template = node.template
        if template is None:
            warnings.append(f"node {node.id} is of unknown type {node.type} (is a node pack missing?)")
            continue
        if node.version != template.version:
            if _release(node.version)[0] != _release(template.version)[0]:
                warnings.append(
                    f"node {node.id} of type {node.type} cannot be updated from version {node.version} to "
                    f"{template.version}: delete it in the GUI and add it again"
                )
                continue
            _update(node, template, connected.get(node.id, set()))
        if not node.takes_extra_inputs:
            unknown = [name for name in node.inputs if node.input_template(name) is None]
            warnings += [f"node {node.id} of type {node.type} has no input {name}" for name in unknown]
    _rename_fields(workflow)


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


def _rename_fields(workflow: LoadedWorkflow) -> None:
    """Rename `collection` of an image collection, which is now called `images`, on the form and among the exposed fields."""
    renamed = {
        (node.id, "collection")
        for node in workflow.node_by_id().values()
        if isinstance(node, InvocationNode) and node.type == "image_collection" and "images" in node.inputs
    }
    workflow.exposed_fields = [(field[0], "images") if field in renamed else field for field in workflow.exposed_fields]
    for element in workflow.form.elements.values():
        if (element.node_id, element.field_name) in renamed:
            element.field_name = "images"


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
    if node.takes_extra_inputs:
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
