"""Whatever value types a server declares, what is written can be imported."""

from __future__ import annotations

import pytest

from invokeai_gen.codegen import datamodel, value_types
from invokeai_gen.codegen.annotations import Names
from invokeai_gen.codegen.plan_file import Outline
from invokeai_gen.core.field_values import Structure
from invokeai_gen.js_json import UNSET
from tests.fuzz import properties, structures
from tests.plan_factory import a_plan, an_input

CASES = (*range(150), 1023, 1147, 1173, 1273, 1573, 2750)


def test_every_case_can_be_imported() -> None:
    properties.prepare()
    typed = sum("TypedDict" in structures.check(number) for number in CASES)
    assert typed > len(CASES) / 4, "the cases must reach the generator of types"


def types_of(name: str, schema: object, **others: object) -> tuple[Names, str]:
    plan = a_plan(an_input(field_type=name, value=UNSET, required=True))
    names, types = value_types.collect([Outline.of(plan)], {name: schema, **others})
    return names, datamodel.render(types)


TILE = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}


@pytest.mark.parametrize("name", ["My_Struct", "SAMPoint_v2"])
def test_a_name_with_underscores_becomes_a_class_name(name: str) -> None:
    names, text = types_of(name, TILE)
    assert f"class {names[Structure(name)]}(TypedDict)" in text


def test_names_that_would_be_the_same_class_are_told_apart_or_left_out() -> None:
    names, _ = types_of("My_Struct", TILE, MyStruct=TILE)
    assert names == {}


def test_an_all_of_with_one_reference_is_that_reference() -> None:
    names, text = types_of("Wrapped", {"allOf": [{"$ref": "#/components/schemas/Tile"}], "default": {}}, Tile=TILE)
    assert names == {Structure("Wrapped"): "Tile"}
    assert "class Tile(TypedDict)" in text


def test_a_reference_to_itself_is_any_object() -> None:
    assert types_of("Loop", {"$ref": "#/components/schemas/Loop"}) == ({}, "")


def test_an_object_may_contain_itself() -> None:
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
    }
    names, text = types_of("Tree", tree)
    assert names == {Structure("Tree"): "Tree"}
    assert "list[Tree]" in text.replace("'", "").replace('"', "")


def test_control_characters_of_descriptions_are_not_written() -> None:
    evil = {**TILE, "description": "red \x1b[31m turned \u202e around \x9b"}
    _, text = types_of("Evil", evil)
    assert "red" in text
    assert all(char.isprintable() or char == "\n" for char in text)
