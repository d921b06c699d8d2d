"""What an attacker would write: texts and values, and files of ours with them put in.

Everything is drawn from a `random.Random`, so that a seed names a case.
"""

from __future__ import annotations

import copy
import json
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from invokeai_gen import js_reading
from invokeai_gen.schema import Schema, shipped_schema

ROOT: Final = Path(__file__).resolve().parents[2]

CANARY: Final = "zq_canary"
"""Name of a file that exists only once foreign text has been run."""

TEXTS: Final = (
    "",
    " ",
    "\n",
    '"""',
    '\\"""',
    '"' * 7,
    "'''",
    "\\",
    "\\\\",
    'ends with a quote "',
    "ends with a backslash \\",
    "quotes \" and ' and \"\"\" and '''",
    "\\n \\x41 \\u0041 \\N{BULLET} %s %(a)s {0} {a!r}",
    "new\nline",
    "carriage\rreturn\r\nboth",
    "form\x0cfeed vertical\x0btab \x1c\x1d\x1e\x85 separators",
    "nul\x00bell\x07del\x7f",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x9b31m \x1b[2J\x1b[1A",
    "\ud800",
    "lone \udcff surrogate \ud83d",
    "\u202eright to left\u2066isolated\u2069\u200b\u200d\ufeff",
    "line\u2028separator paragraph\u2029separator",
    "раypаl ϲlаss ⅰmport ｅｖａｌ ﬁeld",
    "e\u0301 é ΐ ŉ ǆ ß ﬆ ꭰ İ ı ſ",
    "Z\u0300\u0301\u0302\u0303algo",
    "{{ 7 * 7 }}{% raw %}{# comment #}{% endraw %}",
    "{{ self._TemplateReference__context }}{% for x in ().__class__.__mro__ %}{% endfor %}",
    "[bold red]markup[/bold red] [link=http://evil.example]x[/link] [/] :smile:",
    '</text></svg><script>alert(1)</script><![CDATA[ ]]> &amp; &#x1b; <!-- "',
    '"]; click n0 "javascript:alert(1)" %%{init: {}}%% <br/> `**x**` |x| end',
    "=cmd|' /C calc'!A0",
    "# type: ignore\n# noqa\n# fmt: off\n# -*- coding: utf-7 -*-",
    f"open('{CANARY}', 'w')",
    f"__import__('os').system('touch {CANARY}')",
    f"{{__import__('os').system('touch {CANARY}')}}",
    f"$(touch {CANARY}) `touch {CANARY}` ; touch {CANARY} #",
    f'"""\nimport os; os.system("touch {CANARY}")\n"""',
    f"'); __import__('os').system('touch {CANARY}'); ('",
    f'")] = __import__("os").system("touch {CANARY}")  # ',
    f"\\\n\"\"\"; open('{CANARY}', 'w') #",
    f"{{{{ cycler.__init__.__globals__.os.popen('touch {CANARY}').read() }}}}",
    f"Literal[__import__('os').system('touch {CANARY}')]",
    f"Any, __import__('os').system('touch {CANARY}')",
    f"!!python/object/apply:os.system ['touch {CANARY}']",
    "class",
    "None",
    "True",
    "__class__",
    "__init__",
    "__debug__",
    "_private",
    "self",
    "cls",
    "field",
    "params",
    "Params",
    "Input",
    "Annotated",
    "print",
    "type",
    "list",
    "str",
    "values",
    "match",
    "import os",
    "con",
    "NUL",
    "../../escape",
    "C:\\Windows\\x",
    "~/x",
    "file:///etc/passwd",
    "http://127.0.0.1:9/x.json",
    "#/components/schemas/ImageField",
    "auto",
    "none",
    "4.0.0",
    "1.2.3",
    "9" * 5000 + ".0.0",
    "٣.٣.٣",
    "²",
    "😀👩\u200d👩\u200d👧 emoji",
    "プロンプト größe Ж",
    "0",
    "00",
    "-1",
    "1e999",
    "NaN",
    "x" * 3000,
    "word " * 500,
    "a-" * 600,
    "\t" * 300,
    "[" * 250,
    "(" * 150 + ")" * 150,
)

NUMBERS: Final = (
    *(0, -0.0, 1, -1, 2, 0.1, 0.30000000000000004, 7.0, 1e-320, 5e-324, 1.7976931348623157e308, -1e308, 1e21, 1e22),
    *(2**31, 2**53 - 1, 2**53, -(2**63), 2**64, 10**30, 10**300, -(10**307), 255, 256, 1e16, 123456789012345680),
)

_HUMAN_KEYS: Final = frozenset(
    {"label", "description", "notes", "content", "author", "contact", "tags", "title", "node_pack", "nodePack"}
)


def text(rng: Random) -> str:
    """A text that means harm."""
    match rng.randrange(8):
        case 0:
            return "".join(rng.choice(TEXTS) for _ in range(rng.randint(2, 3)))
        case 1:
            return "".join(chr(rng.choice((rng.randrange(0x250), rng.randrange(0x110000)))) for _ in range(8))
        case 2:
            return "".join(rng.choice(string.printable) for _ in range(rng.randint(1, 30)))
        case _:
            return rng.choice(TEXTS)


def value(rng: Random, depth: int = 0) -> Any:
    """A JSON value that nobody expects."""
    match rng.randrange(12 if depth < 3 else 8):
        case 0 | 1 | 2:
            return text(rng)
        case 3 | 4:
            return rng.choice(NUMBERS)
        case 5:
            return rng.choice((None, True, False))
        case 6:
            return rng.choice(([], {}))
        case 7:
            return copy.deepcopy(rng.choice(_SHAPES))
        case 8:
            return nested(rng.choice((5, 60, 150, 250)), is_list=rng.random() < 0.5)
        case 9 | 10:
            return [value(rng, depth + 1) for _ in range(rng.randint(1, 3))]
        case _:
            return {text(rng): value(rng, depth + 1) for _ in range(rng.randint(1, 3))}


_SHAPES: Final[tuple[Any, ...]] = (
    {"image_name": '"""; evil.png'},
    {"board_id": "\x1b[31m"},
    {"video_name": "../../x.mp4"},
    {"r": 255, "g": 0, "b": 0, "a": 0},
    {"r": True, "g": 0, "b": 0, "a": 0},
    {"key": '"""', "hash": "\\", "name": "{{ x }}", "base": "sdxl", "type": "main"},
    {"key": "k", "hash": "h", "name": "\ud800", "base": "any", "type": "lora", "submodel_type": None},
    {"lora": {"key": "'", "hash": "h", "name": "\n", "base": "sdxl", "type": "lora"}, "weight": 1e300},
    [{"lora": {"key": "'", "hash": "h", "name": "\n", "base": "sdxl", "type": "lora"}, "weight": 0.5}],
    {"x_min": 0, "x_max": -1, "y_min": 0, "y_max": 1e300},
    {"type": "float_generator_parse_string", "input": "1\x00,2", "splitOn": "", "values": [1e308, 2]},
    {"type": "string_generator_parse_string", "input": "a\x1bb", "splitOn": "("},
    {"type": "integer_generator_random_distribution_uniform", "min": 5, "max": -5, "count": -1, "seed": 2**53},
    {"type": "image_generator_images_from_board", "board_id": "x/../y", "category": "images"},
    [1, 2.5, 10**300],
    ["", "\x00", "\ud800"],
    [{"image_name": "a\nb"}],
    {"$ref": "file:///etc/passwd"},
    {"type": "object", "properties": {"__class__": {"type": "string"}}},
)


def nested(depth: int, *, is_list: bool = True) -> Any:
    """A value inside that many others."""
    made: Any = "deep"
    for _ in range(depth):
        made = [made] if is_list else {"a": made}
    return made


# Workflow files


@cache
def seeds() -> tuple[str, ...]:
    """The text of every workflow file that the project has."""
    paths = [*ROOT.glob("tests/golden/*/workflow.json"), *ROOT.glob("data/workflows/*.json")]
    return tuple(path.read_text(encoding="utf-8") for path in sorted(paths))


def workflow(rng: Random) -> Any:
    """A workflow file, as data, with some things in it that no GUI has written."""
    data = json.loads(rng.choice(seeds()))
    for _ in range(rng.randint(1, 4)):
        rng.choice(_WORKFLOW_MUTATIONS)(rng, data)
    return data


def as_file(rng: Random, data: Any) -> bytes:
    """The bytes of a file with that data, at times not quite JSON."""
    # A lone surrogate can only be an escape; every other character stands there as it is.
    raw = json.dumps(data, ensure_ascii=rng.random() < 0.3).encode("utf-8", "backslashreplace")
    if rng.random() > 0.04:
        return raw
    at = rng.randrange(len(raw))
    match rng.randrange(6):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + rng.randbytes(3) + raw[at:]
        case 2:
            return raw.replace(b": 0", rng.choice((b": NaN", b": -Infinity", b": 1e999", b": " + b"9" * 5000)))
        case 3:
            return b"\xef\xbb\xbf" + raw.replace(b", ", b",\r\n")
        case 4:
            return raw.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-32", "utf-16-le")))
        case _:
            return rng.choice((b"", b"\0", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b'"x"', b"null", b"1"))


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of some JSON data, as the object or list that has it and its key there."""
    pending = [data]
    while pending:
        holder = pending.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], (dict, list)):
                pending.append(holder[key])


def _place(rng: Random, data: Any, fits: Callable[[Any], bool] = lambda value: True) -> tuple[Any, Any] | None:
    found = [(holder, key) for holder, key in places(data) if fits(holder[key])]
    return rng.choice(found) if found else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _some_texts(rng: Random, data: Any) -> None:
    for _ in range(rng.randint(1, 5)):
        if (place := _place(rng, data, _is_text)) is not None:
            place[0][place[1]] = text(rng)


def _all_human_texts(rng: Random, data: Any) -> None:
    one = text(rng) if rng.random() < 0.5 else None
    for holder, key in list(places(data)):
        is_human = key in _HUMAN_KEYS or (holder is data and key in ("name", "version"))
        if is_human and isinstance(holder[key], str) and rng.random() < 0.8:
            holder[key] = text(rng) if one is None else one


def _renamed(rng: Random, data: Any) -> None:
    """One name, everywhere it stands, so that what refers to it still does."""
    names = {holder[key] for holder, key in places(data) if _is_text(holder[key])}
    names |= {key for _, key in places(data) if isinstance(key, str)}
    if not names:
        return
    old, new = rng.choice(sorted(names)), text(rng)
    for holder, key in list(places(data)):
        if isinstance(holder.get(key) if isinstance(holder, dict) else holder[key], str) and holder[key] == old:
            holder[key] = new
    for holder in [data, *(holder[key] for holder, key in places(data))]:
        if isinstance(holder, dict) and old in holder and rng.random() < 0.8:
            items = [(new if key == old else key, item) for key, item in holder.items()]
            holder.clear()
            holder.update(items)


def _renamed_id(rng: Random, data: Any) -> None:
    """The id of one node, and all that refers to it."""
    ids = [node["id"] for node in _nodes(data) if isinstance(node.get("id"), str)]
    if ids:
        old, new = rng.choice(ids), text(rng)
        for holder, key in list(places(data)):
            if _is_text(holder[key]) and holder[key] == old:
                holder[key] = new


def _replaced(rng: Random, data: Any) -> None:
    if (place := _place(rng, data)) is not None:
        place[0][place[1]] = value(rng)


def _replaced_input(rng: Random, data: Any) -> None:
    """The value of some inputs: these are what defaults are made of."""
    for inputs in _inputs(data):
        for instance in inputs.values():
            if isinstance(instance, dict) and rng.random() < 0.3:
                instance["value"] = value(rng)


def _dropped(rng: Random, data: Any) -> None:
    if (place := _place(rng, data)) is not None:
        del place[0][place[1]]


def _repeated(rng: Random, data: Any) -> None:
    if (place := _place(rng, data, lambda value: isinstance(value, list) and bool(value))) is not None:
        items = place[0][place[1]]
        items.append(copy.deepcopy(rng.choice(items)))


def _swapped(rng: Random, data: Any) -> None:
    one, other = _place(rng, data), _place(rng, data)
    if one is not None and other is not None:
        moved = copy.deepcopy(other[0][other[1]])
        one[0][one[1]] = moved


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _nodes(data: Any) -> Iterator[dict[str, Any]]:
    """What is still a node."""
    nodes = data.get("nodes") if _is_object(data) else None
    for node in nodes if isinstance(nodes, list) else ():
        if _is_object(node) and _is_object(node.get("data")):
            yield node


def bodies(data: Any) -> Iterator[dict[str, Any]]:
    """The data of each node."""
    return (node["data"] for node in _nodes(data))


def _inputs(data: Any) -> Iterator[dict[str, Any]]:
    return (body["inputs"] for body in bodies(data) if _is_object(body.get("inputs")))


def _elements(data: Any) -> dict[str, Any]:
    form = data.get("form") if isinstance(data, dict) else None
    elements = form.get("elements") if isinstance(form, dict) else None
    return elements if isinstance(elements, dict) else {}


def _tangled_form(rng: Random, data: Any) -> None:
    """A child that is its own ancestor, stands twice, or is not there."""
    elements = _elements(data)
    containers = [item for item in elements.values() if _is_object(item) and item.get("type") == "container"]
    containers = [item for item in containers if _is_object(item.get("data"))]
    if containers and elements:
        container = rng.choice(containers)
        children = container["data"].get("children")
        if isinstance(children, list):
            children.append(rng.choice([*elements, "missing", 7]))
        if rng.random() < 0.5:
            rng.choice(containers)["parentId"] = rng.choice([*elements, "missing"])


def _exposed(rng: Random, data: Any) -> None:
    """A form with every input of some nodes on it, under headings, with settings that are not theirs."""
    if not _is_object(data):
        return
    children: list[str] = []
    elements: dict[str, Any] = {"r": {"id": "r", "type": "container", "data": {"layout": "column"}}}
    for node in _nodes(data):
        inputs = node["data"].get("inputs")
        if not isinstance(inputs, dict) or rng.random() < 0.2:
            continue
        heading = f"h{len(elements)}"
        kind = rng.choice(("heading", "text"))
        elements[heading] = {"id": heading, "type": kind, "parentId": "r", "data": {"content": text(rng)}}
        children.append(heading)
        for name, instance in inputs.items():
            key = f"e{len(elements)}"
            field = {"fieldIdentifier": {"nodeId": node.get("id"), "fieldName": name}, "showDescription": True}
            if rng.random() < 0.5:
                field["settings"] = _settings(rng, instance)
            elements[key] = {"id": key, "type": "node-field", "parentId": "r", "data": field}
            children.append(key)
    elements["r"]["data"]["children"] = children
    data["form"] = {"elements": elements, "rootElementId": "r"}


def _settings(rng: Random, instance: Any) -> Any:
    if rng.random() < 0.5:
        low, high = rng.choice(NUMBERS), rng.choice(NUMBERS)
        kind = rng.choice(("integer-field-config", "float-field-config"))
        return {"type": kind, "component": "slider", "min": low, "max": high}
    options = [{"label": text(rng), "value": text(rng)} for _ in range(rng.randint(0, 4))]
    if _is_object(instance) and isinstance(instance.get("value"), str) and rng.random() < 0.7:
        options.append({"label": text(rng), "value": instance["value"]})
    return {"type": "string-field-config", "component": "dropdown", "options": options}


def _called(rng: Random, data: Any) -> None:
    """Inputs of a called workflow, which describe themselves."""
    for body in bodies(data):
        if not isinstance(body.get("inputs"), dict) or rng.random() < 0.5:
            continue
        name = f"saved_workflow_input::{text(rng)}"
        kind = rng.choice(
            ("StringField", "IntegerField", "EnumField", "ColorField", "ModelIdentifierField", "BoardField", text(rng))
        )
        cardinality = rng.choice(("SINGLE", "COLLECTION", "SINGLE_OR_COLLECTION"))
        template: dict[str, Any] = {"type": {"name": kind, "cardinality": cardinality, "batch": rng.random() < 0.1}}
        for key in ("title", "description", "minimum", "maximum", "multipleOf", "minLength", "minItems", "maxItems"):
            if rng.random() < 0.4:
                template[key] = value(rng)
        if rng.random() < 0.5:
            template["options"] = [text(rng) for _ in range(rng.randint(0, 12))]
            template["ui_choice_labels"] = {key: value(rng) for key in template["options"]}
        for key in ("ui_model_base", "ui_model_type", "ui_model_variant"):
            if rng.random() < 0.3:
                template[key] = [text(rng)]
        body.setdefault("dynamicInputTemplates", {})
        if isinstance(body["dynamicInputTemplates"], dict):
            body["dynamicInputTemplates"][name] = template
            given = rng.choice(template["options"]) if template.get("options") else value(rng)
            body["inputs"][name] = {"name": name, "label": text(rng), "description": text(rng), "value": given}


_WORKFLOW_MUTATIONS: Final[Sequence[Callable[[Random, Any], None]]] = (
    *(_all_human_texts, _all_human_texts, _all_human_texts, _exposed, _exposed, _exposed, _exposed),
    *(_replaced_input, _replaced_input, _replaced_input, _called, _called, _renamed_id, _renamed_id),
    *(_some_texts, _renamed, _replaced, _dropped, _repeated, _swapped, _tangled_form),
)


# The openapi.json of a server


@cache
def shipped() -> Schema:
    return shipped_schema()


def openapi(rng: Random, used: Sequence[str]) -> dict[str, Any]:
    """An openapi.json that lies about some of the node types that a workflow uses."""
    known = shipped()
    schemas: dict[str, Any] = dict(known.schemas)
    named = [name for node_type in used if (name := known._schema_names.get(node_type)) is not None]
    chosen = [rng.choice(named or sorted(known._schema_names.values())) for _ in range(rng.randint(1, 3))]
    for name in dict.fromkeys(chosen):
        schema = json.loads(json.dumps(schemas[name]))
        for _ in range(rng.randint(1, 3)):
            rng.choice(_SCHEMA_MUTATIONS)(rng, schema, schemas)
        schemas[name] = schema
    if rng.random() < 0.1:
        name = rng.choice(("BaseModelType", "ModelType", "SubModelType", "ImageField", text(rng)))
        schemas[name] = value(rng)
    document = {**known.document, "components": {"schemas": schemas}}
    if rng.random() < 0.1:
        document["info"] = {"title": text(rng), "version": text(rng), "x-invokeai-version": value(rng)}
    if rng.random() < 0.02:
        document[rng.choice(("components", "info"))] = value(rng)
    return document


def as_parsed(data: Any, known: Mapping[str, Any]) -> Any:
    """The document as a file would give it. What is ours and unchanged is not parsed again: it is large."""
    schemas = data.get("components", {}).get("schemas") if _is_object(data.get("components")) else None
    if not isinstance(schemas, dict):
        return js_reading.loads(json.dumps(data))
    changed = {name: item for name, item in schemas.items() if known.get(name) is not item}
    rest = {key: item for key, item in data.items() if key in ("info", "openapi")}
    parsed: dict[str, Any] = js_reading.loads(json.dumps({**rest, "components": {"schemas": changed}}))
    parsed["components"]["schemas"] = {**schemas, **parsed["components"]["schemas"]}
    return parsed


def _properties(schema: Any) -> dict[str, Any]:
    properties = schema.get("properties") if _is_object(schema) else None
    return properties if isinstance(properties, dict) else {}


def _property(rng: Random, schema: Any) -> dict[str, Any] | None:
    found = [item for name, item in _properties(schema).items() if name != "type" and _is_object(item)]
    return rng.choice(found) if found else None


def _schema_text(rng: Random, schema: Any, schemas: dict[str, Any]) -> None:
    _some_texts(rng, schema)


def _schema_titles(rng: Random, schema: Any, schemas: dict[str, Any]) -> None:
    for holder, key in list(places(schema)):
        if key in ("title", "description", "node_pack", "version") and isinstance(holder[key], str):
            holder[key] = text(rng)


def _schema_anything(rng: Random, schema: Any, schemas: dict[str, Any]) -> None:
    rng.choice((_replaced, _dropped, _repeated, _swapped, _renamed))(rng, schema)


def _schema_keyword(rng: Random, schema: Any, schemas: dict[str, Any]) -> None:
    """One keyword of one property, with a value that is not its own."""
    if (part := _property(rng, schema)) is None:
        return
    part[rng.choice(_KEYWORDS)] = value(rng)


_KEYWORDS: Final = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems"),
    *("maxItems", "enum", "const", "anyOf", "allOf", "items", "type", "$ref", "default", "ui_type", "ui_choice_labels"),
    *("ui_model_base", "ui_model_type", "ui_model_variant", "ui_model_format", "ui_hidden", "input", "orig_required"),
    *("field_kind", "title", "description", "oneOf", "additionalProperties", "properties", "required"),
)


def _schema_limits(rng: Random, schema: Any, schemas: dict[str, Any]) -> None:
    if (part := _property(rng, schema)) is not None:
        for key in rng.sample(_KEYWORDS[:9], 3):
            part[key] = rng.choice(NUMBERS)


def _schema_enum(rng: Random, schema: Any, schemas: dict[str, Any]) -> None:
    """Choices of hostile text, of other types, or named by another schema."""
    if (part := _property(rng, schema)) is None:
        return
    options = [text(rng) for _ in range(rng.randint(1, 12))]
    if rng.random() < 0.3:
        options = [value(rng) for _ in range(rng.randint(1, 9))]
    for key in ("anyOf", "allOf", "$ref", "type"):
        part.pop(key, None)
    if rng.random() < 0.3:
        name = text(rng) if rng.random() < 0.5 else "EvilEnum"
        schemas[name] = {"enum": options, "type": "string", "title": text(rng), "description": text(rng)}
        part["$ref"] = f"#/components/schemas/{name}"
        if rng.random() < 0.5:
            part["ui_type"] = rng.choice(("StringField", "IntegerField", "SchedulerField", "EnumField"))
    else:
        part |= {"enum": options, "type": "string", "ui_choice_labels": {str(key): text(rng) for key in options}}
        if rng.random() < 0.5:
            part["default"] = rng.choice(options)


def _schema_structure(rng: Random, schema: Any, schemas: dict[str, Any]) -> None:
    """A property of a structure of its own, which becomes a class."""
    if (part := _property(rng, schema)) is None:
        return
    names = [text(rng) if rng.random() < 0.2 else f"Evil{index}" for index in range(rng.randint(1, 3))]
    for name in names:
        schemas[name] = _structure(rng, names)
    for key in ("anyOf", "allOf", "type", "ui_type", "enum", "default"):
        part.pop(key, None)
    part["$ref"] = f"#/components/schemas/{names[0]}"


def _structure(rng: Random, names: Sequence[str]) -> Any:
    if rng.random() < 0.05:
        return value(rng)
    properties: dict[str, Any] = {}
    for _ in range(rng.randint(0, 4)):
        key = text(rng) if rng.random() < 0.6 else f"p{len(properties)}"
        properties[key] = rng.choice(
            (
                {"type": rng.choice(("string", "integer", "array", "object", text(rng))), "description": text(rng)},
                {"$ref": f"#/components/schemas/{rng.choice(names)}"},
                {"$ref": rng.choice(("file:///etc/passwd", "http://127.0.0.1:9/x.json#/y", "../x.json", text(rng)))},
                {"enum": [value(rng) for _ in range(3)]},
                {"const": value(rng)},
                {"anyOf": [{"type": "null"}, {"$ref": f"#/components/schemas/{rng.choice(names)}"}, value(rng)]},
                {"type": "array", "items": value(rng)},
                {"type": "array", "items": {"$ref": f"#/components/schemas/{rng.choice(names)}"}},
                {"type": "object", "additionalProperties": value(rng), "title": text(rng)},
                {"type": "string", "pattern": "(a+)+$", "format": text(rng), "default": text(rng), "title": text(rng)},
                {"customTypePath": "os.system", "x-python-import": {"module": "os", "name": "system"}},
                value(rng),
            )
        )
    made = {"type": "object", "properties": properties, "title": text(rng), "description": text(rng)}
    if rng.random() < 0.4:
        made["required"] = rng.choice(([text(rng)], list(properties), value(rng)))
    if rng.random() < 0.2:
        made[rng.choice(("allOf", "anyOf", "oneOf", "additionalProperties", "discriminator", "enum"))] = value(rng)
    return made


def _schema_type(rng: Random, schema: Any, schemas: dict[str, Any]) -> None:
    if (part := _property(rng, schema)) is not None:
        part["ui_type"] = rng.choice(
            (
                "StringField",
                "IntegerField",
                "FloatField",
                "ImageField",
                "ColorField",
                "BoardField",
                "EnumField",
                "ModelIdentifierField",
                "LoRAField",
                "AnyField",
                "CollectionField",
                "FloatGeneratorField",
                text(rng),
            )
        )


_SCHEMA_MUTATIONS: Final[Sequence[Callable[[Random, Any, dict[str, Any]], None]]] = (
    *(_schema_text, _schema_titles, _schema_anything, _schema_keyword, _schema_keyword, _schema_limits),
    *(_schema_enum, _schema_enum, _schema_structure, _schema_structure, _schema_type),
)
