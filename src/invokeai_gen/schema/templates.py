"""Node templates: what the GUI knows about a node type, built from its schema."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from invokeai_gen.generator_settings import GENERATOR_FIELDS, default_settings
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.js_reading import is_integer, is_number
from invokeai_gen.limits import ANY_MODEL, ITEM_LIMITS, KEYWORDS, LENGTH_LIMITS, NUMBER_LIMITS, ModelLimits
from invokeai_gen.schema.field_types import MODEL_UI_TYPES, FieldType, field_type, ref_name

Connection: TypeAlias = Literal["connection", "direct", "any"]

DENIED_NODE_TYPES: Final = frozenset({"graph", "linear_ui_output"})
"""Node types that the GUI never offers, even if the server has them."""

_RESERVED_INPUTS: Final = frozenset({"id", "type", "use_cache"})
BATCH_FIELDS: Final[Mapping[str, str]] = {
    "image_batch": "images",
    "string_batch": "strings",
    "integer_batch": "integers",
    "float_batch": "floats",
}
"""The batch nodes, each with the field that holds its list."""
GENERATOR_OUTPUTS: Final[Mapping[str, str]] = {
    node_type.replace("_batch", "_generator"): field_name for node_type, field_name in BATCH_FIELDS.items()
}
"""The generator nodes, each with the output that feeds a batch node."""

_EDITABLE_ITEMS: Final = frozenset({"IntegerField", "FloatField", "StringField", "ImageField"})
"""The types of the collections that the GUI can edit."""
_ITEM_LIMIT_OF: Final = {"min_length": "min_items", "max_length": "max_items"}

_NULL_DEFAULTS: Final[Mapping[str, Any]] = {
    "IntegerField": 0,
    "FloatField": 0,
    "StringField": "",
    "BooleanField": False,
    "BoardField": "auto",
    "LoRAField": [],
    "ColorField": {"r": 127, "g": 127, "b": 127, "a": 255},
    "SchedulerField": "dpmpp_3m_k",
    "SavedWorkflowField": "",
}
"""Defaults that the GUI uses if the schema has no default, or null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTemplate:
    """One input field of a node type."""

    name: str
    title: str
    type: FieldType
    required: bool
    connection: Connection
    """Whether it takes a value (`direct`), an edge (`connection`) or either (`any`)."""
    description: str
    default: Any | Unset
    """The value that a new node has in the GUI."""
    limits: Mapping[str, float]
    """Limits that the GUI checks before it invokes: those at the top of the property, by pydantic's names."""
    exact_limits: Mapping[str, float]
    """Limits that the server checks: also those inside an optional type or a collection's items."""
    choices: tuple[str, ...]
    choice_labels: Mapping[str, str]
    models: ModelLimits

    def summary(self) -> dict[str, Any]:
        """Return what decides whether the field takes a value, as plan files record it."""
        facts = {
            "type": str(self.type),
            "required": self.required,
            "choices": list(self.choices),
            **{"type of model" if kind == "type" else kind: list(names) for kind, names in self.models.items()},
            **self.exact_limits,
        }
        return {key: value for key, value in facts.items() if value not in ([], False)}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTemplate:
    """A node type as the server offers it."""

    type: str
    title: str
    version: str
    node_pack: str
    output_type: str
    inputs: Mapping[str, InputTemplate]
    outputs: Mapping[str, FieldType]
    schema_names: tuple[str, str] = field(compare=False)
    """Names of its own and of its output's schema in openapi.json."""

    def summary(self) -> dict[str, Any]:
        """Return what decides whether a node of this type can run with given values, as plan files record it."""
        return {
            "version": self.version,
            "inputs": {name: item.summary() for name, item in self.inputs.items()},
            "outputs": {name: str(kind) for name, kind in self.outputs.items()},
        }


def build_template(name: str, schemas: Mapping[str, Any]) -> NodeTemplate | None:
    """Return the template of the invocation schema `name`; `None` if it has no valid output schema.

    Raises `KeyError`, `TypeError` or `ValueError` for a malformed schema.
    """
    schema = schemas[name]
    node_type = schema["properties"]["type"]["default"]
    output_name = ref_name(schema.get("output", {}))
    output_schema = schemas.get(output_name)
    if not isinstance(output_schema, dict) or output_schema.get("class") != "output":
        return None
    properties = schema["properties"]
    inputs = {
        key: template
        for key, value in properties.items()
        if (template := _input_template(node_type, key, value, schemas)) is not None
    }
    outputs = {
        key: kind
        for key, value in output_schema["properties"].items()
        if (kind := _output_type(node_type, key, value)) is not None
    }
    return NodeTemplate(
        type=node_type,
        title=str(schema.get("title") or name).replace("Invocation", "", 1),
        version=str(schema.get("version", "")),
        node_pack=str(schema.get("node_pack") or "invokeai"),
        output_type=str(output_schema["properties"].get("type", {}).get("default", "")),
        inputs=inputs,
        outputs=outputs,
        schema_names=(name, output_name),
    )


