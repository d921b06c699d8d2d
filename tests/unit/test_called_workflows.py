"""What becomes of a `call_saved_workflow` node when the called workflow has changed."""

from __future__ import annotations

from typing import Any

import pytest

from invokeai_gen.codegen.names import assign_names
from invokeai_gen.core.called_workflows import calls_of, with_called
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.request import build_request
from invokeai_gen.schema import Schema
from tests.unit.workflow_builder import Builder

N = "saved_workflow_input::n::value"
OLD = "saved_workflow_input::old::value"
S = "saved_workflow_input::s::value"


def called(schema: Schema, *fields: str) -> dict[str, Any]:
    """A workflow with a number 5 and a text, and these fields on its form."""
    builder = Builder(schema).node("n", "integer", value=5).node("s", "string", value="hi")
    for field in fields:
        builder.field(field)
    return builder.data()


def caller(schema: Schema, *on_form: str, workflow_id: str = "w", inputs: dict[str, Any] | None = None) -> WorkflowPlan:
    """A workflow whose only node calls `w` with these inputs."""
    builder = Builder(schema).node("call", "call_saved_workflow", workflow_id=workflow_id)
    data = builder.nodes[0]["data"]
    for name, value in (inputs or {}).items():
        data["inputs"][name] = {"name": name, "label": name.split("::")[1], "description": "", "value": value}
        kind = {"name": "IntegerField", "cardinality": "SINGLE", "batch": False}
        data.setdefault("dynamicInputTemplates", {})[name] = {"name": name, "type": kind}
    for field in on_form:
        builder.field(f"call.{field}")
    return assign_names(builder.compile().plan)


def sent(plan: WorkflowPlan, values: Any = None) -> Any:
    """What the node is called with."""
    return build_request(plan, values or {})["batch"]["graph"]["nodes"]["call"]["workflow_inputs"]


def test_inputs_that_are_gone_are_dropped_and_new_ones_have_the_called_workflow_s_value(schema: Schema) -> None:
    plan = caller(schema, inputs={N: 7, OLD: 1})
    renewed = with_called(plan, {}, {"w": called(schema, "s.value", "n.value")})
    assert sent(renewed) == {S: "hi", N: 7}
    stored = renewed.workflow["nodes"][0]["data"] if renewed.workflow else {}
    assert [*stored["inputs"]] == ["workflow_id", S, N]
    assert [*stored["dynamicInputTemplates"]] == [N]
    assert sent(plan) == {N: 7, OLD: 1}, "the plan itself is not changed"


def test_another_workflow_may_be_chosen_on_the_form(schema: Schema) -> None:
    plan = caller(schema, "workflow_id", workflow_id="")
    assert calls_of(plan, {}) == ()
    values = {("call", "workflow_id"): "w"}
    assert [call.workflow_id for call in calls_of(plan, values)] == ["w"]
    assert sent(with_called(plan, values, {"w": called(schema, "n.value")}), values) == {N: 5}


def test_a_workflow_without_a_form_exposes_its_exposed_fields(schema: Schema) -> None:
    old = {**called(schema), "exposedFields": [{"nodeId": "s", "fieldName": "value"}]}
    assert sent(with_called(caller(schema), {}, {"w": old})) == {S: "hi"}


def test_a_value_for_an_input_that_is_gone_is_an_error_unless_nobody_touched_it(schema: Schema) -> None:
    plan = caller(schema, OLD, inputs={OLD: 1})
    now = {"w": called(schema, "n.value")}
    assert sent(with_called(plan, {("call", OLD): 1}, now)) == {N: 5}
    with pytest.raises(ParamsError, match="no such input any more"):
        with_called(plan, {("call", OLD): 2}, now)


@pytest.mark.parametrize("broken", [{}, {"nodes": [], "form": {}}, {"form": {"elements": {}}}])
def test_a_called_workflow_that_exposes_nothing_takes_nothing(schema: Schema, broken: Any) -> None:
    assert sent(with_called(caller(schema, inputs={N: 7}), {}, {"w": broken})) == {}
