"""`_types.py` is what datamodel-code-generator makes of the few schemas that our workflows reach."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from invokeai_gen.codegen import datamodel, value_types
from invokeai_gen.codegen.annotations import Names
from invokeai_gen.codegen.module import formatted
from invokeai_gen.codegen.plan_file import Outline
from invokeai_gen.core.field_values import Choice, Structure
from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.js_json import UNSET
from tests.plan_factory import a_plan, an_input

GOLDEN = Path(__file__).with_name("expected") / "value_types.py.txt"

LONG = tuple(f"mode_{number}" for number in range(9))
OTHER = tuple(f"other_{number}" for number in range(9))

SCHEMAS: dict[str, Any] = {
    "SAMPointLabel": {"enum": [-1, 0, 1], "title": "SAMPointLabel", "type": "integer"},
    "SAMPoint": {
        "properties": {
            "x": {"description": "The x-coordinate of the point", "title": "X", "type": "integer"},
            "y": {"description": "The y-coordinate of the point", "title": "Y", "type": "integer"},
            "label": {"$ref": "#/components/schemas/SAMPointLabel", "description": "The label of the point"},
        },
        "required": ["x", "y", "label"],
        "title": "SAMPoint",
        "type": "object",
    },
    "SAMPointsField": {
        "properties": {"points": {"items": {"$ref": "#/components/schemas/SAMPoint"}, "minItems": 1, "type": "array"}},
        "required": ["points"],
        "type": "object",
    },
    "CustomField": {
        "description": 'Text with """ quotes \\ and a\nnew line',
        "properties": {
            "ratio": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
            "graph": {"$ref": "#/components/schemas/Graph"},
            "gone": {"$ref": "#/components/schemas/NoSuchThing"},
            "node": {"$ref": "#/components/schemas/AddInvocation"},
        },
        "type": "object",
    },
    "Graph": {"properties": {"nodes": {"$ref": "#/components/schemas/AddInvocation"}}, "type": "object"},
    "AddInvocation": {"class": "invocation", "properties": {"graph": {"$ref": "#/components/schemas/Graph"}}},
}


def field_of(kind: str, index: int = 0, **changes: Any) -> PlannedInput:
    return an_input(index=index, field_type=kind, **{"value": UNSET, "required": True, **changes})


def collected(*inputs: PlannedInput) -> tuple[Names, dict[str, Any]]:
    return value_types.collect([Outline.of(a_plan(*inputs))], SCHEMAS)


def everything() -> tuple[Names, dict[str, Any]]:
    return collected(
        field_of("SchedulerField", choices=("ddim", "euler")),
        field_of("EnumField", 1, field_name="blend_mode", choices=LONG),
        field_of("SAMPointsField", 2, cardinality="COLLECTION"),
        field_of("CustomField", 3),
    )


def test_the_text_is_as_expected() -> None:
    text = formatted(datamodel.render(everything()[1]))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8", newline="\n")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_the_types_are_types_that_pydantic_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "types_of_a_test.py").write_text(datamodel.render(everything()[1]), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    made: Any = importlib.import_module("types_of_a_test")
    points: TypeAdapter[Any] = TypeAdapter(made.SAMPointsField)
    assert points.validate_python({"points": [{"x": 1, "y": 2, "label": 1}]})
    with pytest.raises(ValidationError):
        points.validate_python({"points": [{"x": 1, "y": 2, "label": 7}]})


def test_only_what_is_reached_is_there_and_never_a_node() -> None:
    _, types = everything()
    assert list(types) == [
        "BlendMode",
        "CustomField",
        "SAMPoint",
        "SAMPointLabel",
        "SAMPointsField",
        "SchedulerName",
    ]
    assert types["CustomField"]["properties"]["graph"] == {}


def test_short_choices_and_those_of_one_form_stay_where_they_are() -> None:
    assert collected(field_of("EnumField", choices=("RGB", "RGBA")))[1] == {}
    assert collected(field_of("StringField", choices=LONG))[1] == {}
    assert collected(field_of("SchedulerField", choices=LONG, fed_by="x"))[1] == {}


def test_a_structure_whose_value_is_in_the_file_is_not_declared() -> None:
    points = {"points": [{"x": 1, "y": 2, "label": 1}]}
    assert collected(field_of("SAMPointsField"))[0] == {Structure("SAMPointsField"): "SAMPointsField"}
    assert collected(field_of("SAMPointsField", value=points)) == ({}, {})


def test_lists_of_one_name_are_told_apart_by_their_nodes() -> None:
    names, _ = collected(
        field_of("EnumField", 0, field_name="mode", node_type="img_blend", choices=LONG),
        field_of("EnumField", 1, field_name="mode", node_type="img_scale", choices=OTHER),
        field_of("EnumField", 2, field_name="mode", node_type="img_blend", choices=LONG),
    )
    assert names == {Choice(LONG): "ImgBlendMode", Choice(OTHER): "ImgScaleMode"}


def test_the_order_of_workflows_does_not_matter() -> None:
    plans = [
        Outline.of(a_plan(field_of("EnumField", field_name=name, choices=LONG))) for name in ("mode", "blend_mode")
    ]
    assert value_types.collect(plans, SCHEMAS) == value_types.collect(reversed(plans), SCHEMAS)


@pytest.mark.parametrize("name", ["import os", "lower", "", "Größe", "None", "A;B", "Unknown"])
def test_a_type_whose_name_is_none_is_any_object(name: str) -> None:
    assert collected(field_of(name))[0] == {}


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "from os import system",
        "print(1)",
        "X: TypeAlias = print(1)",
        "x = __import__('os')",
        "class A(TypedDict):\n    x: int = print(1)",
        "class A(TypedDict):\n    def f(self): ...",
        "class A(TypedDict, metaclass=print): ...",
        "@print\nclass A(TypedDict):\n    x: int",
        "class A(TypedDict):\n    x: (lambda: 1)()",
    ],
)
def test_more_than_declarations_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more than declarations"):
        datamodel._check_declarations(text)


@pytest.mark.parametrize(
    "evil",
    [
        '"""\nimport pathlib\npathlib.Path("canary").touch()\n"""',
        "\\",
        'a"); __import__("pathlib").Path("canary").touch(); ("',
        "'\n__import__('pathlib').Path('canary').touch()\n'",
        "{{ 1 }}{% x %}",
        "\ud800\u202e\x00",
    ],
)
def test_what_a_schema_says_is_never_run(evil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schemas = {
        "Evil": {
            "description": evil,
            "type": "object",
            "properties": {
                "a": {"type": "string", "enum": [evil, "b"], "description": evil},
                evil: {"type": "string", "description": evil},
            },
        }
    }
    try:
        text = datamodel.render(schemas)
    except datamodel.ValueTypesError:
        return
    (tmp_path / "evil_types.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "evil_types", raising=False)
    importlib.import_module("evil_types")
    assert not (tmp_path / "canary").exists()