def _input_template(
    node_type: str, name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]
) -> InputTemplate | None:
    if name in _RESERVED_INPUTS or (node_type, name) == ("iterate", "index") or "field_kind" not in schema:
        return None
    kind = field_type(schema)
    if kind is None or kind.name == "IsIntermediate":
        return None
    if BATCH_FIELDS.get(node_type) == name:
        kind = replace(kind, batch=True)
    choices = _choices(schema) or (_enum_of(schema, schemas) if kind.name != "EnumField" else ())
    if kind.name == "EnumField" and not choices:
        return None
    labels = schema.get("ui_choice_labels") or {}
    return InputTemplate(
        name=name,
        title=start_case(name) if schema.get("title") is None else str(schema["title"]),
        type=kind,
        required=bool(schema.get("orig_required")),
        connection=schema.get("input", "any") if kind.is_stateful else "connection",
        description=str(schema.get("description") or ""),
        default=_default(kind, schema, choices),
        limits=_limits(kind, schema),
        exact_limits=_exact_limits(kind, schema),
        choices=choices,
        choice_labels={str(key): str(value) for key, value in labels.items()},
        models=_models(schema),
    )


def _output_type(node_type: str, name: str, schema: Mapping[str, Any]) -> FieldType | None:
    kind = field_type(schema) if name != "type" and "field_kind" in schema else None
    if kind is not None and GENERATOR_OUTPUTS.get(node_type) == name:
        return replace(kind, batch=True)
    return kind


def _default(kind: FieldType, schema: Mapping[str, Any], choices: tuple[str, ...]) -> Any | Unset:
    if not kind.is_stateful:
        return UNSET
    if kind.name in GENERATOR_FIELDS:
        return default_settings(kind.name)
    if kind.name.endswith("MetadataField"):
        return UNSET
    default = schema.get("default")
    if default is not None:
        return copy.deepcopy(default)
    if kind.name == "EnumField":
        return choices[0]
    if kind.cardinality == "COLLECTION" and kind.name in _EDITABLE_ITEMS and schema.get("orig_required"):
        return []  # as the GUI has it; an optional collection of numbers or text starts as 0 or ""
    return copy.deepcopy(_NULL_DEFAULTS.get(kind.name, UNSET))


def _choices(schema: Mapping[str, Any]) -> tuple[str, ...]:
    members = [part for part in schema.get("anyOf", ()) if part.get("type") != "null"]
    if "anyOf" in schema:
        if len(members) != 1 or "$ref" in members[0]:
            return ()
        schema = members[0]
    return _options([schema["const"]] if schema.get("const") else schema.get("enum"))


def _enum_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values of a named enum that a property refers to, such as a custom node's."""
    members = [part for part in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())) if "$ref" in part]
    if len(members) != 1:
        return ()
    target = schemas.get(ref_name(members[0]))
    return _options(target.get("enum")) if isinstance(target, dict) else ()


def _options(values: Any) -> tuple[str, ...]:
    """Return choices, which are nearly always text. Raises `ValueError` for lists and objects, which cannot be chosen."""
    options = tuple(values or ())
    if any(isinstance(option, (dict, list)) for option in options):
        raise ValueError("an enum cannot contain lists or objects")
    return options


def limits_in(schema: Mapping[str, Any]) -> dict[str, float]:
    """Return the limits in a JSON schema, by pydantic's names. Raises `ValueError` for an impossible limit."""
    limits = {limit: schema[key] for key, limit in KEYWORDS.items() if is_number(schema.get(key))}
    for limit, value in limits.items():
        is_size = limit in LENGTH_LIMITS | ITEM_LIMITS
        if (is_size and not (is_integer(value) and value >= 0)) or (limit == "multiple_of" and value <= 0):
            raise ValueError(f"{value} cannot be the limit {limit}")
    return limits


def _allowed_limits(kind: FieldType) -> frozenset[str]:
    allowed: frozenset[str] = frozenset()
    if kind.name in {"IntegerField", "FloatField"}:
        allowed = NUMBER_LIMITS
    elif kind.name == "StringField":
        allowed = LENGTH_LIMITS
    return allowed if kind.is_single else allowed | ITEM_LIMITS


def _limits(kind: FieldType, schema: Mapping[str, Any]) -> dict[str, float]:
    """Return the limits that the GUI checks: those of numbers, and of the four collections that it can edit."""
    allowed = _allowed_limits(kind) if kind.name in _EDITABLE_ITEMS else ()
    return {limit: value for limit, value in limits_in(schema).items() if limit in allowed}


def _exact_limits(kind: FieldType, schema: Mapping[str, Any]) -> dict[str, float]:
    allowed = _allowed_limits(kind)
    limits: dict[str, float] = {}
    parts = list(_members(schema))
    for part in [*parts, *(part["items"] for part in parts if isinstance(part.get("items"), dict))]:
        found = limits_in(part)
        if not kind.is_single and kind.name != "StringField":
            # The length of `T | list[T]` is the length of the list: only text has a length of its own.
            found = {_ITEM_LIMIT_OF.get(limit, limit): value for limit, value in found.items()}
        limits = {limit: value for limit, value in found.items() if limit in allowed} | limits
    return limits


def _models(schema: Mapping[str, Any]) -> ModelLimits:
    old = MODEL_UI_TYPES.get(schema.get("ui_type", ""), ANY_MODEL)
    kinds = {kind: _strings(schema.get(f"ui_model_{kind}")) for kind in ("base", "type", "variant", "format")}
    return replace(old, **{kind: value for kind, value in kinds.items() if value})


def _members(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a property and the members of its union, recursively, without null."""
    yield schema
    for part in schema.get("anyOf", ()):
        if part.get("type") != "null":
            yield from _members(part)


def _strings(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)


_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[0-9]+|[A-Z]+(?![a-z])|[^\W\d_]+")


def start_case(name: str) -> str:
    """Return a field name as the GUI titles it: `t5_encoder` becomes `T 5 Encoder`."""
    words = _WORDS.findall(name)
    return " ".join(word if word.isupper() else word[0].upper() + word[1:].lower() for word in words)
