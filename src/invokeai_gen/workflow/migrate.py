"""Migrate old exports (1.0.0, 2.0.0, 3.0.0) to 4.0.0 as the GUI does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.js_reading import is_integer, is_number
from invokeai_gen.schema import Schema
from invokeai_gen.workflow.document import TEXTS
from invokeai_gen.workflow.json_object import JsonObject, WorkflowError, wrong
from invokeai_gen.workflow.values import parse_color, parse_named

CURRENT_VERSION: Final = "4.0.0"

_KEPT_V1: Final = (
    "BoardField", "ClipField", "ColorField", "ConditioningField", "ControlField", "ControlNetModelField",
    "DenoiseMaskField", "ImageField", "IPAdapterField", "IPAdapterModelField", "LatentsField", "LoRAModelField",
    "MainModelField", "MetadataField", "MetadataItemField", "SDXLMainModelField", "SDXLRefinerModelField",
    "T2IAdapterField", "T2IAdapterModelField", "UNetField", "VaeField",
)  # fmt: skip
_SINGLE_V1: Final = {
    "boolean": "BooleanField",
    "enum": "EnumField",
    "float": "FloatField",
    "integer": "IntegerField",
    "string": "StringField",
    "Any": "AnyField",
    "Collection": "CollectionField",
    "CollectionItem": "CollectionItemField",
    "Scheduler": "SchedulerField",
    "VaeModelField": "VAEModelField",
    **{name: name for name in _KEPT_V1},
}
_STEMS_V1: Final = (
    "Boolean", "Color", "Conditioning", "Control", "Float", "Image", "Integer", "IPAdapter", "Latents", "MetadataItem",
    "String", "T2IAdapter",
)  # fmt: skip
_MANY_V1: Final = {
    "MetadataCollection": "MetadataField",
    **{stem + suffix: stem + "Field" for stem in _STEMS_V1 for suffix in ("Collection", "Polymorphic")},
}

_MAIN_MODELS_V2: Final = frozenset({"MainModelField", "SDXLMainModelField", "SDXLRefinerModelField"})
_MODELS_V2: Final = frozenset(
    {"VAEModelField", "LoRAModelField", "ControlNetModelField", "IPAdapterModelField", "T2IAdapterModelField"}
)
_BASES_V2: Final = frozenset({"any", "sd-1", "sd-2", "sdxl", "sdxl-refiner"})
_SCHEDULERS_V2: Final = frozenset((
    "euler", "deis", "ddim", "ddpm", "dpmpp_2s", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_sde", "heun", "kdpm_2", "lms",
    "pndm", "unipc", "euler_k", "dpmpp_2s_k", "dpmpp_2m_k", "dpmpp_2m_sde_k", "dpmpp_sde_k", "heun_k", "lms_k",
    "euler_a", "kdpm_2_a", "lcm",
))  # fmt: skip


def migrate(data: JsonObject, schema: Schema) -> JsonObject:
    """Return a file of any supported version as a file of version 4.0.0. The input is not changed."""
    version = data.record("meta").version("version")
    if version == "1.0.0":
        data = _from_v1(data, schema)
        version = "2.0.0"
    if version == "2.0.0":
        data = _from_v2(data)
        version = "3.0.0"
    if version not in ("3.0.0", CURRENT_VERSION):
        raise WorkflowError(f"workflow version {version} is not supported (only 1.0.0, 2.0.0, 3.0.0 and 4.0.0 are)")
    return JsonObject({**data.data, "meta": {**data.record("meta").data, "version": CURRENT_VERSION}})


def _from_v1(data: JsonObject, schema: Schema) -> JsonObject:
    def converted(body: JsonObject) -> dict[str, Any]:
        body.flag("embedWorkflow")
        template = schema.template(body.name("type"))
        return {
            "useCache": body.flag("useCache", True),
            "version": body.data.get("version") or "1.0.0",
            "nodePack": template.node_pack if template is not None else "unknown",
            "inputs": {name: _field_from_v1(item) for name, item in body.members("inputs")},
            "outputs": {name: _field_from_v1(item) for name, item in body.members("outputs")},
        }

    nodes = _nodes(data.records("nodes") if "nodes" in data.data else (), converted)
    return JsonObject(
        {
            **{key: data.text(key, "") for key in TEXTS},
            "nodes": nodes,
            "edges": data.data.get("edges", []),
            "exposedFields": data.data.get("exposedFields", []),
            "meta": {"version": "2.0.0", "category": "user"},
        }
    )


def _nodes(nodes: Iterable[JsonObject], converted: Callable[[JsonObject], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return nodes with what `converted` makes of the data of each invocation node."""
    return [
        {**node.data, "data": {**node.record("data").data, **converted(node.record("data"))}}
        if node.data.get("type") == "invocation"
        else node.data
        for node in nodes
    ]


