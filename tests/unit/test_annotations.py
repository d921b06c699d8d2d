"""The annotation that a generated module has and the check at run time are one rule in two forms."""

from __future__ import annotations

import typing
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from invokeai_gen.codegen.annotations import Names, default, names_in, type_text
from invokeai_gen.codegen.names import PythonIdentifier
from invokeai_gen.codegen.source import Source
from invokeai_gen.core import field_values, values
from invokeai_gen.core.checks import Limits
from invokeai_gen.core.field_values import (
    Choice,
    Structure,
    check_value,
    default_of,
    shape_of,
    validator_for,
)
from invokeai_gen.core.json_values import guess_value
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.plan import Constraints, PlannedInput
from invokeai_gen.core.problems import ParamsError, range_text
from invokeai_gen.core.short_texts import short_text
from invokeai_gen.core.text_values import value_of_json
from invokeai_gen.core.values import BoardRef, BoundingBox, Color, ImageRef, LoRA, ModelRef, VideoRef
from invokeai_gen.js_json import UNSET
from invokeai_gen.limits import ModelLimits
from invokeai_gen.schema import shipped_schema
from tests.plan_factory import an_input

SAMPLES: tuple[Any, ...] = (
    None,
    *(True, 0, 1, -1, 7, 64, 65, 2**40, 0.0, 0.5, 1.0, 7.5, float("nan"), "", "a", "7", "auto", "euler", "#ff8000"),
    *(b"", b"x", Path("a.png"), (1, 2, 3), (1, 2), [], [1], [1.5], ["a"], [True], [None], {}, {"a": 1}, {1: 2}),
    *(Color(1, 2, 3), ImageRef("a"), VideoRef("a"), BoardRef("b"), ModelRef(name="m"), ModelRef(), LoRA("l")),
    *([ImageRef("a")], [ImageRef("a")] * 11, [LoRA("l")], [Color(1, 2, 3)], object(), [[1]], [{"a": 1}]),
    BoundingBox(x_min=0, x_max=1, y_min=0, y_max=1),
)

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def shapes_of_the_schema() -> dict[str, PlannedInput]:
    """One input for each distinct shape that a field of the shipped schema has, required and not."""
    schema = shipped_schema()
    found: dict[str, PlannedInput] = {}
    for node_type in schema.node_types:
        template = schema.template(node_type)
        for name, item in template.inputs.items() if template else ():
            for required in (True, False):
                planned = an_input(
                    field_name=name,
                    node_type=node_type,
                    field_type=item.type.name,
                    cardinality=item.type.cardinality,
                    required=required,
                    value=UNSET,
                    constraints=Constraints(**typing.cast("dict[str, Any]", dict(item.exact_limits))),
                    choices=item.choices,
                )
                found.setdefault(repr(shape_of(planned)), planned)
    return found


SHAPES = shapes_of_the_schema()


def outcome(check: TypeAdapter[Any] | SchemaValidator, value: Any) -> tuple[object, ...]:
    """What becomes of a value, or everything that is said against it."""
    try:
        return "accepted", repr(check.validate_python(value))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        return "refused", *((part["type"], part["loc"], part["msg"]) for part in details)


def evaluated(planned: PlannedInput) -> TypeAdapter[Any]:
    """What pydantic makes of the annotation in a generated module."""
    text = type_text(shape_of(planned), {})
    scope = {**vars(typing), **vars(values), "Limits": Limits}
    made = eval(text, scope)
    return TypeAdapter(made, config=None if is_dataclass(made) else STRICT)


def test_the_schema_has_many_shapes() -> None:
    assert len(SHAPES) > 80


@pytest.mark.parametrize("planned", SHAPES.values(), ids=lambda planned: f"{planned.node_type}.{planned.field_name}")
def test_annotation_and_validator_agree(planned: PlannedInput) -> None:
    rendered, checked = evaluated(planned), validator_for(planned)
    for sample in (*SAMPLES, *planned.choices[:1]):
        assert outcome(rendered, sample) == outcome(checked, sample), sample


