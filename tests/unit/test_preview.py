"""`WORKFLOW.request()`: the request without sending it, and what stands in it for things that only a server knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.codegen.names import assign_names
from invokeai_gen.core.field_values import default_of
from invokeai_gen.core.json_schema import _description
from invokeai_gen.core.json_writing import asset_kind, is_sendable, look_ups
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import BoardRef, ImageRef, LoRA, ModelRef, VideoRef
from invokeai_gen.js_json import UNSET
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.workflow import RunnableWorkflow
from invokeai_gen.schema import Schema
from invokeai_gen.sweeps.dynamic_workflow import params_type
from tests.plan_factory import an_input
from tests.plans import form_field
from tests.unit.workflow_builder import Builder

DEEP: list[Any] = []
DEEP.append(DEEP)


def workflow(builder: Builder) -> tuple[RunnableWorkflow[Any, Any], Any]:
    """The workflow, and its class of parameters."""
    plan = assign_names(builder.compile(validate=False).plan)
    params = params_type(plan)
    return RunnableWorkflow(plan, params=params, outputs=WorkflowOutputs), params


def nodes(request: dict[str, Any]) -> Any:
    return request["batch"]["graph"]["nodes"]


def test_names_and_files_have_placeholders(schema: Schema, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(b"")
    builder = (
        Builder(schema)
        .node("load", "main_model_loader")
        .node("save", "save_image")
        .node("loras", "lora_collection_loader")
    )
    builder.field("load.model").field("save.image").field("save.board").field("loras.loras")
    wf, params = workflow(builder)
    given = params(model="dreamshaper", image=tmp_path / "in.png", board="Cats", loras=[LoRA("ink", 0.5)])
    request = wf.request(given, runs=3, prepend=True, auto_board="Dogs")
    assert nodes(request)["load"]["model"] == {"key": "<model dreamshaper>", "name": "dreamshaper"}
    assert nodes(request)["save"]["image"] == {"image_name": f"<upload of {tmp_path / 'in.png'}>"}
    assert nodes(request)["save"]["board"] == {"board_id": "<board Cats>"}
    assert nodes(request)["loras"]["loras"] == [{"lora": {"key": "<model ink>", "name": "ink"}, "weight": 0.5}]
    assert (request["prepend"], request["batch"]["runs"]) == (True, 3)
    assert "batch_id" not in request["batch"]


def test_references_and_automatic_boards_stay_as_they_are(schema: Schema) -> None:
    builder = Builder(schema).node("save", "save_image").field("save.image").field("save.board")
    wf, params = workflow(builder)
    request = wf.request(params(image=ImageRef("a.png"), board=BoardRef("b")))
    assert (nodes(request)["save"]["image"], nodes(request)["save"]["board"]) == (
        {"image_name": "a.png"},
        {"board_id": "b"},
    )
    request = wf.request(params(image="a.png", board="auto"), auto_board=BoardRef("auto-board"))
    assert nodes(request)["save"]["board"] == {"board_id": "auto-board"}
    for nowhere in (None, "auto", "none"):
        request = wf.request(params(image="a.png", board="auto"), auto_board=nowhere)
        assert "board" not in nodes(request)["save"]


def test_what_a_server_would_generate_is_one_placeholder(schema: Schema) -> None:
    settings = {"type": "string_generator_dynamic_prompts_combinatorial", "input": "a {b|c}", "maxPrompts": 9}
    builder = Builder(schema).node("make", "string_generator", generator=settings).node("batch", "string_batch")
    builder.node("text", "string").edge("make.strings", "batch.strings").edge("batch.value", "text.value")
    wf, params = workflow(builder)
    (group,) = wf.request(params())["batch"]["data"]
    assert group == [{"node_path": "text", "field_name": "value", "items": ["<dynamic prompts>"]}]


def test_a_batch_that_is_left_empty_is_refused_as_at_submission(schema: Schema) -> None:
    builder = Builder(schema).node("a", "string_batch", batch_group_id="Group 1", strings=["x"])
    builder.node("b", "integer_batch", batch_group_id="Group 1", integers=[1]).node("t", "string").node("n", "integer")
    builder.edge("a.value", "t.value").edge("b.value", "n.value").field("a.strings").field("b.integers")
    wf, params = workflow(builder)
    with pytest.raises(ParamsError, match="Integers"):
        params(strings=["x"], integers=[])
    with pytest.raises(ParamsError, match="'Strings' has 2, 'Integers' has 1"):
        wf.request(params(strings=["x", "y"], integers=[1]))
    assert len(wf.request(params(strings=["x", "y"], integers=[1, 2]))["batch"]["data"][0]) == 2


def test_params_of_another_workflow_are_refused(schema: Schema) -> None:
    wf, _ = workflow(Builder(schema).node("a", "integer").field("a.value"))
    _, other = workflow(Builder(schema).node("b", "integer").field("b.value"))
    with pytest.raises(ParamsError, match="this workflow takes"):
        wf.request(other(value=1))


def test_an_explicit_null_is_an_empty_optional_field_and_stays_null(schema: Schema) -> None:
    builder = Builder(schema).node("meta", "core_metadata", width=None, generation_mode=None)
    plan = builder.field("meta.width").field("meta.generation_mode").compile().plan
    assert [(planned.required, default_of(planned)) for planned in plan.inputs] == [(False, None), (False, None)]
    wf, params = workflow(builder)
    sent = nodes(wf.request(params(width=None, generation_mode=None)))["meta"]
    assert (sent["width"], sent["generation_mode"]) == (None, None)
    assert nodes(wf.request(params(width=64, generation_mode=None)))["meta"]["width"] == 64


def test_what_nobody_touched_is_sent_as_the_file_has_it(schema: Schema) -> None:
    model = {"key": "k", "hash": "h", "name": "n", "base": "sd-1", "type": "main", "submodel_type": None}
    builder = Builder(schema).node("load", "main_model_loader", model=model).node("save", "save_image", board=UNSET)
    builder.field("load.model").field("save.board").field("save.image")
    wf, params = workflow(builder)
    defaults = {planned.name: default_of(planned) for planned in wf.plan.inputs}
    request = wf.request(params(**{**defaults, "image": "a.png"}))
    assert nodes(request)["load"]["model"] == model
    stored = request["batch"]["workflow"]["nodes"][1]["data"]["inputs"]["board"]
    assert (defaults["board"], "value" in stored) == ("auto", False)


@pytest.mark.parametrize(
    ("auto_board", "board"), [(None, None), ("auto", None), ("none", None), ("Cats", "<board Cats>")]
)
def test_only_a_board_that_has_to_be_looked_up_gets_a_placeholder(
    schema: Schema, auto_board: str | None, board: str | None
) -> None:
    """`auto` and `none` are choices of the GUI, not names."""
    builder = (
        Builder(schema).node("save", "save_image", board="auto", image={"image_name": "a.png"}).field("save.image")
    )
    wf, params = workflow(builder)
    sent = nodes(wf.request(params(image=ImageRef("a.png")), auto_board=auto_board))["save"].get("board")
    assert sent == (None if board is None else {"board_id": board})


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (ImageRef("a.png"), "image"),
        (VideoRef("a.mp4"), "video"),
        (BoardRef("b"), "board"),
        (ModelRef(name="dreamshaper"), "model"),
        ("a.png", None),
        (7, None),
    ],
)
def test_what_a_value_refers_to_is_known_by_its_type_where_a_field_takes_anything(
    value: object, kind: str | None
) -> None:
    anything = form_field(0, "Anything", "n", "custom_node", "value", "AnyField", None)
    assert asset_kind(anything, value) == kind


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "nan cannot be written as JSON"),
        ({"strength": [1, float("inf")]}, "inf cannot be written as JSON"),
        (10**400, "cannot be written as JSON"),
        (object(), "cannot be written as JSON"),
        (DEEP, "it is nested too deeply"),
    ],
    ids=["nan", "inf", "huge", "object", "deep"],
)
@pytest.mark.usefixtures("no_collection")
def test_what_json_cannot_hold_is_refused_with_the_label(value: object, reason: str) -> None:
    anything = an_input("Anything", name="anything", field_type="AnyField")
    with pytest.raises(ParamsError, match=r"^Anything \(anything\) is .*, which cannot be used: ") as caught:
        look_ups(anything, value)
    assert str(caught.value).endswith(reason)


@pytest.mark.parametrize("value", ["\ud800", ["a", "\ud800"], {"prompts": [{"text": "\ud800"}]}, {"\ud800": 1}])
def test_half_a_character_is_found_wherever_it_is(value: object) -> None:
    assert not is_sendable(value)
    assert is_sendable({"prompts": ["fox", {"text": "🦊"}], "strength": 1})


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        ("Strength from 0 to 1", "Strength from 0 to 1. In the form under Look."),
        ("The seed (random)", "The seed (random). In the form under Look."),
        ("Is it on?", "Is it on? In the form under Look."),
        ("It ends.", "It ends. In the form under Look."),
        ("", "In the form under Look."),
    ],
)
def test_a_description_is_a_sentence_before_the_headings(description: str, shown: str) -> None:
    field = form_field(0, "A", "n", "noise", "seed", "IntegerField", 0, description=description, sections=("Look",))
    assert _description(field) == shown
