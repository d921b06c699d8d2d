"""A text means the same on the command line and in a cell of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.cli.assignments import read_assignments
from invokeai_gen.core.field_values import check_value
from invokeai_gen.core.plan import Constraints, PlannedInput
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.text_values import find_input, json_of_text, value_of_json
from invokeai_gen.core.values import BoardRef, BoundingBox, Color, ImageRef, LoRA, ModelRef
from invokeai_gen.js_json import UNSET
from tests.plan_factory import a_plan, an_input

WIDTH = an_input("Width", name="width")
BOUNDED = an_input("Width", name="width", constraints=Constraints(ge=64, le=2048, multiple_of=8))
GLOW = an_input("Glow", name="glow", field_type="FloatField", value=0.5)
CFG = an_input("CFG", name="cfg", field_type="FloatField", cardinality="SINGLE_OR_COLLECTION", value=7.5)
FLAG = an_input("Flag", name="flag", field_type="BooleanField", value=False)
PROMPT = an_input("Prompt", name="prompt", field_type="StringField", value="")
MOOD = an_input(
    "Mood",
    name="mood",
    field_type="StringField",
    value="calm",
    choices=("calm", "wild", "two words"),
    choice_labels={"calm": "Quiet", "wild": "calm", "two words": "Same"},
)
SKY = an_input("Sky", name="sky", field_type="ColorField", value={"r": 1, "g": 2, "b": 3, "a": 255})
IMAGE = an_input("Image", name="image", field_type="ImageField", value=UNSET)
NEEDED = an_input("Image", name="image", field_type="ImageField", value=UNSET, required=True)
MODEL = an_input("Model", name="model", field_type="ModelIdentifierField", value=UNSET, required=True)
BOARD = an_input("Board", name="board", field_type="BoardField", value="auto")
BOX = an_input("Box", name="box", field_type="BoundingBoxField", value=UNSET)
NAMES = an_input("Names", name="names", field_type="StringField", cardinality="COLLECTION", value=["a"])
SIZES = an_input("Sizes", name="sizes", cardinality="COLLECTION", value=[1])
LORAS = an_input("LoRAs", name="loras", field_type="LoRAField", cardinality="COLLECTION", value=UNSET)
LORA = an_input("LoRA", name="lora", field_type="LoRAField", value=UNSET)
SEEDS = an_input("Seeds", name="seeds", field_type="IntegerGeneratorField", value=UNSET)
MODEL_DATA = '{"key": "k", "hash": "h", "name": "n", "base": "sdxl", "type": "main"}'


def value_of(planned: PlannedInput, text: str) -> Any:
    return check_value(planned, value_of_json(planned, json_of_text(planned, text)))


def refused(planned: PlannedInput, text: str) -> str:
    with pytest.raises(ParamsError) as caught:
        value_of(planned, text)
    (problem,) = caught.value.problems
    assert (problem.name, problem.label) == (planned.name, planned.label)
    assert problem.message.endswith(problem.reason)
    assert problem.reason
    return problem.message


@pytest.mark.parametrize(
    ("planned", "text", "value"),
    [
        (WIDTH, "768", 768),
        (WIDTH, " 768 ", 768),
        (WIDTH, "-7", -7),
        (WIDTH, "+7", 7),
        (WIDTH, "007", 7),
        (WIDTH, "7.0", 7),
        (WIDTH, "1e3", 1000),
        (GLOW, "7", 7.0),
        (GLOW, "7.0", 7.0),
        (GLOW, ".5", 0.5),
        (GLOW, "5.", 5.0),
        (CFG, "7.5", 7.5),
        (CFG, "[1, 2.5]", [1, 2.5]),
        (PROMPT, " a fox, in snow ", " a fox, in snow "),
        (PROMPT, "", ""),
        (PROMPT, "null", "null"),
        (PROMPT, "7", "7"),
        (PROMPT, '{"a": 1}', '{"a": 1}'),
        (PROMPT, "[close-up] a fox", "[close-up] a fox"),
        (MOOD, "two words", "two words"),
        (MOOD, " wild ", "wild"),
        (MOOD, "Quiet", "calm"),
        (MOOD, "calm", "calm"),
        (SKY, "#ff8000", "#ff8000"),
        (SKY, " #ff8000c0", "#ff8000c0"),
        (SKY, "(255, 128, 0)", Color(255, 128, 0)),
        (SKY, "(255,128,0,7)", Color(255, 128, 0, 7)),
        (SKY, "[255, 128, 0]", Color(255, 128, 0)),
        (SKY, "orange", "orange"),
        (LORA, "detail", LoRA("detail")),
        (LORA, " detail@0.5 ", LoRA("detail", 0.5)),
        (LORA, '{"lora": "detail", "weight": 0.5}', LoRA("detail", 0.5)),
        (LORAS, '["detail"]', [LoRA("detail")]),
        (SKY, '{"r": 255, "g": 128, "b": 0}', Color(255, 128, 0)),
        (IMAGE, "img/a fox.png ", "img/a fox.png"),
        (IMAGE, '{"image_name": "x.png"}', ImageRef("x.png")),
        (IMAGE, '{"path": "x.png"}', Path("x.png")),
        (IMAGE, "{x}.png", "{x}.png"),
        (IMAGE, "null", None),
        (NEEDED, "null", "null"),
        (MODEL, "juggernaut", "juggernaut"),
        (MODEL, MODEL_DATA, ModelRef(key="k", hash="h", name="n", base="sdxl", type="main")),
        (BOARD, "none", "none"),
        (BOARD, '{"board_id": "b"}', BoardRef("b")),
        (BOX, '{"x_min": 1, "x_max": 2, "y_min": 3, "y_max": 4}', BoundingBox(x_min=1, x_max=2, y_min=3, y_max=4)),
        (BOX, "null", None),
        (NAMES, '["a", "b"]', ["a", "b"]),
        (SIZES, "[1, 2]", [1, 2]),
        (LORAS, '[{"lora": %s, "weight": 1}]'.replace("%s", MODEL_DATA), [LoRA(value_of_json(MODEL, {"key": "k", "hash": "h", "name": "n", "base": "sdxl", "type": "main"}), 1)]),
        (SEEDS, '{"type": "integer_generator_arithmetic_sequence"}', {"type": "integer_generator_arithmetic_sequence"}),
    ],
)  # fmt: skip
def test_what_a_text_means(planned: PlannedInput, text: str, value: Any) -> None:
    found = value_of(planned, text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("text", ["true", "TRUE", "yes", "Yes", "1", " True "])
def test_words_for_true(text: str) -> None:
    assert value_of(FLAG, text) is True


@pytest.mark.parametrize("text", ["false", "FALSE", "no", "NO", "0", "False "])
def test_words_for_false(text: str) -> None:
    assert value_of(FLAG, text) is False


@pytest.mark.parametrize(
    ("planned", "text", "message"),
    [
        (WIDTH, "abc", "Width (width) is 'abc', but should be a whole number, such as 768"),
        (WIDTH, "", "Width (width) is '', but should be a whole number, such as 768"),
        (WIDTH, "7 px", "Width (width) is '7 px', but should be a whole number, such as 768"),
        (WIDTH, "7.9", "Width (width) is 7.9, but should be a valid integer"),
        (WIDTH, "9" * 400, "but should be a whole number, such as 768"),
        (BOUNDED, "abc", "is 'abc', but should be a whole number, 64 to 2048, a multiple of 8"),
        (BOUNDED, "65", "Width (width) is 65, but should be a multiple of 8"),
        (GLOW, "0,5", "is '0,5', but should be a number, such as 0.5; use a decimal point, as in 0.5"),
        (GLOW, "nan", "is 'nan', but should be a number, such as 0.5"),
        (CFG, "x", "but should be a number, such as 0.5, or a list of them, such as [0.5, 1]"),
        (FLAG, "maybe", "Flag (flag) is 'maybe', but should be true or false (or yes, no, 1, 0)"),
        (FLAG, "2", "is '2', but should be true or false"),
        (MOOD, "Calm", "is 'Calm', but should be 'calm', 'wild' or 'two words'"),
        (SKY, "reddish", "is 'reddish', but should be a colour"),
        (SKY, "(255, 128, 300)", "channel b of a colour is 300, not a whole number from 0 to 255"),
        (SKY, '{"r": 300, "g": 0, "b": 0}', "channel r of a colour is 300"),
        (NAMES, "a, b", """Names (names) is 'a, b', but should be a list in JSON, such as ["a", "b"]"""),
        (SIZES, "1, 2", "but should be a list in JSON, such as [1, 2]"),
        (SIZES, "7", "should be a valid list"),
        (SEEDS, "x", "Seeds (seeds) is 'x', but should be JSON"),
        (MODEL, " ", "should be a model"),
    ],
)
def test_what_a_text_cannot_mean(planned: PlannedInput, text: str, message: str) -> None:
    assert message in refused(planned, text)


def test_a_label_that_two_choices_share_is_none_of_them() -> None:
    shared = an_input(
        name="x", field_type="EnumField", value="a", choices=("a", "b"), choice_labels={"a": "Z", "b": "Z"}
    )
    assert "is 'Z', but should be 'a' or 'b'" in refused(shared, "Z")


def test_a_choice_may_be_called_null() -> None:
    planned = an_input(name="x", field_type="EnumField", value=UNSET, choices=("null", "b"))
    assert value_of(planned, "null") == "null"


def test_choices_may_be_numbers() -> None:
    levels: Any = (1, 2, 3)
    level = an_input(name="level", field_type="EnumField", value=1, choices=levels)
    assert value_of(level, " 3") == 3
    assert refused(level, "7").endswith("is 7, but should be 1, 2 or 3")
    assert refused(level, "x").endswith("is 'x', but should be 1, 2 or 3")


def test_the_command_line_reads_by_the_same_rule() -> None:
    plan = a_plan(FLAG, an_input("Image", name="image", field_type="ImageField", value=UNSET, index=1))
    assigned, unknown = read_assignments(plan, [("Flag", "YES"), ("1", "null")], None)
    assert [(item.planned.name, item.value, item.problem) for item in assigned] == [("flag", True, ""), ("image", None, "")]  # fmt: skip
    assert not unknown


PLAN = a_plan(
    an_input("Width", name="width", index=0),
    an_input("Steps", name="draft_steps", index=1),
    an_input("Steps", name="final_steps", index=2),
    an_input("Seed", name="seed", index=3, fed_by="Random Integer"),
    an_input("width", name="other", index=4),
)


@pytest.mark.parametrize(
    ("name", "found"), [("0", 0), ("width", 0), ("Width", 0), ("final_steps", 2), ("final-steps", 2), ("other", 4)]
)
def test_an_input_is_found_by_index_name_or_label(name: str, found: int) -> None:
    assert find_input(PLAN, name).index == found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("7", "unknown form index 7; indices run from 0 to 4"),
        ("9" * 5000, "unknown input"),
        ("Widht", "unknown input 'Widht'; did you mean Width (width)"),
        ("Steps", "2 inputs are labelled 'Steps': use a name or an index: draft_steps (index 1), final_steps (index 2)"),
        ("Seed", "Seed (seed) cannot be set: in the workflow it is fed by node 'Random Integer'"),
        ("3", "Seed (seed) cannot be set"),
    ],
)  # fmt: skip
def test_an_input_that_is_not_found(name: str, message: str) -> None:
    with pytest.raises(ParamsError) as caught:
        find_input(PLAN, name)
    assert message in str(caught.value)
