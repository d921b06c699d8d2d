"""What attacks have found: each of these was once an error without words, or a module that was wrong."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from invokeai_gen.cli.terminal import json_text
from invokeai_gen.codegen import datamodel
from invokeai_gen.codegen.datamodel import ValueTypesError
from invokeai_gen.codegen.source import docstring
from invokeai_gen.compiler.inputs import constraints_of
from invokeai_gen.core.field_values import default_of
from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import Schema, SchemaError
from invokeai_gen.server.models import Model
from invokeai_gen.workflow.nodes import _release
from tests.cli import adder
from tests.fuzz import attacks, properties
from tests.fuzz.properties import Case, Made
from tests.plan_factory import an_input
from tests.unit.workflow_builder import Builder


def checked(data: Any, schema: Any = None, *, formatted: bool = True) -> Made | None:
    """What becomes of a workflow file; every promise is held against it."""
    raw = json.dumps(data).encode()
    return properties.check(Case(0, raw, schema, "workflow.json", validate=False), formatted=formatted)


def schema_with(field: dict[str, Any] | None = None, **schemas: Any) -> dict[str, Any]:
    """The node types that ship, with `field` in the place of the input `a` of `add`."""
    shipped = attacks.shipped()
    node = copy.deepcopy(shipped.schemas["AddInvocation"])
    if field is not None:
        kept = {key: node["properties"]["a"].get(key) for key in ("field_kind", "input", "title")}
        node["properties"]["a"] = {**kept, "orig_required": False, **field}
    return {**shipped.document, "components": {"schemas": {**shipped.schemas, "AddInvocation": node, **schemas}}}


def empty() -> dict[str, Any]:
    """A workflow whose inputs have no values, so that the types of the schema are used."""
    data = adder()
    for instance in data["nodes"][0]["data"]["inputs"].values():
        instance.pop("value", None)
    return data


def test_choices_that_are_fractions_have_no_literal_type() -> None:
    made = checked(adder(), schema_with({"enum": [0.5, 1.5, "x"], "default": 0.5}))
    assert made is None or "Literal[0.5" not in made.text
    numbers = [index + 0.5 for index in range(9)]
    assert checked(adder(), schema_with({"type": "number", "enum": numbers, "default": 0.5})) is not None


def test_a_schema_named_as_what_modules_import_takes_no_place() -> None:
    tile = {"type": "object", "properties": {"size": {"type": "integer"}}}
    for name in ("Input", "Limits", "Params", "Literal", "Final", "TypedDict", "Iterable"):
        made = checked(empty(), schema_with({"$ref": f"#/components/schemas/{name}"}, **{name: tile}))
        assert made is not None
        assert f"class {name}" not in made.types


@pytest.mark.parametrize("keyword", ["properties", "anyOf", "allOf", "oneOf"])
def test_a_structure_of_a_malformed_part_is_any_object(keyword: str) -> None:
    for wrong in (1.5, "x", None):
        made = checked(empty(), schema_with({"$ref": "#/components/schemas/Evil"}, Evil={keyword: wrong}))
        assert made is not None
        assert "dict[str, Any]" in made.text


def test_two_inputs_of_one_structure_that_has_itself_as_a_part() -> None:
    evil = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Evil"}}}
    document = schema_with({"$ref": "#/components/schemas/Evil"}, Evil=evil)
    fields = document["components"]["schemas"]["AddInvocation"]["properties"]
    fields["b"] = fields["a"]
    made = checked(empty(), document)
    assert made is not None
    assert made.text.count("Annotated[Evil") == 2


def test_a_value_that_is_no_model_is_no_default() -> None:
    assert default_of(an_input("Model", field_type="ModelIdentifierField", value="text")) is UNSET


def test_json_cannot_steer_a_terminal() -> None:
    assert json_text({"a": "\u202e\x9b\u2028é"}) == '{\n  "a": "\\u202e\\u009b\\u2028é"\n}'


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#/components/schemas/Missing"}}, "type": "object"},
        {"type": {"x": 1}},
    ],
)
def test_the_generator_of_value_types_fails_in_words(schema: Any) -> None:
    with pytest.raises(ValueTypesError, match="value types that cannot be written as Python"):
        datamodel.render({"Evil": schema})


@pytest.mark.parametrize(
    "text",
    [
        "class A(TypedDict):\n    a: '__import__(\"os\")'\n",
        "A: TypeAlias = \"print('x')\"\n",
        "A = TypedDict('A', {'a': 'print(1)'})\n",
        "A = TypedDict('A', {'a': list[print(1)]})\n",
        "A = TypedDict(print(1), {})\n",
    ],
)
def test_value_types_have_no_text_that_would_be_evaluated(text: str) -> None:
    with pytest.raises(ValueError, match="more than declarations"):
        datamodel._check_declarations(text)


def test_limits_of_whole_numbers_are_whole() -> None:
    limits = constraints_of({"ge": 0.5, "le": 9.5, "multiple_of": 1.5}, "IntegerField")
    assert (limits.ge, limits.le, limits.multiple_of) == (1, 9, 3)
    limits = constraints_of({"gt": 0.5, "lt": 9.5}, "IntegerField")
    assert (limits.gt, limits.lt) == (0, 10)
    assert constraints_of({"ge": 0.5}, "FloatField").ge == 0.5


@pytest.mark.parametrize("limit", [{"minLength": -1}, {"maxLength": 1.5}, {"multipleOf": 0}, {"minItems": 1e30}])
def test_a_limit_that_cannot_be_one_is_refused(limit: dict[str, float]) -> None:
    with pytest.raises(SchemaError, match="malformed"):
        Schema(schema_with({"type": "string", **limit}), source="x").template("add")


@pytest.mark.parametrize("field", [{"enum": [["a"]], "type": "string"}, {"ui_type": 7, "type": "string"}])
def test_a_field_that_cannot_be_one_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="malformed"):
        Schema(schema_with(field), source="x").template("add")


def test_a_dropdown_of_an_input_whose_value_is_a_list() -> None:
    builder = Builder(attacks.shipped()).node("s", "string", value=["a"])
    builder.field("s.value", type="string-field-config", component="dropdown", options=[{"label": "A", "value": "a"}])
    assert checked(builder.data()) is not None


def test_a_node_that_stands_twice_has_one_result() -> None:
    data = adder()
    data["nodes"].append(copy.deepcopy(data["nodes"][0]))
    made = checked(data)
    assert made is not None
    assert len({item.node_id for item in made.plan.outputs}) == len(made.plan.outputs)


@pytest.mark.parametrize(
    "document",
    [
        {"components": []},
        {"components": {"schemas": []}, "info": []},
        {"components": {"schemas": {"X": {"class": "invocation", "properties": []}}}},
        {"components": {"schemas": {"X": {"class": "invocation", "properties": {"type": 7}}}}},
        [],
    ],
)
def test_an_openapi_json_of_another_shape_is_refused(document: Any) -> None:
    with pytest.raises(SchemaError):
        Schema(document, source="x")


def test_what_is_no_text_is_no_version_and_no_word() -> None:
    document = schema_with(BaseModelType={"enum": [["sdxl"], "flux", 7]}, ModelType={"enum": "main"})
    schema = Schema({**document, "info": {"x-invokeai-version": ["6"]}}, source="x")
    assert schema.version == ""
    assert schema.enum("BaseModelType") == {"flux"}
    assert schema.enum("ModelType") == frozenset()


@pytest.mark.parametrize("key", ["base", "type", "submodel_type"])
def test_a_model_with_a_list_for_a_word_is_none(key: str) -> None:
    model = {"key": "k", "hash": "h", "name": "n", "base": "sdxl", "type": "main", key: ["sdxl"]}
    made = checked(Builder(attacks.shipped()).node("m", "sdxl_model_loader", model=model).data())
    assert made is not None


def test_a_version_of_more_digits_than_an_integer_can_have() -> None:
    assert _release("9" * 5000 + ".0.1") == (float("inf"), 0, 1)
    data = adder()
    data["nodes"][0]["data"]["version"] = "9" * 5000 + ".0.0"
    assert checked(data) is not None


def called(**template: Any) -> dict[str, Any]:
    """A workflow that calls another, one of whose inputs is described so."""
    builder = Builder(attacks.shipped()).node("c", "call_saved_workflow", workflow_id="w")
    data = builder.data()
    body = data["nodes"][0]["data"]
    kind = {"name": "StringField", "cardinality": "SINGLE", "batch": False}
    body["dynamicInputTemplates"] = {"saved_workflow_input::x": {"title": "X", "type": kind, **template}}
    body["inputs"]["saved_workflow_input::x"] = {"name": "saved_workflow_input::x", "label": "", "value": "a"}
    return data


def test_inputs_of_a_called_workflow_that_describe_themselves_wrongly() -> None:
    assert checked(called(minLength=-1)) is None
    checked(called(options=["a", "b"], ui_choice_labels={"a": ["x"], "b": 7}))


def test_a_docstring_can_be_encoded() -> None:
    text = docstring("lone \ud800")
    space: dict[str, Any] = {}
    exec(f"class A:\n    {text}\n", space)
    assert space["A"].__doc__ == "lone \\ud800"


@pytest.mark.parametrize("kind", ["ΐ", "İ", "ß", "ŉ", "\ud800", "ǆ x", "none"])
def test_a_type_of_models_in_any_script_makes_a_class(kind: str) -> None:
    from invokeai_gen.cli.server.models import module_text

    text = module_text([Model(key="k", hash="h", name="n", base="b", type=kind, format="f")], [], "6")
    exec(compile(text, "<constants>", "exec"), {"__name__": "constants"})
