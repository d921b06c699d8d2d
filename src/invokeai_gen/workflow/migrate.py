"""Migrate old exports (1.0.0, 2.0.0, 3.0.0) to 4.0.0 as the GUI does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.js_reading import is_integer, is_number
from invokeai_gen.schema import Schema
from invokeai_gen.workflow.document import TEXTS
from invokeai_gen.workflow.errors import WorkflowError
from invokeai_gen.workflow.json_object import JsonObject, wrong
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
    nodes = []
    for node in data.records("nodes", optional=True):
        if node.data.get("type") == "invocation":
            body = node.record("data")
            body.flag("embedWorkflow")
            template = schema.template(body.name("type"))
            node_data = {
                **body.data,
                "useCache": body.flag("useCache", True),
                "version": body.data.get("version") or "1.0.0",
                "nodePack": template.node_pack if template is not None else "unknown",
                "inputs": {name: _field_from_v1(item) for name, item in body.members("inputs")},
                "outputs": {name: _field_from_v1(item) for name, item in body.members("outputs")},
            }
            nodes.append({**node.data, "data": node_data})
        else:
            nodes.append(node.data)
    return JsonObject(
        {
            **{key: data.text(key, "") for key in TEXTS},
            "nodes": nodes,
            "edges": data.data.get("edges", []),
            "exposedFields": data.data.get("exposedFields", []),
            "meta": {"version": "2.0.0", "category": "user"},
        }
    )


def _field_from_v1(item: JsonObject) -> dict[str, Any]:
    """Return a field of version 1. Raises `WorkflowError` for a value that does not match the field's type."""
    old = item.text("type")
    name = _SINGLE_V1.get(old) or _MANY_V1.get(old)
    if name is None:
        raise WorkflowError(f"{item.at('type')}: unknown field type {old!r}")
    if "value" in item.data and not _suits_v1(old, item.data["value"]):
        raise wrong(item.at("value"), f"a value for a field of type {old}", item.data["value"])
    is_collection = old == "Collection" or (old in _MANY_V1 and old.endswith("Collection"))
    kind = {"name": name, "isCollection": is_collection, "isCollectionOrScalar": old.endswith("Polymorphic")}
    return {**item.data, "type": kind}


def _suits_v1(old: str, value: Any) -> bool:
    if old in ("Any", "CollectionItem"):
        return True
    if old in _SUITS_V1:
        return _SUITS_V1[old](value)
    stem = old.removesuffix("Collection").removesuffix("Polymorphic")
    suits = _SUITS_V1.get(stem, _SUITS_V1.get(stem.lower(), _SUITS_V1.get(stem + "Field", _is_object)))
    if stem == old or (old.endswith("Polymorphic") and stem in _ONE_VALUE_V1):
        return suits(value)
    is_list = isinstance(value, list) and all(map(suits, value))
    return is_list or (old.endswith("Polymorphic") and suits(value))


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


_ONE_VALUE_V1: Final = frozenset({"Boolean", "Float", "Image", "Integer", "String"})
"""Types whose polymorphic fields only accepted one value."""

_SUITS_V1: Final[Mapping[str, Callable[[Any], bool]]] = {
    "integer": is_integer,
    "float": is_number,
    "string": _is_text,
    "enum": _is_text,
    "boolean": lambda value: isinstance(value, bool),
    "Collection": lambda value: isinstance(value, list),
    "Scheduler": lambda value: _is_text(value) and value in _SCHEDULERS_V2,
    "ImageField": lambda value: parse_named(value, "image_name") is not None,
    "BoardField": lambda value: parse_named(value, "board_id") is not None,
    "ColorField": lambda value: parse_color(value) is not None,
    **dict.fromkeys(_MAIN_MODELS_V2, _is_main_model),
    **dict.fromkeys(_MODELS_V2 | {"VaeModelField"}, _is_model),
}
"""The values that a field of a type could have; other types could have objects."""


def _from_v2(data: JsonObject) -> JsonObject:
    nodes = []
    for node in data.records("nodes"):
        if node.data.get("type") == "invocation":
            body = node.record("data")
            body.record("outputs")
            inputs = {name: _input_from_v2(item) for name, item in body.members("inputs")}
            nodes.append({**node.data, "data": {**body.data, "inputs": inputs}})
        else:
            nodes.append(node.data)
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
    fits = {
        "IntegerField": is_integer(value),
        "FloatField": is_number(value),
        "StringField": isinstance(value, str),
        "EnumField": isinstance(value, str),
        "BooleanField": isinstance(value, bool),
        "SchedulerField": isinstance(value, str) and value in _SCHEDULERS_V2,
    }
    if kind in fits:
        return value if fits[kind] else UNSET
    shapes = {
        "ImageField": parse_named(value, "image_name"),
        "BoardField": parse_named(value, "board_id"),
        "ColorField": parse_color(value),
    }
    if kind in shapes:
        return UNSET if shapes[kind] is None else shapes[kind]
    if kind in _MAIN_MODELS_V2 | _MODELS_V2 and isinstance(value, dict) and _is_model(value, least=3):
        return value if kind in _MODELS_V2 or value.get("model_type") == "main" else UNSET
    return UNSET
