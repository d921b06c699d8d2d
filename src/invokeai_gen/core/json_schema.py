"""JSON Schema (draft 2020-12) of `Params`: what `json_values` reads, for validators, web services and agents.

A rule that JSON Schema has no words for is left to the check itself: that a bounding box has its sides in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, cast, get_args, get_origin

from invokeai_gen.core.checks import Limits
from invokeai_gen.core.css_colors import CSS_COLORS
from invokeai_gen.core.field_values import default_of, input_of, model_limits, runtime_type, shape_of
from invokeai_gen.core.json_values import BASE64, IDENTITY_KEYS, AllowedFiles, accepted_kind
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.values import MODEL_KEYS, BoundingBox, Input, LoRA
from invokeai_gen.js_json import UNSET
from invokeai_gen.limits import KEYWORDS
from invokeai_gen.texts import MAX_PLAIN, plain

if TYPE_CHECKING:
    from invokeai_gen.core.duck_types import BoardRecord, ModelRecord
    from invokeai_gen.core.plan import PlannedInput, WorkflowPlan

JsonSchema = dict[str, Any]

MAX_CHOICES: Final = 60
"""Models or boards that `with_choices` lists; a longer list says less than the description of the input."""
MAX_DEFAULT: Final = 4000
"""Characters of a default value in a plain schema; a longer one still applies, but is not shown."""

_KEYWORD_OF: Final = {limit: keyword for keyword, limit in KEYWORDS.items()}
_TEXT: Final[JsonSchema] = {"type": "string", "pattern": r"\S"}
_CHANNEL: Final[JsonSchema] = {"type": "integer", "minimum": 0, "maximum": 255}


def plan_schema(plan: WorkflowPlan, *, allow_files: AllowedFiles = True) -> JsonSchema:
    """Return the schema of the `Params` of a plan, without making that class."""
    settable = [planned for planned in plan.inputs if planned.fed_by is None]
    declared = [(input_of(planned), runtime_type(shape_of(planned)), default_of(planned)) for planned in settable]
    return inputs_schema(declared, plan, "Params", allow_files)


def inputs_schema(
    declared: Iterable[tuple[Input, Any, Any]], plan: WorkflowPlan | None, title: str, allow_files: AllowedFiles
) -> JsonSchema:
    """Return the schema of an object with the values of inputs by Python name, from their types and defaults.

    `plan` adds the name of the workflow and the descriptions of its fields. For `allow_files` see `read_value`.
    """
    planned = {item.binding: item for item in plan.inputs} if plan is not None else {}
    properties: dict[str, JsonSchema] = {}
    required: list[str] = []
    for item, hint, default in declared:
        schema = value_schema(hint, item, allow_files=allow_files)
        notes = [schema.pop("description", ""), _description(planned.get(item.binding))]
        described: JsonSchema = {"title": item.label or item.name}
        if any(notes):
            described["description"] = " ".join(filter(None, reversed(notes)))
        properties[item.name] = {**described, **schema}
        if default is UNSET or default is MISSING:
            required.append(item.name)
        else:
            properties[item.name]["default"] = to_json(default, embed=True)
    found: JsonSchema = {"title": plan.info.name if plan is not None and plan.info.name else title}
    if plan is not None and plan.info.description:
        found["description"] = plan.info.description
    found |= {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def with_choices(
    schema: JsonSchema, plan: WorkflowPlan, models: Sequence[ModelRecord], boards: Sequence[BoardRecord]
) -> JsonSchema:
    """Return the schema of `Params` with the models and boards of a server as choices of the inputs for one of them.

    A default that the server does not have is left out; the input is then required. Inputs that may stay empty, and
    those with more than `MAX_CHOICES` choices, are as before.
    """
    properties = {**schema["properties"]}
    required = {*schema.get("required", ())}
    for planned in plan.inputs:
        names = _choices(planned, models, boards) if planned.name in properties else []
        if 0 < len(names) <= MAX_CHOICES:
            before = properties[planned.name]
            given = before.get("default")
            known = [given.get(key) for key in ("name", "key", "board_id")] if isinstance(given, dict) else [given]
            default = next(({"default": name} for name in known if name in names), {})
            shown = {key: before[key] for key in ("title", "description") if key in before}
            properties[planned.name] = {**shown, "type": "string", "enum": names, **default}
            required |= set() if default else {planned.name}
    return {**schema, "properties": properties, "required": [name for name in properties if name in required]}


def _choices(planned: PlannedInput, models: Sequence[ModelRecord], boards: Sequence[BoardRecord]) -> list[str]:
    """Return what an input for one model or board takes; empty for other inputs."""
    from invokeai_gen.core.matching import board_choices, model_choices

    if planned.cardinality == "SINGLE" and planned.field_type == "BoardField" and boards:
        return board_choices(boards)
    if planned.cardinality == "SINGLE" and planned.required and planned.field_type == "ModelIdentifierField":
        return model_choices(models, model_limits(planned))
    return []


def value_schema(hint: Any, item: Input | None = None, *, allow_files: AllowedFiles = True) -> JsonSchema:
    """Return the schema of one value of an input with this type hint; `item` limits which models it takes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(hint, item, allow_files)
    if origin is Union or origin is UnionType:
        return {"anyOf": [value_schema(member, item, allow_files=allow_files) for member in arguments]}
    if origin is Literal:
        return {"enum": [*arguments], **({"type": "string"} if all(isinstance(one, str) for one in arguments) else {})}
    if origin is list:
        return {"type": "array", "items": value_schema(arguments[0], item, allow_files=allow_files)}
    if hint in _TYPES:
        return {**_TYPES[hint]}
    return {"type": "object"} if origin is dict else _structure(hint)


