"""What keeps the GUI from invoking a workflow is told all at once, in words that lead to the field."""

from __future__ import annotations

import pytest

from invokeai_gen.compiler import NotReadyError, Reason
from invokeai_gen.schema import Schema
from tests.unit.workflow_builder import Builder


def _reasons(builder: Builder) -> tuple[Reason, ...]:
    with pytest.raises(NotReadyError) as caught:
        builder.compile()
    return caught.value.reasons


def test_a_value_out_of_range_is_reported_with_node_field_value_and_limit(schema: Schema) -> None:
    (reason,) = _reasons(Builder(schema).node("r", "img_resize", label="Shrink", image={"image_name": "a"}, width=0))
    assert str(reason) == ("node 'Shrink' (img_resize, id r), field 'Width' (width): 0 should be more than 0")


def test_every_reason_is_reported(schema: Schema) -> None:
    builder = Builder(schema).node("r", "img_resize", width=-1, height=-2).node("x", "no_such_node")
    problems = [(reason.node_id, reason.field_name) for reason in _reasons(builder)]
    assert problems == [("r", "image"), ("r", "width"), ("r", "height"), ("x", "")]


def test_a_choice_that_does_not_exist_is_only_warned_of_because_the_gui_sends_it(schema: Schema) -> None:
    warnings = Builder(schema).node("b", "blank_image", mode="CMYK").compile().warnings
    assert any("'CMYK'" in str(warning) and "'RGB', 'RGBA'" in str(warning) for warning in warnings)


def test_empty_and_wrong_values_on_the_form_are_left_to_the_caller(schema: Schema) -> None:
    builder = Builder(schema).node("r", "img_resize", width=-1).field("r.image").field("r.width")
    image, width = builder.compile().plan.inputs
    assert (image.required, width.required) == (True, True)
    assert not image.value
    assert not width.value


def test_a_node_of_another_major_version_is_reported(schema: Schema) -> None:
    builder = Builder(schema).node("b", "blank_image", version="0.9.0")
    builder.nodes[0]["data"]["inputs"]["gone"] = {"name": "gone", "label": "Old", "description": "", "value": 1}
    (reason,) = _reasons(builder)
    assert reason.field_label == "Old"
    assert "delete the node in the GUI and add it again" in reason.problem


@pytest.mark.parametrize(
    ("builder", "problem"),
    [
        (lambda b: b.node("i", "integer_batch", integers=[1]), "is not connected"),
        (
            lambda b: b.node("i", "integer_batch", integers=[]).node("a", "add").edge("i.value", "a.a"),
            "the batch is empty",
        ),
        (
            lambda b: b.node("i", "integer_batch", integers=["x"]).node("a", "add").edge("i.value", "a.a"),
            "its list does not suit integer_batch",
        ),
        (
            lambda b: (
                b.node("i", "integer_batch", integers=[1])
                .node("a", "add")
                .connector("c")
                .edge("i.value", "c.in")
                .edge("c.out", "a.a")
            ),
            "cannot go through a connector",
        ),
    ],
)
def test_batches_that_cannot_run(builder: object, problem: str, schema: Schema) -> None:
    reasons = _reasons(builder(Builder(schema)))  # type: ignore[operator]
    assert any(problem in reason.problem for reason in reasons)


def test_zipped_batches_of_different_length_are_named(schema: Schema) -> None:
    builder = Builder(schema).node("a", "add")
    for node_id, field, items in (("i", "a", [1, 2]), ("j", "b", [1, 2, 3])):
        builder.node(node_id, "integer_batch", label=node_id, integers=items, batch_group_id="Group 1")
        builder.edge(f"{node_id}.value", f"a.{field}")
    (reason,) = _reasons(builder)
    assert reason.problem == "the batches of group 'Group 1' differ in length: 'i' has 2, 'j' has 3"


def test_a_workflow_without_nodes_cannot_run(schema: Schema) -> None:
    (reason,) = _reasons(Builder(schema))
    assert str(reason) == "the workflow has no node that could run"
