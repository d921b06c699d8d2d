"""How much of each release's schema the types hold: every input of every node type, put on a form.

`python -m tests.schemas.figures` prints the table; `--write` also keeps it in `data/releases.json` and
`docs/releases.md`.
`--shipped FOLDER` counts the workflows that each release comes with, too: `FOLDER/VERSION` is where its wheel is unpacked.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from invokeai_gen.codegen.names import assign_names
from invokeai_gen.compiler import NotReadyError, compile_workflow
from invokeai_gen.core.field_values import Choice, Limited, ListOf, OneOf, Plain, Shape, Structure, shape_of
from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.schema import Schema
from invokeai_gen.workflow import read_workflow_file
from tests.schemas import release_schema, releases
from tests.unit.workflow_builder import Builder

TABLE: Final = Path(__file__).parents[2] / "data" / "releases.json"
PAGE: Final = Path(__file__).parents[2] / "docs" / "releases.md"
LIVE: Final = ("6.0.2", "6.8.1", "6.14.2")
"""Releases that a generated module runs on in the tests of `tests/live`."""

_RANGES: Final = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
}
_KINDS: Final = {"integer": "int", "number": "float", "string": "str", "boolean": "bool"}
_OWN: Final = {
    "ImageField": "ImageInput",
    "VideoField": "VideoInput",
    "BoardField": "BoardInput",
    "ModelIdentifierField": "ModelInput",
    "ColorField": "ColorInput",
    "BoundingBoxField": "BoundingBox",
    "LoRAField": "LoRA",
}
_GENERATORS: Final = {"FloatGeneratorField", "IntegerGeneratorField", "StringGeneratorField", "ImageGeneratorField"}
_ANY: Final = {"AnyField", "CollectionField", "CollectionItemField"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Inputs that can stand on a form, and of how many the generated type says what the schema says."""

    node_types: int
    inputs: int
    types: int
    """With the type that the schema names."""
    ranges: int
    ranged: int
    """Inputs for which the schema has limits; `ranges` of them have the same."""
    choices: int
    chosen: int
    """Inputs for which the schema lists the values; `choices` of them list the same."""
    required: int
    models: int
    """Model inputs for which the schema names bases or types; all of them are limited to those."""


def figures_of(schema: Schema) -> tuple[Figures, list[str]]:
    """Return the figures of one release, and each input whose type says something else than its schema."""
    wrong: list[str] = []
    count: dict[str, int] = dict.fromkeys(Figures.__slots__, 0)
    for planned, raw in _inputs(schema):
        here = f"{planned.node_type}.{planned.field_name}"
        count["inputs"] += 1
        expected = _type(raw, schema.schemas)
        given = _shown(shape_of(planned))
        count["types"] += _agree(expected, given, here, wrong)
        limits = {_RANGES[key]: value for key, value in _limits(raw)}
        if "max_length" in limits and planned.field_type == "ImageField":
            limits["max_items"] = limits.pop("max_length")  # of images, in a union of an image and a list
        if limits:
            count["ranged"] += 1
            count["ranges"] += _agree(limits, dict(planned.constraints.items()), here, wrong)
        options = _options(raw, schema.schemas)
        if options:
            count["chosen"] += 1
            count["choices"] += _agree(options, list(planned.choices), here, wrong)
        if raw.get("orig_required"):
            count["required"] += _agree(True, planned.required, here, wrong)
        if any(key.startswith("ui_model_") for key in raw) or str(raw.get("ui_type")).endswith("ModelField"):
            count["models"] += _agree(True, bool(planned.models.base or planned.models.type), here, wrong)
    count["node_types"] = len(list(schema.node_types))
    return Figures(**count), wrong


def _agree(expected: object, given: object, here: str, wrong: list[str]) -> bool:
    if expected != given:
        wrong.append(f"{here}: the schema says {expected}, the type {given}")
    return expected == given


