"""The request that submits a workflow: the body of `POST /api/v1/queue/{queue_id}/enqueue_batch`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from invokeai_gen.core.json_writing import file_value, to_json
from invokeai_gen.core.plan import JsonValue, PlannedInput, PlanNode, WorkflowPlan
from invokeai_gen.js_json import UNSET, Unset, in_key_order, normalized

if TYPE_CHECKING:
    from invokeai_gen.core.batch import Values

CALL_SAVED_WORKFLOW: Final = "call_saved_workflow"
WORKFLOW_INPUTS: Final = "workflow_inputs"
"""Where such a node takes the form values of the workflow that it calls."""


def build_request(
    plan: WorkflowPlan,
    values: Values,
    *,
    runs: int = 1,
    auto_board_id: str | None = None,
    batch_id: str | None = None,
    prepend: bool = False,
    data: list[list[dict[str, JsonValue]]] | None = None,
) -> dict[str, JsonValue]:
    """Return the request that the GUI would send on Invoke if its form held `values`.

    `values` must be JSON data already: images uploaded, boards and models resolved. `runs` repeats the whole batch.
    `auto_board_id` is the board that fields set to `auto` add their images to; without one they add to none. `batch_id`
    is chosen by the server unless given. `data` is the batch data (`batch_data`), computed here unless given.
    """
    # What is in the plan was read as a browser reads it; values from elsewhere are put into that form here.
    values = {
        binding: value if value is UNSET else normalized(value) for binding, value in touched(plan, values).items()
    }
    if data is None:
        from invokeai_gen.core.batch import batch_data, batch_items

        data = batch_data(plan, values, batch_items(plan, values, {}))
    graph = {
        "id": str(uuid.uuid4()),
        "nodes": in_key_order(
            (node.id, _node(node, values, auto_board_id)) for node in plan.nodes if node.is_executable
        ),
        "edges": [
            {
                "source": {"node_id": edge.source_node_id, "field": edge.source_field},
                "destination": {"node_id": edge.target_node_id, "field": edge.target_field},
            }
            for edge in plan.edges
        ],
    }
    batch: dict[str, JsonValue] = {
        "graph": graph,
        "workflow": with_values(plan.workflow, values),
        "runs": runs,
        "origin": "workflows",
        "destination": "gallery",
        "data": normalized(data),
    }
    if batch_id is not None:
        batch["batch_id"] = batch_id
    return {"prepend": prepend, "batch": batch}


def touched(plan: WorkflowPlan, values: Values) -> Values:
    """Return the values without those that only repeat what the workflow file has.

    The GUI leaves a field that nobody touched exactly as the file has it: a board stays empty although the form shows
    `auto`, and a model keeps `submodel_type: null`.
    """
    inputs = {planned.binding: planned for planned in plan.inputs}
    return {
        binding: value
        for binding, value in values.items()
        if binding not in inputs or not _is_own(inputs[binding], value)
    }


def _is_own(planned: PlannedInput, value: JsonValue | Unset) -> bool:
    own = file_value(planned)  # a value that equals it has passed the check of the input, and so it has as well
    if own is UNSET or own is None or value is UNSET:
        return own is None and value is UNSET
    if value is planned.value:
        return True
    return json.dumps(to_json(own, planned.field_type), sort_keys=True) == json.dumps(value, sort_keys=True)


def _node(node: PlanNode, values: Values, auto_board_id: str | None) -> dict[str, JsonValue]:
    inputs: dict[str, JsonValue] = {}
    for field in node.fields:
        value = values.get((node.id, field.name), field.value)
        if field.is_called_input:
            inputs.setdefault(WORKFLOW_INPUTS, {})
        if field.is_connected:
            continue
        if field.is_board:
            value = _board(value, auto_board_id)
        if value is UNSET or (field.name == WORKFLOW_INPUTS and node.type == CALL_SAVED_WORKFLOW):
            continue
        (inputs[WORKFLOW_INPUTS] if field.is_called_input else inputs)[field.name] = value
    if node.type == CALL_SAVED_WORKFLOW:
        inputs.setdefault(WORKFLOW_INPUTS, {})
    body = {
        "type": node.type,
        "id": node.id,
        **inputs,
        "use_cache": node.use_cache,
        "is_intermediate": node.is_intermediate,
    }
    return in_key_order(body.items())


def _board(value: JsonValue | Unset, auto_board_id: str | None) -> JsonValue | Unset:
    """Return a board for the graph: `auto` and empty are the board that the gallery adds to, `none` is no board."""
    if value is UNSET or value is None or value == "auto":
        return {"board_id": auto_board_id} if auto_board_id else UNSET
    return UNSET if value == "none" else value


def with_values(workflow: JsonValue | None, values: Values) -> JsonValue | None:
    """Return the workflow that is stored with each image, with `values` in its fields. The original is not changed."""
    if workflow is None:
        return None
    by_node: dict[str, dict[str, JsonValue | Unset]] = {}
    for (node_id, field_name), value in values.items():
        by_node.setdefault(node_id, {})[field_name] = value
    nodes = [_workflow_node(node, by_node.get(node["id"], {})) for node in workflow["nodes"]]
    return {**workflow, "nodes": nodes}


def _workflow_node(node: JsonValue, values: Mapping[str, JsonValue | Unset]) -> JsonValue:
    if not values or node["type"] != "invocation":
        return node
    inputs = dict(node["data"]["inputs"])
    for name, value in values.items():
        if name in inputs:
            kept = {key: item for key, item in inputs[name].items() if key != "value"}
            inputs[name] = kept if value is UNSET else {**kept, "value": value}
    return {**node, "data": {**node["data"], "inputs": inputs}}
