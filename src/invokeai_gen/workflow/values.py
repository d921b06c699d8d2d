"""How the GUI reads the value of an input: it ignores the node type, and the first shape that fits wins."""

from __future__ import annotations

from typing import Any

from invokeai_gen.generator_settings import IMAGE_GENERATOR, parse_settings
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.js_reading import is_number, trim
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
    for key in ("key", "hash", "name"):
        if not isinstance(value.get(key), str) or not value[key]:
            return None
    if not _is_one_of(value.get("base"), schema.enum("BaseModelType")) or not _is_one_of(
        value.get("type"), schema.enum("ModelType")
    ):
        return None
    kept = {key: value[key] for key in ("key", "hash", "name", "base", "type")}
    if "submodel_type" not in value:
        return kept
    submodel = value["submodel_type"]
    is_known = submodel is None or _is_one_of(submodel, schema.enum("SubModelType"))
    return kept | {"submodel_type": submodel} if is_known else None


def _is_one_of(value: Any, words: frozenset[str]) -> bool:
    """Return whether a value is one of some words; a list or an object cannot even be looked up."""
    return isinstance(value, str) and value in words


def _lora(value: Any, schema: Schema) -> dict[str, Any] | None:
    lora = _model(value.get("lora"), schema) if isinstance(value, dict) else None
    if lora is None or not is_number(value.get("weight")):
        return None
    return {"lora": lora, "weight": value["weight"]}


def parse_color(value: Any) -> dict[str, int] | None:
    """Return a colour with four channels from 0 to 255; `None` for anything else."""
    if not isinstance(value, dict):
        return None
    channels = {key: value.get(key) for key in "rgba"}
    if all(isinstance(item, int) and is_number(item) and 0 <= item <= 255 for item in channels.values()):
        return {key: int(item) for key, item in channels.items() if item is not None}
    return None
