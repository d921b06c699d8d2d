"""An input in words, as `inspect`, the help of `run` and questions to the user explain it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.cli.terminal import few

if TYPE_CHECKING:
    from invokeai_gen.core.plan import PlannedInput

_KINDS: Final = {
    "IntegerField": ("integer", "INTEGER"),
    "FloatField": ("number", "NUMBER"),
    "StringField": ("text", "TEXT"),
    "BooleanField": ("true or false", "[true|false]"),
    "ImageField": ("image", "IMAGE"),
    "VideoField": ("video", "VIDEO"),
    "BoardField": ("board", "BOARD"),
    "ModelIdentifierField": ("model", "MODEL"),
    "ColorField": ("colour", "COLOR"),
    "BoundingBoxField": ("box", "LEFT,TOP-RIGHT,BOTTOM"),
    "LoRAField": ("LoRA", "LORA[@WEIGHT],…"),
    "SchedulerField": ("scheduler", "JSON"),
    "EnumField": ("choice", "JSON"),
}
"""What a value of each type of field is called in sentences, and in the place of a value."""
_MAX_CHOICES: Final = 60


def metavar_of(planned: PlannedInput) -> str:
    """Return the placeholder for a value of the input in help texts."""
    if planned.cardinality == "COLLECTION" and planned.field_type != "LoRAField":
        return "JSON"
    return "CHOICE" if planned.choices else _KINDS.get(planned.field_type, ("", "JSON"))[1]


def kind_of(planned: PlannedInput) -> str:
    """Return what kind of value the input takes, in a word or two."""
    kind = _KINDS.get(planned.field_type, (planned.field_type.removesuffix("Field") or "JSON", ""))[0]
    if planned.cardinality == "COLLECTION":
        return f"list of {kind}"
    return kind if planned.cardinality == "SINGLE" else f"{kind} or list of {kind}"


def allowed_values(planned: PlannedInput, *, most: int = _MAX_CHOICES) -> list[str]:
    """Return what the input accepts beyond its kind, such as `64 or more`; of choices, at most `most`."""
    from invokeai_gen.core import field_values

    if not planned.choices:
        texts = [text.replace("`", "") for text in field_values.allowed_values(planned)]
        return [text[:1].lower() + text[1:] for text in texts]
    names: list[str] = []
    for choice in planned.choices:
        label = planned.choice_labels.get(str(choice), "")
        names.append(f"{choice} ({label})" if label and label.casefold() != str(choice).casefold() else str(choice))
    return [f"one of {few(names, most)}"]


def default_of_input(planned: PlannedInput, *, cut: bool = True) -> str:
    """Return `required`, `may be left empty`, or `default …` in the spelling that the command line accepts."""
    from invokeai_gen.core.field_values import default_of
    from invokeai_gen.js_json import UNSET
    from invokeai_gen.texts import shortened

    value = default_of(planned)
    if value is UNSET:
        return "required"
    if value is None:
        return "may be left empty"
    text = repr(value) if isinstance(value, str) else text_of(value)
    return f"default {shortened(text) if cut else text}"


def is_required(planned: PlannedInput) -> bool:
    """Return whether the input can be set and has no default."""
    from invokeai_gen.core.field_values import default_of
    from invokeai_gen.js_json import UNSET

    return planned.fed_by is None and default_of(planned) is UNSET


def text_of(value: Any) -> str:
    """Return a value in a spelling that the command line and the cells of a table accept for its input."""
    from invokeai_gen.core.json_writing import to_json
    from invokeai_gen.core.short_texts import short_text
    from invokeai_gen.core.values import ImageRef, LoRA, VideoRef

    if isinstance(value, (ImageRef, VideoRef)):
        return value.name
    if isinstance(value, list) and value and all(isinstance(item, LoRA) for item in value):
        texts = list(map(short_text, value))
        if not any({",", '"'} & set(text) for text in texts):
            return ",".join(texts)
    if isinstance(value, (list, dict)):
        return json.dumps(to_json(value), ensure_ascii=False)
    return short_text(value)
