"""The settings of generator nodes: the kinds that exist, the fields of each, and their defaults.

Workflow files contain them and `Params` takes them; `invokeai_gen.core.generators` makes the lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.js_reading import is_integer, is_number, trim

Check = Callable[[Any], bool]


IMAGE_GENERATOR: Final = "image_generator_images_from_board"

GENERATOR_FIELDS: Final[Mapping[str, str]] = {
    "FloatGeneratorField": "float_generator_arithmetic_sequence",
    "IntegerGeneratorField": "integer_generator_arithmetic_sequence",
    "StringGeneratorField": "string_generator_parse_string",
    "ImageGeneratorField": IMAGE_GENERATOR,
}
"""The types of field that hold settings, each with the kind that a new node starts with."""


def parse_settings(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return settings as the first kind that they fit, missing fields set to their defaults; `None` if they fit none.

    An object without a `type` fits the first kind that it does not contradict in its own fields. That is how the GUI comes
    to take any object of unknown shape for a float generator.
    """
    for kind, fields in _KINDS.items():
        is_kind = value.get("type", kind) == kind
        if is_kind and all(check(value[name]) for name, (check, _) in fields.items() if name in value):
            filled = {name: value.get(name, default) for name, (_, default) in fields.items()}
            found = {"type": kind, **{name: item for name, item in filled.items() if item is not UNSET}}
            return found | {"board_id": trim(found["board_id"])} if "board_id" in found else found
    return None


def default_settings(field_type: str) -> dict[str, Any]:
    """Return the settings of a new node whose field has one of the types in `GENERATOR_FIELDS`."""
    settings = parse_settings({"type": GENERATOR_FIELDS[field_type]})
    assert settings is not None
    return settings


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_numbers(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(is_number(item) for item in value))


def _is_optional_integer(value: Any) -> bool:
    return value is None or is_integer(value)


def _is_count(value: Any) -> bool:
    return is_integer(value) and value >= 1


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and trim(value) != ""


def _is_category(value: Any) -> bool:
    return value in ("images", "assets")


_FLOAT_COUNT: Final = {"count": (is_integer, 10), "values": (_is_numbers, UNSET)}
_DYNAMIC_PROMPT: Final = (_is_text, "a super {cute|ferocious} {dog|cat}")

_KINDS: Final[Mapping[str, Mapping[str, tuple[Check, Any | Unset]]]] = {
    "float_generator_arithmetic_sequence": {"start": (is_number, 0), "step": (is_number, 0.1), **_FLOAT_COUNT},
    "float_generator_linear_distribution": {"start": (is_number, 0), "end": (is_number, 1), **_FLOAT_COUNT},
    "float_generator_random_distribution_uniform": {
        "min": (is_number, 0),
        "max": (is_number, 1),
        "count": (is_integer, 10),
        "seed": (_is_optional_integer, UNSET),
        "values": (_is_numbers, UNSET),
    },
    "float_generator_parse_string": {
        "input": (_is_text, "0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1"),
        "splitOn": (_is_text, ","),
        "values": (_is_numbers, UNSET),
    },
    "integer_generator_arithmetic_sequence": {
        "start": (is_integer, 0),
        "step": (is_integer, 1),
        "count": (is_integer, 10),
    },
    "integer_generator_linear_distribution": {
        "start": (is_integer, 0),
        "end": (is_integer, 10),
        "count": (is_integer, 10),
    },
    "integer_generator_random_distribution_uniform": {
        "min": (is_integer, 0),
        "max": (is_integer, 10),
        "count": (is_integer, 10),
        "seed": (_is_optional_integer, UNSET),
    },
    "integer_generator_parse_string": {"input": (_is_text, "1,2,3,4,5,6,7,8,9,10"), "splitOn": (_is_text, ",")},
    "string_generator_parse_string": {"input": (_is_text, "foo,bar,baz,qux"), "splitOn": (_is_text, ",")},
    "string_generator_dynamic_prompts_combinatorial": {"input": _DYNAMIC_PROMPT, "maxPrompts": (_is_count, 10)},
    "string_generator_dynamic_prompts_random": {
        "input": _DYNAMIC_PROMPT,
        "count": (_is_count, 10),
        "seed": (_is_optional_integer, UNSET),
    },
    IMAGE_GENERATOR: {"board_id": (_is_filled, UNSET), "category": (_is_category, "images")},
}
"""The fields of each kind: the check of a value, and the default of a missing one."""
