"""Plans made by hand, for tests of what is done with a plan."""

from __future__ import annotations

from typing import Any

from invokeai_gen.core.plan import PlannedInput, PlannedOutput, PlanNode, WorkflowInfo, WorkflowPlan


def an_input(label: str = "Width", **changes: Any) -> PlannedInput:
    """An integer input; its index is also in its node's id, so that two of them are never the same field."""
    index = changes.pop("index", 0)
    fields: dict[str, Any] = {
        "index": index,
        "label": label,
        "node_id": f"node-{index}",
        "node_type": "integer",
        "node_label": "",
        "node_title": "Integer Primitive",
        "field_name": "value",
        "field_type": "IntegerField",
        "value": 7,
    }
    return PlannedInput(**(fields | changes))


def an_output(node_id: str = "save", **changes: Any) -> PlannedOutput:
    """The image of a save node."""
    fields: dict[str, Any] = {
        "node_id": node_id,
        "node_type": "save_image",
        "node_label": "",
        "node_title": "Save Image",
        "output_type": "image_output",
        "output_fields": {"image": "ImageField", "width": "IntegerField", "height": "IntegerField"},
        "role": "user",
    }
    return PlannedOutput(**(fields | changes))


def a_plan(*items: PlannedInput | PlannedOutput, **info: Any) -> WorkflowPlan:
    """A plan of these inputs and outputs, with the nodes they are on."""
    inputs = tuple(item for item in items if isinstance(item, PlannedInput))
    outputs = tuple(item for item in items if isinstance(item, PlannedOutput))
    nodes = {item.node_id: PlanNode(item.node_id, item.node_type, item.node_title, ()) for item in items}
    about: dict[str, Any] = {"name": "A workflow", "source": "a-workflow.json", "sha256": "0" * 64}
    return WorkflowPlan(
        info=WorkflowInfo(**(about | info)),
        nodes=tuple(nodes.values()),
        edges=(),
        batches=(),
        workflow=None,
        inputs=inputs,
        outputs=outputs,
    )
