"""`call_saved_workflow`: a called workflow that has changed since runs as it does in the GUI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from invokeai_gen import InvokeAIClient, ParamsError, ValueResolutionError
from invokeai_gen.handle import WorkflowDefinition, WorkflowHandle
from invokeai_gen.schema import Schema
from tests.unit.workflow_builder import Builder

N = "saved_workflow_input::n::value"
OLD = "saved_workflow_input::old::value"
S = "saved_workflow_input::s::value"


@pytest.fixture(scope="module")
def schema(server_url: str) -> Schema:
    with InvokeAIClient(server_url) as client:
        return client.schema()


def _callable(schema: Schema, *fields: str) -> dict[str, Any]:
    """A workflow with these fields on its form, which returns a number."""
    builder = Builder(schema).node("n", "integer", value=5).node("old", "integer", value=1)
    builder.node("s", "string", value="hi").node("add", "add").edge("n.value", "add.a").edge("old.value", "add.b")
    builder.node("named", "workflow_return_value", key="sum").edge("add.value", "named.value")
    builder.node("out", "workflow_return").edge("named.value", "out.values")
    for field in fields:
        builder.field(field)
    return {**builder.data(), "name": "callable"}


@pytest.fixture
def called(client: InvokeAIClient, schema: Schema) -> Iterator[str]:
    """The id of a workflow in the library whose form was changed after a caller was made: `old` went, `s` came."""
    saved = client.workflows.create(_callable(schema, "n.value", "s.value"))
    yield saved.workflow_id
    client.workflows.delete(saved.workflow_id)


def _caller(schema: Schema, client: InvokeAIClient, workflow_id: str, *on_form: str) -> WorkflowHandle:
    builder = Builder(schema).node("call", "call_saved_workflow", workflow_id=workflow_id)
    data = builder.nodes[0]["data"]
    for name, title, value in ((N, "How many", 7), (OLD, "Old", 1)):
        data["inputs"][name] = {"name": name, "label": title, "description": "", "value": value}
        template = {
            "name": name,
            "title": title,
            "type": {"name": "IntegerField", "cardinality": "SINGLE", "batch": False},
        }
        data.setdefault("dynamicInputTemplates", {})[name] = {**template, "required": False, "default": 0}
    for field in on_form:
        builder.field(f"call.{field}")
    return WorkflowHandle(WorkflowDefinition.from_dict(builder.data()), schema, client)


def test_inputs_are_those_that_the_called_workflow_has_now(client: InvokeAIClient, schema: Schema, called: str) -> None:
    handle = _caller(schema, client, called)
    request = handle.request(client)
    assert request["batch"]["graph"]["nodes"]["call"]["workflow_inputs"] == {N: 7, S: "hi"}
    stored = request["batch"]["workflow"]["nodes"][0]["data"]
    assert [*stored["inputs"]] == ["workflow_id", N, S]
    assert [*stored["dynamicInputTemplates"]] == [N]
    handle.submit_sync()
    assert handle.wait_for_completion_sync(timeout=60).status == "completed"


def test_a_value_for_an_input_that_is_gone_is_refused_by_its_label(
    client: InvokeAIClient, schema: Schema, called: str
) -> None:
    handle = _caller(schema, client, called, OLD)
    assert handle.request(client)["batch"]["graph"]["nodes"]["call"]["workflow_inputs"] == {N: 7, S: "hi"}
    field = handle.get_input_value(0)
    field.assign(type(field).from_value(3))
    with pytest.raises(ParamsError, match=r"^Old \(old\): the called workflow has no such input any more$"):
        handle.submit_sync()


def test_a_called_workflow_that_is_not_there_is_named_before_anything_is_sent(
    client: InvokeAIClient, schema: Schema
) -> None:
    before = client.queue.counts()
    with pytest.raises(ValueResolutionError, match="no workflow with id 'gone'"):
        _caller(schema, client, "gone").submit_sync()
    assert client.queue.counts() == before