def text_of(**changes: Any) -> str:
    return type_text(shape_of(an_input(**changes)), {})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "int"),
        ({"constraints": Constraints(ge=64, multiple_of=8)}, "Annotated[int, Limits(ge=64, multiple_of=8)]"),
        ({"field_type": "FloatField", "constraints": Constraints(gt=0, lt=1)}, "Annotated[float, Limits(gt=0, lt=1)]"),
        (
            {"field_type": "StringField", "constraints": Constraints(max_length=8)},
            "Annotated[str, Limits(max_length=8)]",
        ),
        ({"field_type": "EnumField", "choices": ("a", "b")}, "Literal['a', 'b']"),
        ({"field_type": "EnumField", "choices": (256, 512)}, "Literal[256, 512]"),
        ({"field_type": "FloatField", "cardinality": "SINGLE_OR_COLLECTION"}, "float | list[float]"),
        (
            {
                "field_type": "ImageField",
                "cardinality": "COLLECTION",
                "required": True,
                "constraints": Constraints(min_items=1, max_items=10),
            },
            "Annotated[list[ImageInput], Limits(min_length=1, max_length=10)]",
        ),
        (
            {"cardinality": "COLLECTION", "value": [1], "constraints": Constraints(ge=0, min_items=1)},
            "Annotated[list[Annotated[int, Limits(ge=0)]], Limits(min_length=1)]",
        ),
        ({"field_type": "ModelIdentifierField", "required": True}, "ModelInput"),
        ({"field_type": "ModelIdentifierField"}, "ModelInput | None"),
        ({"field_type": "BoardField", "value": UNSET}, "BoardInput"),
        ({"value": UNSET}, "int | None"),
        ({"value": UNSET, "required": True}, "int"),
        ({"field_type": "FloatGeneratorField"}, "dict[str, Any]"),
        ({"field_type": "SAMPointsField", "cardinality": "COLLECTION", "value": []}, "list[dict[str, Any]]"),
    ],
)
def test_annotation_text(changes: dict[str, Any], text: str) -> None:
    assert text_of(**changes) == text


def test_shared_types_are_called_by_their_name() -> None:
    names: Names = {Choice(("a", "b")): PythonIdentifier("ModeName"), Structure("Tile"): PythonIdentifier("Tile")}
    assert type_text(shape_of(an_input(choices=("a", "b"))), names) == "ModeName"
    assert type_text(shape_of(an_input(field_type="Tile", value=UNSET, required=True)), names) == "Tile"


def test_a_structure_that_need_not_fit_the_value_in_the_file_is_any_object() -> None:
    names: Names = {Structure("Tile"): PythonIdentifier("Tile")}
    assert type_text(shape_of(an_input(field_type="Tile", value={"x": 1}, required=True)), names) == "dict[str, Any]"


def test_names_to_import_are_those_that_a_declaration_uses() -> None:
    source = """Job: Annotated[Mode | list[Tile], Input(0, field='Any', label="It\\"s Literal")] = field(default_factory=list)"""
    found = names_in(Source(source))
    assert {"Annotated", "Mode", "Tile", "Input", "field", "list"} <= found
    assert not found & {"Any", "Job", "Literal", "label", "default_factory"}
    assert "field" not in names_in(Source("Input(0, field='f')"))


MODEL = {"key": "k", "hash": "h", "name": "n", "base": "sdxl", "type": "main"}


@pytest.mark.parametrize(
    ("field_type", "data", "value", "text"),
    [
        ("IntegerField", 7, 7, "7"),
        ("FloatField", 7, 7.0, "7.0"),
        ("StringField", 'a "b"', 'a "b"', "'a \"b\"'"),
        ("BooleanField", True, True, "True"),
        ("ImageField", {"image_name": "a.png"}, ImageRef("a.png"), "ImageRef('a.png')"),
        ("VideoField", {"video_name": "a.mp4"}, VideoRef("a.mp4"), "VideoRef('a.mp4')"),
        ("BoardField", {"board_id": "b"}, BoardRef("b"), "BoardRef('b')"),
        ("BoardField", "none", "none", "'none'"),
        ("ColorField", {"r": 1, "g": 2, "b": 3, "a": 255}, Color(1, 2, 3), "Color(1, 2, 3)"),
        ("ColorField", {"r": 1, "g": 2, "b": 3, "a": 4}, Color(1, 2, 3, 4), "Color(1, 2, 3, 4)"),
        (
            "ModelIdentifierField",
            MODEL,
            ModelRef(**MODEL),
            "ModelRef(key='k', hash='h', name='n', base='sdxl', type='main')",
        ),
        (
            "BoundingBoxField",
            {"x_min": 0, "x_max": 8, "y_min": 0, "y_max": 8},
            BoundingBox(x_min=0, x_max=8, y_min=0, y_max=8),
            "BoundingBox(x_min=0, x_max=8, y_min=0, y_max=8)",
        ),
    ],
)
def test_default_there_and_back(field_type: str, data: Any, value: Any, text: str) -> None:
    planned = an_input(field_type=field_type, value=data)
    assert default_of(planned) == value
    assert default(planned, {}) == text
    assert to_json(value, field_type) == data
    assert guess_value(to_json(value)) == value


