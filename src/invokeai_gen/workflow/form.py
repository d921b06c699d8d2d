"""The form of a file: read, repaired, or built from the older list of exposed fields."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from typing import Any

from invokeai_gen.js_reading import is_number
from invokeai_gen.schema import FieldType
from invokeai_gen.workflow.document import Form, FormElement, InvocationNode, LoadedWorkflow
from invokeai_gen.workflow.json_object import JsonObject, WorkflowError, wrong


def parse_form(data: Any) -> Form:
    """Return the form of a file. A malformed form counts as empty, as in the GUI.

    Raises `WorkflowError` for a form whose elements are not a tree.
    """
    try:
        record = JsonObject.of(data, "form")
        elements = {key: _parse_element(item) for key, item in record.members("elements")}
        form = Form(elements, record.name("rootElementId"))
    except WorkflowError:
        return Form.empty()
    if form.root_id not in form.elements:
        raise WorkflowError(f"the form's rootElementId {form.root_id!r} is not an element of the form")
    if not form.is_sound:
        raise WorkflowError("the form's structure is invalid: an element is missing, or no container reaches it")
    return form


def form_of(workflow: LoadedWorkflow, warnings: list[str]) -> Form:
    """Return the form that the GUI shows: from `exposedFields` if there is no other, without fields that do not exist."""
    nodes = workflow.node_by_id()
    form = workflow.form
    if workflow.exposed_fields and form.is_empty:
        form = _from_exposed_fields(workflow)
    for element in [element for element in form.elements.values() if element.type == "node-field"]:
        node = nodes.get(element.node_id)
        if not isinstance(node, InvocationNode) or element.field_name not in node.inputs:
            # The GUI deletes by the element's own id, so nothing is deleted if the form lists it under another.
            form.elements.pop(element.id, None)
            warnings.append(f"deleted missing form field: node {element.node_id} field {element.field_name}")
    return form


def _from_exposed_fields(workflow: LoadedWorkflow) -> Form:
    nodes = workflow.node_by_id()
    form = Form.empty()
    root = form.elements[form.root_id]
    for node_id, name in reversed(workflow.exposed_fields):
        node = nodes.get(node_id)
        template = node.input_template(name) if isinstance(node, InvocationNode) else None
        if template is None:
            continue
        element_id = _invented_id(node_id, name, form.elements)
        form.elements[element_id] = FormElement(
            element_id,
            "node-field",
            parent_id=form.root_id,
            node_id=node_id,
            field_name=name,
            show_description=False,
            settings=_default_settings(template.type),
        )
        root.children.insert(0, element_id)
    return form


def _invented_id(node_id: str, name: str, taken: Container[str]) -> str:
    """Return the id of a new element. The GUI takes a random one; ours depends on the field, so that output is reproducible."""
    seed = f"{node_id}\n{name}"
    while (element_id := "node-field-" + hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:10]) in taken:
        seed += "\n"
    return element_id


def _default_settings(kind: FieldType) -> dict[str, Any] | None:
    if not kind.is_single:
        return None
    if kind.name in {"IntegerField", "FloatField"}:
        stem = "integer" if kind.name == "IntegerField" else "float"
        return {"type": f"{stem}-field-config", "showShuffle": False, "component": "number-input"}
    return {"type": "string-field-config", "component": "input"} if kind.name == "StringField" else None


def _parse_element(item: JsonObject) -> FormElement:
    element = FormElement(item.name("id"), item.text("type"))
    if "parentId" in item.data:
        element.parent_id = item.name("parentId")
    if element.type == "divider":
        if "data" in item.data:
            raise wrong(item.at("data"), "nothing", item.data["data"])
        return element
    data = item.record("data")
    match element.type:
        case "container":
            element.layout = data.text("layout")
            children = data.data.get("children")
            if element.layout not in ("row", "column") or not isinstance(children, list):
                raise wrong(item.at("data"), "a layout and children", data.data)
            element.children = [JsonObject({"id": child}).name("id") for child in children]
        case "node-field":
            identifier = data.record("fieldIdentifier")
            element.node_id, element.field_name = identifier.name("nodeId"), identifier.name("fieldName")
            element.show_description = data.flag("showDescription", True)
            if "settings" in data.data:
                element.settings = _parse_settings(data.record("settings"))
        case "heading" | "text":
            element.content = data.text("content")
        case other:
            raise wrong(item.at("type"), "a kind of form element", other)
    return element


def _parse_settings(data: JsonObject) -> dict[str, Any]:
    """Return the settings of a field: those of a number if they can be, else those of a text."""

    def with_defaults(defaults: dict[str, Any], *others: str) -> dict[str, Any]:
        return {**defaults, **{key: data.data[key] for key in (*defaults, *others) if key in data.data}}

    number = with_defaults(
        {"type": "float-field-config", "showShuffle": False, "component": "number-input"}, "min", "max"
    )
    if (
        number["type"] in ("float-field-config", "integer-field-config")
        and isinstance(number["showShuffle"], bool)
        and number["component"] in ("number-input", "slider", "number-input-and-slider")
        and all(is_number(number[key]) for key in ("min", "max") if key in number)
    ):
        return number
    text = with_defaults({"type": "string-field-config", "component": "input"})
    if text["type"] == "string-field-config" and text["component"] in ("input", "textarea"):
        return text
    if text["type"] == "string-field-config" and text["component"] == "dropdown":
        options = data.records("options")
        return {**text, "options": [{"label": item.text("label"), "value": item.text("value")} for item in options]}
    raise wrong(data.path, "the settings of a number or string field", data.data)
