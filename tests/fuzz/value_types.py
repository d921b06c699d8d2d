"""Openapi files whose value types mean harm: names, circles and texts that a class of a custom node might have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from tests.fuzz import attacks
from tests.fuzz.properties import Case
from tests.unit.workflow_builder import Builder

NAMES: Final = (
    *("My_Struct", "SAMPoint_v2", "Foo_Bar_Baz", "MyStruct", "FooBarBaz", "_Under", "__x", "Ünder_é", "model-1", "A.B"),
    *("list", "dict", "Any", "Literal", "TypedDict", "class", "None", "Params", "Struct[int]", "1st", "a b", "A" * 300),
    *("T\u202ename", "x\x1b[31m"),
)
_SHARED: Final = ("BaseModelType", "ModelType", "SubModelType", "ModelIdentifierField", "ImageField", "IntegerOutput")
_FIELDS: Final = 6
_NODE_TYPE: Final = "evil"


def case(number: int) -> Case:
    """The case of that number: a node with an input of each value type, all of them on the form."""
    rng = Random(number)
    builder = Builder(attacks.shipped()).node("n", _NODE_TYPE)
    inputs = builder.nodes[0]["data"]["inputs"]
    for name in (f"f{index}" for index in range(_FIELDS)):
        inputs[name] = {"name": name, "label": "", "description": ""}
        builder.field(f"n.{name}")
    return Case(number, json.dumps(builder.data()).encode(), document(rng), "workflow.json", validate=False)


def document(rng: Random) -> dict[str, Any]:
    """An openapi.json of one node type and of the value types that its inputs have."""
    names = rng.sample(NAMES, rng.randint(1, 5)) if rng.random() < 0.8 else [attacks.text(rng) for _ in range(3)]
    schemas: dict[str, Any] = {name: attacks.shipped().schemas[name] for name in _SHARED}
    schemas |= {name: _value_type(rng, names) for name in names}
    properties: dict[str, Any] = {"type": {"const": _NODE_TYPE, "default": _NODE_TYPE}, "id": {"type": "string"}}
    for index, name in enumerate(names[:_FIELDS]):
        words = {"title": attacks.text(rng), "description": _steering(rng), "orig_required": rng.random() < 0.5}
        properties[f"f{index}"] = {**_use(rng, name), "field_kind": "input", "input": "any", **words}
    schemas["EvilInvocation"] = {
        "class": "invocation",
        "type": "object",
        "properties": properties,
        "output": {"$ref": "#/components/schemas/IntegerOutput"},
        "version": "1.0.0",
        "title": attacks.text(rng),
        "description": _steering(rng),
    }
    return {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "components": {"schemas": schemas}}


def _steering(rng: Random) -> str:
    """Text that steers a terminal."""
    return f"d\x1b[0m\x9b\x85\u202e{attacks.text(rng)}"


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _use(rng: Random, name: str) -> dict[str, Any]:
    """A property of the type: plain, optional, or a collection."""
    one = _reference(name)
    many = {"type": "array", "items": one}
    uses: tuple[dict[str, Any], ...] = (
        one,
        {"allOf": [one]},
        {"anyOf": [one, {"type": "null"}]},
        many,
        {"anyOf": [one, many]},
    )
    return rng.choice(uses)


def _value_type(rng: Random, names: Sequence[str]) -> dict[str, Any]:
    """A value type: another name for a type (perhaps its own), an enum, or an object."""
    other = rng.choice(names)
    kind = rng.random()
    if kind < 0.4:
        return {**_use(rng, other), "description": _steering(rng)}
    if kind < 0.5:
        return {"enum": [attacks.text(rng) for _ in range(3)], "type": "string"}
    properties: dict[str, Any] = {}
    for index in range(rng.randint(0, 4)):
        key = rng.choice((f"p{index}", "a_b", "class", "x y", "é", attacks.text(rng)))
        members: tuple[dict[str, Any], ...] = (
            _use(rng, other),
            {"type": "integer", "minimum": rng.choice((3, 10**300)), "description": _steering(rng)},
            {"type": "string", "default": attacks.text(rng), "description": _steering(rng)},
            {"enum": [1, "a", None, True]},
            {"type": "object", "additionalProperties": _reference(other)},
            {},
        )
        properties[key] = rng.choice(members)
    required = list(properties)[:2]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "title": other,
        "description": _steering(rng),
    }