@pytest.mark.parametrize(
    "data",
    [
        {"r": 0.5, "g": 0.25, "b": 1},
        {"x_min": 8, "x_max": 0, "y_min": 0, "y_max": 8},
        {"lora": 5, "weight": 1},
        {"lora": "detail", "weight": "strong"},
    ],
)
def test_an_object_that_only_looks_like_a_value_of_ours_stays_one(data: dict[str, object]) -> None:
    planned = an_input(field_type="AnyField", value=UNSET, required=True)
    assert value_of_json(planned, data) == guess_value(data) == data


def test_a_tuple_of_numbers_that_is_no_colour_is_a_list() -> None:
    assert to_json((300, 1, 2)) == [300, 1, 2]
    assert short_text((300, 1, 2)) == "300,1,2"
    assert to_json((255, 0, 0)) == {"r": 255, "g": 0, "b": 0, "a": 255}


def test_default_lists_are_made_anew() -> None:
    planned = an_input(field_type="LoRAField", cardinality="COLLECTION", value=[{"lora": MODEL, "weight": 1}])
    text = default(planned, {})
    assert text is not None
    assert text.startswith("field(default_factory=lambda: [LoRA(ModelRef(key='k'")
    assert default(an_input(cardinality="COLLECTION", value=[]), {}) == "field(default_factory=list[int])"


@pytest.mark.parametrize(
    "changes",
    [
        {"value": UNSET, "required": True},
        {"value": 2.5},
        {"value": "7"},
        {"value": [1]},
        {"value": 7, "constraints": Constraints(le=5)},
        {"value": "a", "field_type": "EnumField", "choices": ("b",)},
        {"value": {"name": "x"}, "field_type": "ImageField", "required": True},
        {"value": {"r": 256, "g": 0, "b": 0, "a": 0}, "field_type": "ColorField"},
        {"value": {"r": 1.5, "g": 0, "b": 0, "a": 0}, "field_type": "ColorField"},
        {"value": 7, "field_type": "LoRAField"},
    ],
)
def test_what_the_field_could_not_hold_is_no_default(changes: dict[str, Any]) -> None:
    assert default_of(an_input(**changes)) is UNSET
    assert default(an_input(**changes), {}) is None


def test_an_empty_board_is_the_one_that_the_gui_adds_to() -> None:
    assert default_of(an_input(field_type="BoardField", value=UNSET)) == "auto"


def test_colours_in_all_forms_become_the_servers() -> None:
    orange = {"r": 255, "g": 128, "b": 0, "a": 255}
    for value in ("#ff8000", "#FF8000ff", (255, 128, 0), Color(255, 128, 0)):
        assert to_json(value, "ColorField") == orange


@pytest.mark.parametrize("value", [b"x", Path("a.png"), object()])
def test_what_needs_a_server_has_no_json(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        to_json(value, "ImageField")


@pytest.mark.parametrize(
    ("limit", "value"), [("ge", 7), ("gt", 8), ("le", 9), ("lt", 8), ("multiple_of", 7)], ids=lambda item: str(item)
)
def test_a_refused_number_is_said_in_the_words_of_ranges(limit: str, value: int) -> None:
    with pytest.raises(ParamsError) as info:
        check_value(an_input(constraints=Constraints(**{limit: 8})), value)
    assert info.value.problems[0].reason == f"should be {range_text([(limit, 8)])}"


def test_choices_that_read_like_a_limit_stay_as_they_are() -> None:
    planned = an_input(field_type="EnumField", choices=("greater than 5", "b"))
    with pytest.raises(ParamsError, match=r"should be 'greater than 5' or 'b'"):
        check_value(planned, "c")


def test_check_value_speaks_of_labels() -> None:
    planned = an_input("Output Width", name="output_width", constraints=Constraints(ge=64))
    assert check_value(planned, 64) == 64
    with pytest.raises(ParamsError, match=r"^Output Width \(output_width\) is 7, but should be 64 or more"):
        check_value(planned, 7)
    with pytest.raises(ParamsError, match="fed by node 'Noise'"):
        check_value(an_input(fed_by="Noise", name="width"), 7)


def test_the_model_in_the_file_is_within_the_limits() -> None:
    planned = an_input(
        field_type="ModelIdentifierField",
        value={**MODEL, "base": "any"},
        models=ModelLimits(base=("flux",), type=("main",)),
    )
    assert field_values.model_limits(planned) == ModelLimits(base=("flux", "any"), type=("main",))


def test_pydantic_is_strict_about_constraints_of_collections() -> None:
    planned = an_input(cardinality="SINGLE_OR_COLLECTION", constraints=Constraints(ge=0, max_items=2))
    check = validator_for(planned)
    verdicts = [outcome(check, value)[0] for value in (0, [0, 1], -1, [0, -1], [1, 2, 3])]
    assert verdicts == ["accepted", "accepted", "refused", "refused", "refused"]
