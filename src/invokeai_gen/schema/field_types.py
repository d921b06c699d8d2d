"""The type of a node's field, read from its schema as the GUI reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from invokeai_gen.generator_settings import GENERATOR_FIELDS
from invokeai_gen.limits import ModelLimits

Cardinality: TypeAlias = Literal["SINGLE", "COLLECTION", "SINGLE_OR_COLLECTION"]

_PRIMITIVES: Final = {
    "integer": "IntegerField",
    "number": "FloatField",
    "string": "StringField",
    "boolean": "BooleanField",
}

STATEFUL_TYPES: Final = frozenset((
    *GENERATOR_FIELDS,
    "IntegerField", "FloatField", "StringField", "BooleanField", "EnumField", "ImageField", "VideoField",
    "BoardField", "StylePresetField", "SystemPromptField", "ModelIdentifierField", "LoRAField", "ColorField",
    "SchedulerField", "SavedWorkflowField", "LoRAMetadataField", "ControlNetMetadataField",
    "IPAdapterMetadataField", "T2IAdapterMetadataField", "MetadataExtraField",
))  # fmt: skip
"""Types with an input component in the GUI. A field of any other type can only be connected."""

_IN_WORDS: Final[Mapping[Cardinality, str]] = {
    "SINGLE": "",
    "COLLECTION": "list of ",
    "SINGLE_OR_COLLECTION": "one or a list of ",
}


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field: InvokeAI's name, and whether the field takes one value, a collection, or either."""

    name: str
    cardinality: Cardinality = "SINGLE"
    batch: bool = False
    """The list of a batch node or the output of a generator, which connect only to each other."""
    original: FieldType | None = None
    """The type in the JSON schema, if `ui_type` names another."""

    @property
    def is_stateful(self) -> bool:
        """Whether the GUI keeps a value for such a field; all others only accept connections."""
        return self.name in STATEFUL_TYPES

    @property
    def is_single(self) -> bool:
        """Whether the field takes one value."""
        return self.cardinality == "SINGLE"

    def __str__(self) -> str:
        return _IN_WORDS[self.cardinality] + self.name


def field_type(schema: Mapping[str, Any]) -> FieldType | None:
    """Return the type of a property, by its `ui_type` if it has one; `None` if the GUI has no such field.

    Raises `TypeError` and the like for a malformed schema.
    """
    parsed = parse_type(schema)
    ui_type = schema.get("ui_type")
    if not ui_type:
        return parsed
    if not isinstance(ui_type, str):
        raise TypeError("ui_type is not a string")
    if ui_type in MODEL_UI_TYPES and parsed is not None and parsed.name == "ModelIdentifierField":
        return parsed
    declared = FieldType(ui_type, "COLLECTION" if ui_type == "CollectionField" else "SINGLE")
    if declared.is_stateful and parsed is not None and parsed != declared:
        return replace(declared, original=parsed)
    return declared


def parse_type(schema: Mapping[str, Any]) -> FieldType | None:
    """Return the type that the JSON schema itself describes; `None` for one that the GUI does not support."""
    if "$ref" in schema:
        return _named(ref_name(schema))
    if schema.get("const"):
        return FieldType("EnumField")
    kind = schema.get("type")
    if not kind:
        all_of = schema.get("allOf")
        if all_of:
            return _named(ref_name(all_of[0])) if "$ref" in all_of[0] else None
        return _parse_union(schema["anyOf"]) if schema.get("anyOf") is not None else None
    if schema.get("enum"):
        return FieldType("EnumField")
    if kind == "array":
        items = schema.get("items") or {}
        name = ref_name(items) if "$ref" in items else _primitive(items.get("type"))
        return FieldType(name, "COLLECTION") if name else None
    return _named(_primitive(kind))


def _parse_union(members: list[Mapping[str, Any]]) -> FieldType | None:
    """Return the type of a union: `T | None` is T, and `T | list[T]` takes either. The GUI supports no other."""
    members = [member for member in members if member.get("type") != "null"]
    if len(members) == 1:
        return parse_type(members[0])
    if len(members) != 2:
        return None
    one, many = members if members[1].get("type") == "array" else reversed(members)
    if many.get("type") != "array" or members[0].get("type") == members[1].get("type") == "array":
        return None
    items = many.get("items") or {}
    if ("$ref" in one) != ("$ref" in items):
        return None
    name, item_name = (ref_name(part) if "$ref" in part else part.get("type") for part in (one, items))
    if not isinstance(name, str) or not name or name != item_name:
        return None
    return FieldType(_PRIMITIVES.get(name, name), "SINGLE_OR_COLLECTION")


def _named(name: str | None) -> FieldType | None:
    return FieldType(name) if name else None


def ref_name(schema: Mapping[str, Any]) -> str:
    """Return the name in a `$ref`; empty without one."""
    return str(schema.get("$ref", "")).rsplit("/", 1)[-1]


def _primitive(kind: object) -> str | None:
    return _PRIMITIVES.get(kind) if isinstance(kind, str) else None


def _main(*base: str) -> ModelLimits:
    return ModelLimits(type=("main",), base=base)


MODEL_UI_TYPES: Final[Mapping[str, ModelLimits]] = {
    "MainModelField": _main("sd-1", "sd-2"),
    "SDXLMainModelField": _main("sdxl"),
    "SDXLRefinerModelField": _main("sdxl-refiner"),
    "SD3MainModelField": _main("sd-3"),
    "FluxMainModelField": _main("flux"),
    "CogView4MainModelField": _main("cogview4"),
    "Imagen3ModelField": _main("imagen3"),
    "Imagen4ModelField": _main("imagen4"),
    "ChatGPT4oModelField": _main("chatgpt-4o"),
    "Gemini2_5ModelField": _main("gemini-2.5"),
    "FluxKontextModelField": _main("flux-kontext"),
    "Veo3ModelField": ModelLimits(type=("video",), base=("veo3",)),
    "RunwayModelField": ModelLimits(type=("video",), base=("runway",)),
    "ONNXModelField": ModelLimits(type=("onnx",)),
    "VAEModelField": ModelLimits(type=("vae",)),
    "FluxVAEModelField": ModelLimits(type=("vae",), base=("flux",)),
    "LoRAModelField": ModelLimits(type=("lora",)),
    "ControlLoRAModelField": ModelLimits(type=("control_lora",)),
    "ControlNetModelField": ModelLimits(type=("controlnet",)),
    "IPAdapterModelField": ModelLimits(type=("ip_adapter",)),
    "T2IAdapterModelField": ModelLimits(type=("t2i_adapter",)),
    "T5EncoderModelField": ModelLimits(type=("t5_encoder",)),
    "CLIPEmbedModelField": ModelLimits(type=("clip_embed",)),
    "CLIPLEmbedModelField": ModelLimits(type=("clip_embed",), variant=("large",)),
    "CLIPGEmbedModelField": ModelLimits(type=("clip_embed",), variant=("gigantic",)),
    "SigLipModelField": ModelLimits(type=("siglip",)),
    "FluxReduxModelField": ModelLimits(type=("flux_redux",)),
    "LLaVAModelField": ModelLimits(type=("llava_onevision",)),
    "SpandrelImageToImageModelField": ModelLimits(type=("spandrel_image_to_image",)),
}
"""The models that a field accepts, as servers before InvokeAI 6.8 declare them: by a `ui_type` for each kind.

Newer servers use `ui_model_base`, `ui_model_type` and `ui_model_variant` instead, and translate the old names of custom
nodes in the same way.
"""