def _field_from_v1(item: JsonObject) -> dict[str, Any]:
    """Return a field of version 1. Raises `WorkflowError` for a value that does not match the field's type."""
    old = item.text("type")
    name = _SINGLE_V1.get(old) or _MANY_V1.get(old)
    if name is None:
        raise WorkflowError(f"{item.at('type')}: unknown field type {old!r}")
    if "value" in item.data and not _suits_v1(old, name, item.data["value"]):
        raise wrong(item.at("value"), f"a value for a field of type {old}", item.data["value"])
    return {**item.data, "type": {"name": name}}


def _suits_v1(old: str, name: str, value: Any) -> bool:
    """Return whether a field of type `old`, now called `name`, could have a value."""
    suits = _SUITS.get(name, _is_object)
    is_polymorphic = old.endswith("Polymorphic")
    if old not in _MANY_V1 or (is_polymorphic and name in _ONE_VALUE_V1):
        return suits(value)
    return (isinstance(value, list) and all(map(suits, value))) or (is_polymorphic and suits(value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_model(value: Any, least: int = 1) -> bool:
    if not isinstance(value, dict) or value.get("base_model") not in _BASES_V2:
        return False
    return isinstance(value.get("model_name"), str) and len(value["model_name"]) >= least


def _is_main_model(value: Any) -> bool:
    return _is_model(value) and value.get("model_type") in ("main", "onnx")


_ONE_VALUE_V1: Final = frozenset({"BooleanField", "FloatField", "ImageField", "IntegerField", "StringField"})
"""Types whose polymorphic fields only accepted one value."""

_PLAIN: Final[Mapping[str, Callable[[Any], bool]]] = {
    "IntegerField": is_integer,
    "FloatField": is_number,
    "StringField": _is_text,
    "EnumField": _is_text,
    "BooleanField": lambda value: isinstance(value, bool),
    "SchedulerField": lambda value: _is_text(value) and value in _SCHEDULERS_V2,
}
_SUITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    **_PLAIN,
    "AnyField": lambda value: True,
    "CollectionItemField": lambda value: True,
    "CollectionField": lambda value: isinstance(value, list),
    "ImageField": lambda value: parse_named(value, "image_name") is not None,
    "BoardField": lambda value: parse_named(value, "board_id") is not None,
    "ColorField": lambda value: parse_color(value) is not None,
    **dict.fromkeys(_MAIN_MODELS_V2, _is_main_model),
    **dict.fromkeys(_MODELS_V2, _is_model),
}
"""The values that a field of a type could have in version 1; other types could have objects."""


def _from_v2(data: JsonObject) -> JsonObject:
    def converted(body: JsonObject) -> dict[str, Any]:
        body.record("outputs")
        return {"inputs": {name: _input_from_v2(item) for name, item in body.members("inputs")}}

    nodes = _nodes(data.records("nodes"), converted)
    kept = {key: value for key, value in data.data.items() if key != "form"}
    return JsonObject({**kept, "nodes": nodes})


def _input_from_v2(item: JsonObject) -> dict[str, Any]:
    kind = item.record("type")
    if item.data.get("fieldKind") != "input":
        raise wrong(item.at("fieldKind"), "'input'", item.data.get("fieldKind"))
    item.name("id")
    parsed = {"name": item.name("name"), "label": item.data.get("label") or ""}
    value = _value_from_v2(kind.text("name"), item.data.get("value", UNSET))
    return parsed if value is UNSET else {**parsed, "value": value}


def _value_from_v2(kind: str, value: Any) -> Any | Unset:
    """Return a value of version 2, which is kept only if it matches the field's type."""
    kept: Any = None
    if kind in _PLAIN:
        kept = value if _PLAIN[kind](value) else None
    elif kind in ("ImageField", "BoardField"):
        kept = parse_named(value, "image_name" if kind == "ImageField" else "board_id")
    elif kind == "ColorField":
        kept = parse_color(value)
    elif kind in _MAIN_MODELS_V2 | _MODELS_V2 and _is_model(value, least=3):
        kept = value if kind in _MODELS_V2 or value.get("model_type") == "main" else None
    return UNSET if kept is None else kept
