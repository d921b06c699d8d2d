"""`call_saved_workflow`: a called workflow that has changed since runs as it does in the GUI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen import InvokeAIClient, ParamsError, ValueResolutionError
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.handle import WorkflowDefinition, WorkflowHandle
from invokeai_gen.runtime import JobError, Sweep, WorkflowOutputs
from invokeai_gen.schema import Schema
from invokeai_gen.sweeps.dynamic_workflow import workflow_of
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.workflow import Workflow
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


def _workflow(handle: WorkflowHandle) -> Workflow[WorkflowParams, WorkflowOutputs]:
    return workflow_of(handle.plan)


def _sent(client: InvokeAIClient, sweep: Sweep[Any, Any]) -> list[Any]:
    """The inputs of the call in each item of a sweep, after its end."""
    ids = [result.item_id for result in sweep.results()]
    return [
        client.queue.get(item_id).session["graph"]["nodes"]["call"]["workflow_inputs"] for item_id in ids if item_id
    ]


@pytest.mark.parametrize("over_servers", [False, True])
def test_every_item_of_a_sweep_has_the_inputs_that_the_called_workflow_has_now(
    client: InvokeAIClient, schema: Schema, called: str, over_servers: bool
) -> None:
    workflow = _workflow(_caller(schema, client, called, N))
    options: SweepOptions = {"servers": [client]} if over_servers else {}
    with workflow.sweep(product={"how_many": [1, 2]}, client=client, **options) as sweep:
        assert _sent(client, sweep) == [{N: 1, S: "hi"}, {N: 2, S: "hi"}]


def test_what_a_resumed_sweep_sends_has_the_inputs_of_that_moment(
    client: InvokeAIClient, schema: Schema, called: str, tmp_path: Path
) -> None:
    workflow = _workflow(_caller(schema, client, called, N))
    with workflow.sweep(product={"how_many": [1, 2]}, client=client, file=tmp_path / "it.sweep") as sweep:
        assert _sent(client, sweep) == [{N: 1, S: "hi"}, {N: 2, S: "hi"}]
        sweep.cleanup_queue_items()
    client.workflows.update(called, _callable(schema, "n.value"))
    with workflow.resume_sweep(tmp_path / "it.sweep", client=client) as resumed:
        assert resumed.retry(deleted=True) == 2
        assert _sent(client, resumed) == [{N: 1}, {N: 2}]


def test_a_sweep_can_vary_the_called_workflow(client: InvokeAIClient, schema: Schema, called: str) -> None:
    workflow = _workflow(_caller(schema, client, called, "workflow_id"))
    saved = client.workflows.create(_callable(schema, "n.value"))
    with workflow.sweep(product={"workflow_id": [called, saved.workflow_id]}, client=client) as sweep:
        assert _sent(client, sweep) == [{N: 7, S: "hi"}, {N: 7}]
    client.workflows.delete(saved.workflow_id)


@pytest.mark.parametrize("over_servers", [False, True])
def test_a_sweep_of_an_input_that_is_gone_is_refused(
    client: InvokeAIClient, schema: Schema, called: str, over_servers: bool
) -> None:
    workflow = _workflow(_caller(schema, client, called, OLD))
    options: SweepOptions = {"servers": [client]} if over_servers else {}
    before = client.queue.counts()
    with pytest.raises((ParamsError, JobError), match="the called workflow has no such input any more"):
        workflow.sweep(product={"old": [2, 3]}, client=client, **options).results()
    assert client.queue.counts() == before
