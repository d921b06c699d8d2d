"""`call_saved_workflow` nodes: their inputs are the fields on the current form of the called workflow.

On load and on Invoke the GUI asks the server for the called workflow and renews these inputs. A field that is on the form
no more goes, a new one comes with the value that the called workflow has; all others keep their value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from invokeai_gen.core import problems
from invokeai_gen.core.batch import Values, value_of
from invokeai_gen.core.plan import JsonValue, PlanField, PlanNode, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.request import CALL_SAVED_WORKFLOW, touched
from invokeai_gen.js_json import UNSET

WORKFLOW_ID: Final = "workflow_id"
_PREFIX: Final = "saved_workflow_input::"
_Exposed: TypeAlias = Mapping[str, Mapping[str, JsonValue]]
"""The fields on the form of a called workflow, by the name of the input that each becomes."""


@dataclass(frozen=True, slots=True)
class Call:
    """A node that calls a workflow of the server's library."""

    node_id: str
    workflow_id: str
    label: str
    """Where the GUI shows the choice of the workflow."""


def calls_of(plan: WorkflowPlan, values: Values) -> tuple[Call, ...]:
    """Return the calls whose workflow is known before the run, with these values."""
    labels = {planned.binding: planned.label for planned in plan.inputs}
    found = []
    for node in plan.nodes:
        if node.type != CALL_SAVED_WORKFLOW:
            continue
        is_connected = any(field.name == WORKFLOW_ID and field.is_connected for field in node.fields)
        workflow_id = value_of(plan, values, node.id, WORKFLOW_ID)
        if isinstance(workflow_id, str) and workflow_id and not is_connected:
            label = labels.get((node.id, WORKFLOW_ID), f"{node.label} → {WORKFLOW_ID}")
            found.append(Call(node.id, workflow_id, label))
    return tuple(found)


def with_called(plan: WorkflowPlan, values: Values, called: Mapping[str, JsonValue]) -> WorkflowPlan:
    """Return the plan with the inputs that the called workflows have now.

    `called` has the contents of each workflow by its id. Raises `ParamsError` for values of inputs that no longer
    exist, unless they only repeat the workflow file.
    """
    exposed = {
        call.node_id: _exposed(called[call.workflow_id])
        for call in calls_of(plan, values)
        if call.workflow_id in called
    }
    given = touched(plan, values)
    gone = [
        planned
        for planned in plan.inputs
        if planned.node_id in exposed
        and planned.field_name.startswith(_PREFIX)
        and planned.field_name not in exposed[planned.node_id]
    ]
    wrong = [
        problems.about(item, ": the called workflow has no such input any more")
        for item in gone
        if item.binding in given
    ]
    if wrong:
        raise ParamsError(wrong)
    if not exposed:
        return plan
    return replace(
        plan,
        nodes=tuple(_node(node, exposed[node.id]) if node.id in exposed else node for node in plan.nodes),
        edges=tuple(
            edge
            for edge in plan.edges
            if not edge.target_field.startswith(_PREFIX)
            or edge.target_field in exposed.get(edge.target_node_id, {edge.target_field: None})
        ),
        workflow=_stored(plan.workflow, exposed),
    )


def _node(node: PlanNode, exposed: _Exposed) -> PlanNode:
    own = {field.name: field for field in node.fields}
    fields = [field for field in node.fields if not field.name.startswith(_PREFIX)]
    for name, instance in exposed.items():
        fields.append(own.get(name) or PlanField(name, instance.get("value", UNSET), is_called_input=True))
    return replace(node, fields=tuple(fields))


def _stored(workflow: JsonValue | None, exposed: Mapping[str, _Exposed]) -> JsonValue | None:
    """Return the workflow that is stored with each image. The GUI fills in the details of new inputs."""
    if workflow is None:
        return None
    nodes = [_stored_node(node, exposed[node["id"]]) if node["id"] in exposed else node for node in workflow["nodes"]]
    return {**workflow, "nodes": nodes}


def _stored_node(node: JsonValue, exposed: _Exposed) -> JsonValue:
    data = node["data"]
    inputs = {name: item for name, item in data["inputs"].items() if not name.startswith(_PREFIX)}
    for name, instance in exposed.items():
        inputs[name] = data["inputs"].get(name) or {
            "name": name,
            "label": str(instance.get("label") or ""),
            "description": str(instance.get("description") or ""),
            **({"value": instance["value"]} if "value" in instance else {}),
        }
    templates = {name: item for name, item in data.get("dynamicInputTemplates", {}).items() if name in exposed}
    return {**node, "data": {**data, "inputs": inputs, "dynamicInputTemplates": templates}}


def _exposed(workflow: JsonValue) -> _Exposed:
    """Return the fields on the form of a called workflow, in order; for workflows without forms, its exposed fields."""
    nodes = {node.get("id"): node for node in workflow.get("nodes", ())}
    places = list(_form_fields(workflow.get("form") or {}))
    if not places:
        places = [(item.get("nodeId"), item.get("fieldName")) for item in workflow.get("exposedFields", ())]
    found: dict[str, Mapping[str, JsonValue]] = {}
    for node_id, field_name in places:
        instance = nodes.get(node_id, {}).get("data", {}).get("inputs", {}).get(field_name)
        if isinstance(instance, Mapping):
            found[f"{_PREFIX}{node_id}::{field_name}"] = instance
    return found


def _form_fields(form: JsonValue) -> Iterator[tuple[str, str]]:
    """Yield the node fields of a form, depth first."""
    elements = form.get("elements", {})
    seen: set[str] = set()
    pending = [form.get("rootElementId", "root")]
    while pending:
        key = pending.pop()
        element = elements.get(key)
        if element is None or key in seen:
            continue
        seen.add(key)
        data = element.get("data") or {}
        if element.get("type") == "node-field":
            identifier = data.get("fieldIdentifier", {})
            yield identifier.get("nodeId"), identifier.get("fieldName")
        pending += reversed(data.get("children") or ())
