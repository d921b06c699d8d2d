"""A plan and values become the request that the GUI would send for the same form."""

from __future__ import annotations

from typing import Any

import pytest

from invokeai_gen.core.batch import batch_items, check_items
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.request import build_request
from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import Schema
from invokeai_gen.server.run_queue import batch_size
from tests.unit.workflow_builder import Builder


def _graph_node(request: dict[str, Any], node_id: str) -> dict[str, Any]:
    node: dict[str, Any] = request["batch"]["graph"]["nodes"][node_id]
    return node


def test_a_value_takes_its_place_among_the_fields_of_its_node_and_in_the_stored_workflow(schema: Schema) -> None:
    plan = Builder(schema).node("r", "img_resize").field("r.image").compile().plan
    request = build_request(plan, {("r", "image"): {"image_name": "a.png"}})
    assert list(_graph_node(request, "r")) == [
        "type", "id", "image", "width", "height", "resample_mode", "use_cache", "is_intermediate",
    ]  # fmt: skip
    stored = request["batch"]["workflow"]["nodes"][0]["data"]["inputs"]["image"]
    assert stored == {"name": "image", "label": "", "description": "", "value": {"image_name": "a.png"}}


def test_an_emptied_field_is_not_sent(schema: Schema) -> None:
    plan = Builder(schema).node("i", "integer", value=5).field("i.value").compile().plan
    request = build_request(plan, {("i", "value"): UNSET})
    assert "value" not in _graph_node(request, "i")
    assert "value" not in request["batch"]["workflow"]["nodes"][0]["data"]["inputs"]["value"]


def test_boards(schema: Schema) -> None:
    plan = Builder(schema).node("b", "blank_image").field("b.board").compile().plan
    chosen = {"board_id": "mine"}
    for value, auto_board, sent in (
        ("auto", None, None),
        ("auto", "gallery", {"board_id": "gallery"}),
        ("none", "gallery", None),
        (chosen, "gallery", chosen),
        (UNSET, "gallery", {"board_id": "gallery"}),
    ):
        request = build_request(plan, {("b", "board"): value}, auto_board_id=auto_board)
        assert _graph_node(request, "b").get("board") == sent


def test_numbers_are_sent_as_javascript_prints_them(schema: Schema) -> None:
    plan = Builder(schema).node("f", "float").field("f.value").compile().plan
    value = _graph_node(build_request(plan, {("f", "value"): 2.0}), "f")["value"]
    assert (value, type(value)) == (2, int)


def test_a_list_given_for_a_batch_multiplies_the_queue_items(schema: Schema) -> None:
    builder = Builder(schema).node("s", "string_batch", strings=["a"]).node("j", "string_join")
    plan = builder.edge("s.value", "j.string_left").field("s.strings").compile().plan
    values = {("s", "strings"): ["x", "y", "z"]}
    batch = build_request(plan, values, runs=2)["batch"]
    assert batch["data"] == [[{"node_path": "j", "field_name": "string_left", "items": ["x", "y", "z"]}]]
    assert batch_size(batch) == 6
    assert batch_items(plan, values, {}) == {"s": ["x", "y", "z"]}


def test_a_plan_is_not_changed_by_what_is_built_from_it(schema: Schema) -> None:
    plan = Builder(schema).node("i", "integer", value=5).field("i.value").compile().plan
    before = plan.to_json()
    build_request(plan, {("i", "value"): 7})
    assert plan.to_json() == before


def test_batches_that_the_gui_would_not_invoke_are_refused_with_the_labels_of_their_nodes(schema: Schema) -> None:
    builder = Builder(schema).node("a", "add").node("n", "add")
    builder.node("i", "integer_batch", label="Ones", integers=[1], batch_group_id="Group 1").edge("i.value", "a.a")
    builder.node("j", "integer_batch", label="Twos", integers=[1, 2], batch_group_id="Group 1").edge("j.value", "a.b")
    builder.node("e", "integer_batch", label="None", integers=[3]).edge("e.value", "n.a").field("e.integers")
    plan = builder.compile(validate=False).plan
    values: dict[Any, Any] = {("e", "integers"): []}
    with pytest.raises(ParamsError) as caught:
        check_items(plan, values, batch_items(plan, values, {}))
    assert [problem.message for problem in caught.value.problems] == [
        "Integers: the batch is empty",
        "the batches of group 'Group 1' differ in length: 'Ones' has 1, 'Twos' has 2",
    ]


@pytest.mark.parametrize("settings", [{"foo": 1}, {"type": "integer_generator_arithmetic_sequence", "start": "x"}])
def test_settings_of_no_generator_are_reported_with_the_label(settings: dict[str, Any], schema: Schema) -> None:
    builder = Builder(schema).node("g", "integer_generator", label="Seeds").node("b", "integer_batch").node("a", "add")
    plan = builder.edge("g.integers", "b.integers").edge("b.value", "a.a").compile().plan
    with pytest.raises(ParamsError, match="Seeds: the settings fit no kind of generator"):
        batch_items(plan, {("g", "generator"): settings}, {})


def test_missing_settings_of_a_generator_have_the_defaults_of_the_gui(schema: Schema) -> None:
    builder = Builder(schema).node("g", "integer_generator").node("b", "integer_batch").node("a", "add")
    plan = builder.edge("g.integers", "b.integers").edge("b.value", "a.a").compile().plan
    settings = {"type": "integer_generator_arithmetic_sequence", "start": 5, "count": 2}
    assert batch_items(plan, {("g", "generator"): settings}, {}) == {"b": [5, 6]}