def _annotated(hint: Any, item: Input | None, allow_files: AllowedFiles) -> JsonSchema:
    """Return the schema of a type with limits, or of what an `Accepted` takes, which overrides the type before it."""
    item = next((one for one in hint.__metadata__ if isinstance(one, Input)), item)
    if kind := accepted_kind(hint):
        if kind in ("image", "video"):
            return _media(kind, allow_files)
        return _model(item) if kind == "model" else {**(_BOARD if kind == "board" else _COLOR)}
    schema = value_schema(hint.__origin__, item, allow_files=allow_files)
    for limits in hint.__metadata__:
        if isinstance(limits, Limits):
            for name, limit in limits.items():
                is_size = get_origin(hint.__origin__) is list
                keyword = _KEYWORD_OF[name.replace("length", "items") if is_size else name]
                schema[keyword] = int(limit) if float(limit).is_integer() else limit
    return schema


def _description(planned: PlannedInput | None) -> str:
    """Return the node's description of the field, and the headings above it, which distinguish equal labels."""
    if planned is None:
        return ""
    text = planned.description.strip()
    sections = f"In the form under {' / '.join(planned.sections).rstrip('.')}." if planned.sections else ""
    return " ".join(part for part in (text + "." * (text[-1:].isalnum() or text[-1:] == ")"), sections) if part)


def _object(properties: Mapping[str, JsonSchema], required: list[str]) -> JsonSchema:
    return {"type": "object", "properties": {**properties}, "required": required, "additionalProperties": False}


def _media(kind: str, allow_files: AllowedFiles) -> JsonSchema:
    name = {**_TEXT, "pattern": r"^(?!data:)[\s\S]*\S"}
    url = {"type": "string", "pattern": rf"^data:{kind}/[A-Za-z0-9.+-]+;base64,{BASE64}$"}
    path = [_object({"path": _TEXT}, ["path"])] if allow_files else []
    what = (
        "The path of a file, the name of one on the server" if allow_files is True else "The name of one on the server"
    )
    return {
        "description": f"{what}, or a data URL.",
        "anyOf": [name, url, *path, _object({f"{kind}_name": _TEXT}, [f"{kind}_name"])],
    }


_BOARD: Final[JsonSchema] = {
    "description": '"auto", "none", or the name or id of a board.',
    "anyOf": [{**_TEXT}, _object({"board_id": _TEXT}, ["board_id"])],
}


