"""How the GUI reads the value of an input: it ignores the node type, and the first shape that fits wins."""

from __future__ import annotations

from typing import Any

from invokeai_gen.generator_settings import IMAGE_GENERATOR, parse_settings
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.js_reading import is_integer, is_number, trim
from invokeai_gen.schema import Schema


def parse_value(value: Any, schema: Schema, *, keep_extras: bool = False) -> Any | Unset:
    """Return the value as the GUI holds it after loading; `UNSET` if no shape fits.

    `schema` has the words that a model may contain: the GUI takes an object with others for something else.
    `keep_extras` keeps values of unknown shape, for nodes that take any input.
    """
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        parsed = _parse_list(value, schema)
    elif isinstance(value, dict):
        parsed = _parse_object(value, schema)
    else:
        parsed = UNSET
    if parsed is UNSET and keep_extras and value is not UNSET:
        return value
    return parsed


def _parse_list(items: list[Any], schema: Schema) -> Any | Unset:
    """Return a list if all items are numbers, all strings, all images or all LoRAs."""
    if all(is_number(item) for item in items) or all(isinstance(item, str) for item in items):
        return list(items)
    for parse in (lambda item: parse_named(item, "image_name"), lambda item: _lora(item, schema)):
        parsed = [parse(item) for item in items]
        if None not in parsed:
            return parsed
    return UNSET


def _parse_object(value: dict[str, Any], schema: Schema) -> Any | Unset:
    if value.get("type") == IMAGE_GENERATOR and (settings := parse_settings(value)) is not None:
        # The GUI takes these for a board because of their board_id, and from then on fails at every Invoke.
        return settings
    for key in ("image_name", "video_name", "board_id", "style_preset_id", "system_prompt_id"):
        if (named := parse_named(value, key)) is not None:
            return named
    for parsed in (_model(value, schema), parse_color(value), parse_settings(value)):
        if parsed is not None:
            return parsed
    return UNSET


def parse_named(value: Any, key: str) -> dict[str, str] | None:
    """Return an object that names an image, a board and the like under `key`; `None` for anything else."""
    name = value.get(key) if isinstance(value, dict) else None
    return {key: trim(name)} if isinstance(name, str) and trim(name) else None


def _model(value: Any, schema: Schema) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    if not all(isinstance(value.get(key), str) and value[key] for key in ("key", "hash", "name")):
        return None
    for key, enum in (("base", "BaseModelType"), ("type", "ModelType"), ("submodel_type", "SubModelType")):
        word = value.get(key)
        is_empty = key == "submodel_type" and word is None
        if not is_empty and not (isinstance(word, str) and word in schema.enum(enum)):
            return None
    return {key: value[key] for key in ("key", "hash", "name", "base", "type", "submodel_type") if key in value}


def _lora(value: Any, schema: Schema) -> dict[str, Any] | None:
    lora = _model(value.get("lora"), schema) if isinstance(value, dict) else None
    if lora is None or not is_number(value.get("weight")):
        return None
    return {"lora": lora, "weight": value["weight"]}


def parse_color(value: Any) -> dict[str, int] | None:
    """Return a colour with four channels from 0 to 255; `None` for anything else."""
    if not isinstance(value, dict):
        return None
    channels: dict[str, Any] = {key: value.get(key) for key in "rgba"}
    return channels if all(is_integer(channel) and 0 <= channel <= 255 for channel in channels.values()) else None
