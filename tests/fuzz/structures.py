"""Value types that no sane server would declare, on the form of a workflow."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from invokeai_gen.codegen import datamodel, module, value_types
from invokeai_gen.codegen.names import PythonIdentifier, assign_names
from invokeai_gen.codegen.plan_file import Outline
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.js_json import UNSET
from tests.fuzz import properties
from tests.plan_factory import a_plan, an_input

REF: Final = "#/components/schemas/"
NAMES: Final = (
    *(
        "My_Struct",
        "SAMPoint_v2",
        "Tile",
        "tile",
        "A_b_C",
        "X",
        "T1",
        "Field_",
        "_Private",
        "Größe",
        "Ab__c",
        "HTTPThing",
    ),
    *("Any", "Literal", "TypedDict", "Union", "Optional", "List", "Dict", "None", "Model", "Enum", "Type", "TypeAlias"),
    *(
        "NotRequired",
        "SchedulerName",
        "Int",
        "Str",
        "int_",
        "Annotated",
        "RootModel",
        "BaseModel",
        "Foo.Bar",
        "Foo Bar",
    ),
    *("Foo-Bar", "class", "Object", "Field", "Choice", "ColorField", "Mode", "\u202eEvil", "Tile_", "TILE", "Class"),
)
TEXTS: Final = (
    "x",
    "\x1b[31m \u202e \x85",
    '"""',
    "ends with \\",
    "a\nb",
    'ends with "',
    "\ud800",
    "{{ x }}",
    "')\nimport os",
)
KEYS: Final = ("a", "b", "x_y", "class", "1a", "a b", "\u202e", "self", "", "_p", "__p", "__init__", "ä", "ﬁ", "type")
OPTIONS: Final[tuple[Any, ...]] = (
    *(
        ["a", "b"],
        [1, 2],
        [1, "a", None],
        [],
        list(TEXTS),
        [True, False],
        [1.5],
        [{}],
        [[1]],
        ["class"],
        [10**350],
        "a",
    ),
)
TYPES: Final[tuple[Any, ...]] = (
    *(
        "string",
        "integer",
        "number",
        "boolean",
        "null",
        "object",
        "array",
        ["string", "null"],
        ["array", "x"],
        "zzz",
        7,
    ),
)


def case(number: int) -> tuple[WorkflowPlan, dict[str, Any]]:
    """Return a plan with inputs of strange types, and the schemas of those: the same for a number on every machine."""
    rng = Random(number)
    schemas = {name: _schema(rng, 0) for name in rng.sample(NAMES, rng.randint(1, 9))}
    if rng.random() < 0.3:
        name = rng.choice(list(schemas))
        itself = {"$ref": REF + name}
        schemas[name] = rng.choice(
            (
                *(
                    itself,
                    {"allOf": [itself]},
                    {"anyOf": [itself, {"type": "null"}]},
                    {"type": "array", "items": itself},
                ),
                {"type": "object", "properties": {"again": itself}},
            )
        )
    inputs = [
        an_input(
            f"Input {index}",
            index=index,
            field_type=name,
            value=UNSET,
            required=rng.random() < 0.7,
            cardinality=rng.choice(("SINGLE", "COLLECTION", "SINGLE_OR_COLLECTION")),
        )
        for index, name in enumerate(schemas)
    ]
    field_name, options = rng.choice(("mode", "My_Struct", "tile")), tuple(f"option {index}" for index in range(9))
    choice = an_input("C", index=90, field_type="EnumField", field_name=field_name, value=options[0], choices=options)
    return assign_names(a_plan(*inputs, choice)), schemas


def check(number: int) -> str:
    """Make the module of a case, import it, and return its `_types.py`."""
    plan, schemas = case(number)
    names, types = value_types.collect([Outline.of(plan)], schemas)
    text = module.render(plan, names, module=PythonIdentifier("zq_module"), package=properties.PACKAGE)
    shared = module.types_source(datamodel.render(types))
    assert all(char.isprintable() or char == "\n" for char in shared), "a terminal could be steered"
    made = properties.loaded(text, shared)
    assert [item.name for item in made.Params.inputs()] == [item.name for item in plan.inputs]
    return shared


def _schema(rng: Random, depth: int) -> Any:
    def inner() -> Any:
        return _schema(rng, depth + 1) if depth < 3 else {}

    reference = {"$ref": REF + rng.choice(NAMES)}
    match rng.randrange(12):
        case 0:
            return reference
        case 1:
            return {"allOf": [reference] if rng.random() < 0.7 else [reference, inner()], "default": None}
        case 2:
            return {rng.choice(("anyOf", "oneOf")): [inner() for _ in range(rng.randrange(3))] + [{"type": "null"}]}
        case 3:
            return {"type": "array", "items": inner()}
        case 4:
            return {"type": rng.choice(TYPES)}
        case 5:
            return {"enum": rng.choice(OPTIONS), "type": "string", "description": rng.choice(TEXTS)}
        case 6:
            return {"const": rng.choice(("x", 1, None, 1.5, {}, "\x1b"))}
        case 7:
            values = rng.choice((True, False, reference, {"type": "integer"}, {}, 3))
            return {"type": "object", "additionalProperties": values}
        case 8:
            return rng.choice(
                (True, False, None, [], "x", {"$ref": 3}, {"allOf": 3}, {"properties": 3, "type": "object"})
            )
        case _:
            return {
                "type": "object",
                "properties": {rng.choice(KEYS[: rng.choice((3, 15))]): inner() for _ in range(rng.randrange(4))},
                "required": rng.choice(([], ["a"], ["a", "zz", 3], "a", None)),
                "description": rng.choice(TEXTS),
                "title": rng.choice(TEXTS),
            }