def _model(item: Input | None) -> JsonSchema:
    bases, types = (item.base, item.type) if item is not None else ((), ())
    known: JsonSchema = {key: {"type": "string"} for key in MODEL_KEYS}
    for key, allowed in (("base", bases), ("type", types)):
        if allowed:
            known[key] = {"enum": [*allowed, *(other for other in ("any", "") if other not in allowed)]}
    identified = [{"required": [key], "properties": {key: _TEXT}} for key in IDENTITY_KEYS]
    ref = _object({**known, "submodel_type": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, [])
    del ref["required"]
    limits = [f"{noun} {' or '.join(allowed)}" for noun, allowed in (("base", bases), ("type", types)) if allowed]
    return {
        "description": f"A model by name, key or hash{', of ' if limits else ''}{', of '.join(limits)}.",
        "anyOf": [{**_TEXT}, {**ref, "anyOf": identified}],
    }


_COLOR: Final[JsonSchema] = {
    "description": '"#ff8000", "#f80" or a CSS name; [r, g, b] or [r, g, b, a] from 0 to 255.',
    "anyOf": [
        {"type": "string", "pattern": "^#([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})$"},
        {"enum": [*CSS_COLORS]},
        {"type": "array", "items": _CHANNEL, "minItems": 3, "maxItems": 4},
        _object(dict.fromkeys("rgba", _CHANNEL), [*"rgb"]),
    ],
}


_BOX_SIDES: Final[JsonSchema] = {side: {"type": "integer"} for side in ("x_min", "x_max", "y_min", "y_max")}
_BOX_SCORE: Final[JsonSchema] = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]}
_ANY_MODEL: Final = _model(None)
_WEIGHT: Final[JsonSchema] = {"type": "number", "default": LoRA("model").weight}
_TYPES: Final[Mapping[Any, JsonSchema]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    Any: {},
    BoundingBox: {
        "description": "In pixels, the maxima exclusive and not below the minima.",
        **_object({**_BOX_SIDES, "score": _BOX_SCORE}, [*_BOX_SIDES]),
    },
    LoRA: {
        "description": "A LoRA by name, key or hash, and its weight.",
        "anyOf": [*_ANY_MODEL["anyOf"], _object({"lora": _ANY_MODEL, "weight": _WEIGHT}, ["lora"])],
    },
}


def _structure(hint: Any) -> JsonSchema:
    """Return pydantic's schema of a value type, with its definitions inlined."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(hint).json_schema()
    definitions = schema.pop("$defs", {})

    def inline(data: Any, parents: tuple[str, ...]) -> Any:
        if isinstance(data, list):
            return [inline(one, parents) for one in data]
        if not isinstance(data, dict):
            return data
        name = str(data.get("$ref", "")).rpartition("/")[2]
        if name in parents:
            return {}  # a type within itself
        return (
            inline(definitions[name], (*parents, name))
            if name
            else {key: inline(one, parents) for key, one in data.items()}
        )

    return cast("JsonSchema", inline(schema, ()))


_RESULT_TYPES: Final[Mapping[str, JsonSchema]] = {
    **{kind.__name__: _TYPES[kind] for kind in (int, float, str, bool)},
    "ImageOutput": {"type": "object", "properties": {"image_name": {"type": "string"}}, "required": ["image_name"]},
    "VideoOutput": {"type": "object", "properties": {"video_name": {"type": "string"}}, "required": ["video_name"]},
}


def outputs_schema(plan: WorkflowPlan) -> JsonSchema:
    """Return the schema of what `WorkflowOutputs.to_dict` returns: the user outputs by Python name."""
    properties: dict[str, JsonSchema] = {}
    for item in plan.outputs:
        if item.role != "debug":
            schema = {**_RESULT_TYPES.get(item.item_type.name, {})}
            for is_list in (item.item_type.is_list, item.is_iterated):
                schema = {"type": "array", "items": schema} if is_list else schema
            properties[item.name] = {"title": item.node_label or item.node_title, **schema}
    return {"type": "object", "properties": properties}


def plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema whose titles, descriptions, choices and defaults are plain.

    A list of choices that are not plain becomes a type, and a default that is not plain is left out: what the agent
    sends has to match them character by character.
    """
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("title", "description"):
            found[key] = plain(value)
        elif key == "enum" and not all(_is_plain(item, MAX_PLAIN) for item in value):
            found.setdefault("type", "string")
        elif key == "default" and not _is_plain(value, MAX_DEFAULT):
            continue
        elif key == "properties":
            found[key] = {name: plain_schema(part) for name, part in value.items()}
        elif isinstance(value, dict) and key != "default":
            found[key] = plain_schema(value)
        elif isinstance(value, list) and key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            found[key] = [plain_schema(part) for part in value]
        else:
            found[key] = value
    return found


def _is_plain(value: Any, limit: int) -> bool:
    if isinstance(value, str):
        return len(value) <= limit and value.replace("\n", "").replace("\t", "").isprintable()
    if isinstance(value, dict):
        return all(_is_plain(part, limit) for pair in value.items() for part in pair)
    return not isinstance(value, list) or all(_is_plain(item, limit) for item in value)
