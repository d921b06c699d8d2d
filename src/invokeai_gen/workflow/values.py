"""How the GUI reads the value of an input: without looking at the node type, the first shape that fits.

Whatever fits no shape loses its value, with one odd exception that real files depend on: an object of unknown shape
becomes the settings of a float generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from invokeai_gen.json_js import MAX_SAFE_INTEGER, UNSET, Unset, trim
from invokeai_gen.schema import Schema

Check = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class ModelVocabulary:
    """The words a model identifier may use; anything else is not taken for a model."""

    bases: frozenset[str]
    types: frozenset[str]
    submodels: frozenset[str]

    @classmethod
    def of(cls, schema: Schema) -> ModelVocabulary:
        return cls(schema.enum("BaseModelType"), schema.enum("ModelType"), schema.enum("SubModelType"))


def parse_value(value: Any, models: ModelVocabulary, *, keep_extras: bool = False) -> Any | Unset:
    """The value as the GUI holds it after loading. `keep_extras` is for nodes that take any input."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        parsed = _parse_list(value, models)
    elif isinstance(value, dict):
        parsed = _parse_object(value, models)
    else:
        parsed = UNSET
    if parsed is UNSET and keep_extras and value is not UNSET:
        return value
    return parsed


def _parse_list(items: list[Any], models: ModelVocabulary) -> Any | Unset:
    """A list is all numbers, all strings, all images or all LoRAs."""
    if all(is_number(item) for item in items) or all(isinstance(item, str) for item in items):
        return list(items)
    for parse in (lambda item: parse_named(item, "image_name"), lambda item: _lora(item, models)):
        parsed = [parse(item) for item in items]
        if None not in parsed:
            return parsed
    return UNSET


def _parse_object(value: dict[str, Any], models: ModelVocabulary) -> Any | Unset:
    if value.get("type") == _IMAGE_GENERATOR and (settings := _image_generator(value)) is not None:
        # The GUI takes these for a board because of their board_id, and from then on fails at every Invoke.
        return settings
    for key in ("image_name", "video_name", "board_id", "style_preset_id", "system_prompt_id"):
        if (named := parse_named(value, key)) is not None:
            return named
    for parsed in (_model(value, models), parse_color(value), *(generator(value) for generator in _GENERATORS)):
        if parsed is not None:
            return parsed
    return UNSET


def parse_named(value: Any, key: str) -> dict[str, str] | None:
    """An object that names an image, a board and the like under `key`."""
    name = value.get(key) if isinstance(value, dict) else None
    return {key: trim(name)} if isinstance(name, str) and trim(name) else None


def _model(value: Any, models: ModelVocabulary) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    for key in ("key", "hash", "name"):
        if not isinstance(value.get(key), str) or not value[key]:
            return None
    if value.get("base") not in models.bases or value.get("type") not in models.types:
        return None
    kept = {key: value[key] for key in ("key", "hash", "name", "base", "type")}
    if "submodel_type" not in value:
        return kept
    submodel = value["submodel_type"]
    return kept | {"submodel_type": submodel} if submodel is None or submodel in models.submodels else None


def _lora(value: Any, models: ModelVocabulary) -> dict[str, Any] | None:
    lora = _model(value.get("lora"), models) if isinstance(value, dict) else None
    if lora is None or not is_number(value.get("weight")):
        return None
    return {"lora": lora, "weight": value["weight"]}


def parse_color(value: Any) -> dict[str, int] | None:
    """Four channels from 0 to 255."""
    if not isinstance(value, dict):
        return None
    channels = {key: value.get(key) for key in "rgba"}
    if all(isinstance(item, int) and is_number(item) and 0 <= item <= 255 for item in channels.values()):
        return {key: int(item) for key, item in channels.items() if item is not None}
    return None


def is_number(value: Any) -> bool:
    """A JSON number; a boolean is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """An integer that JavaScript holds exactly; the GUI takes no other for one."""
    return isinstance(value, int) and is_number(value) and abs(value) <= MAX_SAFE_INTEGER


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_numbers(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(is_number(item) for item in value))


def _is_optional_integer(value: Any) -> bool:
    return value is None or is_integer(value)


def _is_count(value: Any) -> bool:
    return is_integer(value) and value >= 1


def _generator(
    kind: str, fields: Mapping[str, tuple[Check, Any | Unset]]
) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """A parser for the settings of one kind of generator: missing ones get their default, wrong ones reject."""

    def parse(value: dict[str, Any]) -> dict[str, Any] | None:
        if value.get("type", kind) != kind:
            return None
        parsed: dict[str, Any] = {"type": kind}
        for name, (check, default) in fields.items():
            item = value.get(name, default)
            if item is UNSET:
                continue
            if name in value and not check(item):
                return None
            parsed[name] = item
        return parsed

    return parse


_IMAGE_GENERATOR: Final = "image_generator_images_from_board"


def _image_generator(value: dict[str, Any]) -> dict[str, Any] | None:
    kind = _IMAGE_GENERATOR
    if value.get("type", kind) != kind or value.get("category", "images") not in ("images", "assets"):
        return None
    board = {} if "board_id" not in value else parse_named(value, "board_id")
    return None if board is None else {"type": kind} | board | {"category": value.get("category", "images")}


_FLOAT_COUNT: Final = {"count": (is_integer, 10), "values": (_is_numbers, UNSET)}
_DYNAMIC_PROMPT: Final = (_is_text, "a super {cute|ferocious} {dog|cat}")

_GENERATORS: Final = (
    _generator(
        "float_generator_arithmetic_sequence", {"start": (is_number, 0), "step": (is_number, 0.1), **_FLOAT_COUNT}
    ),
    _generator("float_generator_linear_distribution", {"start": (is_number, 0), "end": (is_number, 1), **_FLOAT_COUNT}),
    _generator(
        "float_generator_random_distribution_uniform",
        {
            "min": (is_number, 0),
            "max": (is_number, 1),
            "count": (is_integer, 10),
            "seed": (_is_optional_integer, UNSET),
            "values": (_is_numbers, UNSET),
        },
    ),
    _generator(
        "float_generator_parse_string",
        {
            "input": (_is_text, "0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1"),
            "splitOn": (_is_text, ","),
            "values": (_is_numbers, UNSET),
        },
    ),
    _generator(
        "integer_generator_arithmetic_sequence",
        {"start": (is_integer, 0), "step": (is_integer, 1), "count": (is_integer, 10)},
    ),
    _generator(
        "integer_generator_linear_distribution",
        {"start": (is_integer, 0), "end": (is_integer, 10), "count": (is_integer, 10)},
    ),
    _generator(
        "integer_generator_random_distribution_uniform",
        {
            "min": (is_integer, 0),
            "max": (is_integer, 10),
            "count": (is_integer, 10),
            "seed": (_is_optional_integer, UNSET),
        },
    ),
    _generator(
        "integer_generator_parse_string",
        {"input": (_is_text, "1,2,3,4,5,6,7,8,9,10"), "splitOn": (_is_text, ",")},
    ),
    _generator("string_generator_parse_string", {"input": (_is_text, "foo,bar,baz,qux"), "splitOn": (_is_text, ",")}),
    _generator(
        "string_generator_dynamic_prompts_combinatorial", {"input": _DYNAMIC_PROMPT, "maxPrompts": (_is_count, 10)}
    ),
    _generator(
        "string_generator_dynamic_prompts_random",
        {"input": _DYNAMIC_PROMPT, "count": (_is_count, 10), "seed": (_is_optional_integer, UNSET)},
    ),
    _image_generator,
)
