"""Which inputs and outputs a workflow has, and what is known of each."""

from __future__ import annotations

from typing import Any

import pytest

from invokeai_gen.core.batch import check_items
from invokeai_gen.core.plan import Constraints, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import Schema
from tests.unit.workflow_builder import Builder


def test_inputs_come_in_the_order_of_the_form_with_the_sections_above_them(schema: Schema) -> None:
    builder = Builder(schema).node("b", "blank_image").node("i", "integer")
    builder.text("Size", heading=True).field("b.width").text("Details").field("b.height").text("Count", heading=True)
    inputs = builder.field("i.value").compile().plan.inputs
    assert [(item.index, item.label, item.sections) for item in inputs] == [
        (0, "Width", ("Size",)),
        (1, "Height", ("Size", "Details")),
        (2, "Value", ("Count",)),
    ]


def test_a_slider_narrows_the_range_of_the_schema(schema: Schema) -> None:
    slider = {"type": "integer-field-config", "component": "slider", "min": 64, "max": 1024}
    plan = Builder(schema).node("r", "img_resize", image={"image_name": "a"}).field("r.width", **slider).compile().plan
    assert plan.inputs[0].constraints == Constraints(ge=64, le=1024)


def test_a_slider_does_not_refuse_the_value_that_the_form_itself_holds(schema: Schema) -> None:
    slider = {"type": "integer-field-config", "component": "slider", "min": 64, "max": 128}
    plan = Builder(schema).node("r", "img_resize", image={"image_name": "a"}).field("r.width", **slider).compile().plan
    assert plan.inputs[0].value == 512
    assert plan.inputs[0].constraints == Constraints(ge=64)


@pytest.mark.parametrize(
    ("field", "settings", "limits"),
    [
        ("steps", {"min": 0}, Constraints(gt=0)),
        ("steps", {"min": 1}, Constraints(ge=1)),
        ("steps", {"min": -1}, Constraints(gt=0)),
        ("cfg_rescale_multiplier", {"max": 1}, Constraints(ge=0, lt=1)),
        ("cfg_rescale_multiplier", {"max": 0.5}, Constraints(ge=0, le=0.5)),
        ("cfg_rescale_multiplier", {"max": 2, "min": 0}, Constraints(ge=0, lt=1)),
    ],
)
def test_a_slider_that_reaches_an_excluded_bound_does_not_let_it_in(
    field: str, settings: dict[str, Any], limits: Constraints, schema: Schema
) -> None:
    kind = "integer-field-config" if field == "steps" else "float-field-config"
    builder = (
        Builder(schema).node("d", "denoise_latents").field(f"d.{field}", type=kind, component="slider", **settings)
    )
    assert builder.compile(validate=False).plan.inputs[0].constraints == limits


def test_the_options_of_a_dropdown_are_choices_with_labels(schema: Schema) -> None:
    options = [{"label": "Tall", "value": "portrait"}, {"label": "Wide", "value": "landscape"}]
    settings = {"type": "string-field-config", "component": "dropdown", "options": options}
    plan = Builder(schema).node("s", "string", value="portrait").field("s.value", **settings).compile().plan
    assert plan.inputs[0].choices == ("portrait", "landscape")
    assert plan.inputs[0].choice_labels == {"portrait": "Tall", "landscape": "Wide"}


def test_a_dropdown_whose_value_is_not_among_its_options_takes_any_text(schema: Schema) -> None:
    options = [{"label": "Tall", "value": "portrait"}]
    settings = {"type": "string-field-config", "component": "dropdown", "options": options}
    plan = Builder(schema).node("s", "string", value="square").field("s.value", **settings).compile().plan
    assert plan.inputs[0].value == "square"
    assert not plan.inputs[0].choices
    assert not plan.inputs[0].choice_labels


def test_an_input_fed_by_an_edge_names_the_node_behind_the_connectors(schema: Schema) -> None:
    builder = Builder(schema).node("i", "integer", label="Edge Length").connector("c").node("b", "blank_image")
    plan = builder.edge("i.value", "c.in").edge("c.out", "b.width").field("b.width").compile().plan
    assert plan.inputs[0].fed_by == "Edge Length"


def test_roles_of_outputs(schema: Schema) -> None:
    builder = Builder(schema).node("b", "blank_image").node("s", "save_image").node("r", "img_resize")
    builder.edge("b.image", "r.image").edge("r.image", "s.image").field("s.board").text("x").node("n", "integer")
    outputs = {item.node_id: (item.role, item.result_type) for item in builder.compile().plan.outputs}
    assert outputs == {
        "s": ("user", "ImageOutput"),
        "n": ("result", "int"),
        "b": ("debug", "ImageOutput"),
        "r": ("debug", "ImageOutput"),
    }


def test_a_node_behind_an_iterate_gives_a_list_until_a_collect(schema: Schema) -> None:
    builder = Builder(schema).node("c", "range", start=0, stop=3, step=1).node("i", "iterate").node("a", "add")
    builder.node("l", "collect").edge("c.collection", "i.collection").edge("i.item", "a.a").edge("a.value", "l.item")
    builder.node("t", "add").edge("i.item", "t.a")
    outputs = {item.node_id: item.result_type for item in builder.compile().plan.outputs}
    assert outputs["t"] == "list[int]"
    assert outputs["l"] == "NodeResult"


def test_a_batch_knows_what_the_fields_it_feeds_accept(schema: Schema) -> None:
    builder = Builder(schema).node("b", "integer_batch", integers=[64, 128]).node("n", "noise").node("s", "string")
    builder.edge("b.value", "n.width").edge("b.value", "s.value")
    plan = builder.compile().plan
    (batch,) = plan.batches
    assert batch.targets == (("n", "width"), ("s", "value"))
    width, text = batch.target_limits
    assert (width.field_type, width.constraints.multiple_of, text.field_type) == ("IntegerField", 8, "StringField")
    assert WorkflowPlan.from_json(plan.to_json()) == plan
    check_items(plan, {}, {"b": [64, 128]})
    with pytest.raises(ParamsError, match=r"item 1 is 7, but what goes into 'Create Latent Noise' \(width\) should be"):
        check_items(plan, {}, {"b": [64, 7]})


def test_an_object_that_the_gui_misreads_is_no_default(schema: Schema) -> None:
    builder = Builder(schema).node("s", "segment_anything", image={"image_name": "a"}).field("s.point_lists")
    builder.nodes[0]["data"]["inputs"]["point_lists"]["value"] = {"points": [], "name": "x"}
    builder.field("s.image")
    points, image = builder.compile().plan.inputs
    assert points.value is UNSET
    assert image.value == {"image_name": "a"}
