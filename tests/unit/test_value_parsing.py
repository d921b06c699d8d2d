"""Values of a file are read without looking at the node: the first shape that fits."""

from __future__ import annotations

from typing import Any

import pytest

from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import shipped_schema
from invokeai_gen.workflow import WorkflowError
from invokeai_gen.workflow.values import parse_value
from tests.unit.workflow_builder import Builder

SCHEMA = shipped_schema()
MODEL = {"key": "k", "hash": "h", "name": "n", "base": "sdxl", "type": "main"}
FLOAT_GENERATOR = {"type": "float_generator_arithmetic_sequence", "start": 0, "step": 0.1, "count": 10}


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (7, 7),
        (2.5, 2.5),
        (True, True),
        ("text", "text"),
        (None, UNSET),
        ([], []),
        ([1, 2.5], [1, 2.5]),
        (["a", "b"], ["a", "b"]),
        ([1, "a"], UNSET),
        ([True, False], UNSET),
        ([{"image_name": " a.png ", "width": 3}], [{"image_name": "a.png"}]),
        ([{"image_name": "a.png"}, 3], UNSET),
        ({"image_name": "a.png", "url": "x"}, {"image_name": "a.png"}),
        ({"board_id": "b", "name": "x"}, {"board_id": "b"}),
        ({**MODEL, "extra": 1}, MODEL),
        ({**MODEL, "submodel_type": None}, {**MODEL, "submodel_type": None}),
        ({**MODEL, "base": "unheard-of"}, UNSET),
        ({"model_name": "n", "base_model": "sd-1"}, FLOAT_GENERATOR),
        ([{"lora": MODEL, "weight": 0.5, "on": True}], [{"lora": MODEL, "weight": 0.5}]),
        ({"r": 1, "g": 2, "b": 3, "a": 4, "name": "x"}, {"r": 1, "g": 2, "b": 3, "a": 4}),
        ({"r": 1, "g": 2, "b": 256, "a": 4}, FLOAT_GENERATOR),
        ({"x_min": 0, "x_max": 1}, FLOAT_GENERATOR),
        ({"start": 3}, {**FLOAT_GENERATOR, "start": 3}),
        (
            {"start": "three"},
            {"type": "float_generator_random_distribution_uniform", "min": 0, "max": 1, "count": 10},
        ),
        (
            {"type": "string_generator_parse_string", "input": "a"},
            {"type": "string_generator_parse_string", "input": "a", "splitOn": ","},
        ),
        (
            {"type": "image_generator_images_from_board"},
            {"type": "image_generator_images_from_board", "category": "images"},
        ),
        (
            {"type": "image_generator_images_from_board", "board_id": " b ", "category": "assets"},
            {"type": "image_generator_images_from_board", "board_id": "b", "category": "assets"},
        ),
        ({"type": "unheard-of"}, UNSET),
    ],
)
def test_the_first_shape_that_fits(value: Any, parsed: Any) -> None:
    assert parse_value(value, SCHEMA) == parsed


@pytest.mark.parametrize("value", [None, [{"model": 1}], [1, "a"], {"type": "unheard-of"}])
def test_extras_keep_what_no_shape_fits(value: Any) -> None:
    assert parse_value(value, SCHEMA, keep_extras=True) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [("type", 5), ("type", {"name": "StringField", "cardinality": "MANY"}), ("options", 5), ("ui_choice_labels", "x")],
)
def test_what_a_node_says_of_a_called_workflow_is_checked_like_the_rest_of_the_file(key: str, value: Any) -> None:
    name = "saved_workflow_input::a::value"
    template = {"name": name, "title": "A", "type": {"name": "StringField", "cardinality": "SINGLE", "batch": False}}
    builder = Builder(shipped_schema()).node("c", "call_saved_workflow", workflow_id="w")
    builder.nodes[0]["data"]["dynamicInputTemplates"] = {name: {**template, key: value}}
    with pytest.raises(WorkflowError, match=rf"^nodes\[0\]\.data\.dynamicInputTemplates\.{name}\.{key}"):
        builder.compile()