def _inputs(schema: Schema) -> Iterator[tuple[PlannedInput, Mapping[str, Any]]]:
    """Every input that the GUI would put on a form, compiled, with its property in openapi.json."""
    for node_type in sorted(schema.node_types):
        template = schema.template(node_type)
        if template is None:
            continue
        builder = Builder(schema).node("n", node_type)
        for name, item in template.inputs.items():
            if item.connection != "connection" and item.type.is_stateful:
                builder.field(f"n.{name}")
        properties = schema.schemas[template.schema_names[0]]["properties"]
        for planned in assign_names(builder.compile(validate=False).plan).inputs:
            yield planned, properties[planned.field_name]


def _parts(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The property and the members of its union, which may be unions themselves; without null."""
    return [raw, *(part for member in raw.get("anyOf", ()) if member.get("type") != "null" for part in _parts(member))]


def _limits(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in _parts(raw):
        for place in (part, part.get("items", {})):
            yield from ((key, place[key]) for key in _RANGES if key in place)


def _options(raw: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Any]:
    for part in _parts(raw):
        if "enum" in part:
            return list(part["enum"])
        if part.get("const"):
            return [part["const"]]
        reference = schemas.get(str(part.get("$ref", "")).rsplit("/", 1)[-1], {})
        if "enum" in reference:
            return list(reference["enum"])
    return []


def _type(raw: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """The Python type that the property stands for, without limits and `None`."""
    if raw.get("ui_type") in _ANY:
        return "Any"
    if raw.get("ui_type") == "SchedulerField" or _options(raw, schemas):
        return "choice"
    parts = [part for part in _parts(raw) if part.keys() & {"type", "$ref", "allOf"}]
    return " | ".join(sorted({_part(part) for part in parts}))


def _part(part: Mapping[str, Any]) -> str:
    if part.get("type") == "array":
        return f"list[{_part(part['items'])}]"
    name = str(part.get("$ref", "")).rsplit("/", 1)[-1]
    if name in _GENERATORS:
        return "dict[str, Any]"
    return _KINDS.get(str(part.get("type")), "") or _OWN.get(name, name)


def _shown(shape: Shape) -> str:
    match shape:
        case Plain(name) | Structure(name):
            return name
        case Choice():
            return "choice"
        case Limited(inner):
            return _shown(inner)
        case ListOf(item):
            return f"list[{_shown(item)}]"
        case OneOf(members):
            return " | ".join(sorted({_shown(member) for member in members if member != Plain("None")}))


def shipped_workflows(release: str, unpacked: Path) -> dict[str, Any]:
    """Return how many workflows come with a release, how many of them compile, and why each other one does not."""
    folder = unpacked / release / "invokeai" / "app" / "services" / "workflow_records" / "default_workflows"
    refused: dict[str, str] = {}
    files = sorted(folder.glob("*.json"))
    for path in files:
        try:
            compile_workflow(read_workflow_file(path), release_schema(release))
        except NotReadyError as error:
            refused[path.stem] = "; ".join(dict.fromkeys(f"{item.node_type}: {item.problem}" for item in error.reasons))
    return {"shipped": len(files), "shipped_compiled": len(files) - len(refused), "shipped_refused": refused}


def rows(table: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the lines of the table in `PAGE`, one for each release."""
    return "".join(
        f"| {release} | {', '.join(row['tested'])} | {row['node_types']} | {row['inputs']} | {row['ranged']} "
        f"| {row['chosen']} | {row['required']} | {row['models']} | {row['shipped_compiled']} of {row['shipped']} |\n"
        for release, row in table.items()
    )


def main() -> None:
    known = json.loads(TABLE.read_bytes()) if TABLE.exists() else {}
    unpacked = Path(sys.argv[sys.argv.index("--shipped") + 1]) if "--shipped" in sys.argv else None
    table = {}
    for release in releases():
        figures, wrong = figures_of(release_schema(release))
        tested = ["schema", "types", *(["live"] if release in LIVE else [])]
        counted = {key: value for key, value in known.get(release, {}).items() if key.startswith("shipped")}
        if unpacked is not None:
            counted = shipped_workflows(release, unpacked)
        table[release] = {"tested": tested, **asdict(figures), **counted}
        print(release, figures, *wrong[:20], sep="\n  ")
    if "--write" in sys.argv:
        TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(re.sub(r"(?m)(^\| 6\..*\n)+", rows(table), text), encoding="utf-8")


if __name__ == "__main__":
    main()
