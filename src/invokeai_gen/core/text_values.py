"""From text to an input and its value, on the command line and in the headings and cells of a table.

A text becomes JSON data here, which `json_values` reads like all other JSON data. Whether the input accepts the value
is decided by its own check.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen import js_json, js_reading
from invokeai_gen.core import problems
from invokeai_gen.core.field_values import runtime_type, shape_of
from invokeai_gen.core.json_values import read_value
from invokeai_gen.core.json_writing import may_be_none
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.core.short_texts import box_of_text, lora_of_text, loras_of_text
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.limits import NUMBER_LIMITS
from invokeai_gen.texts import shown

if TYPE_CHECKING:
    from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan

_FREE_TEXT: Final = frozenset({"StringField", "EnumField", "SchedulerField", "SavedWorkflowField"})
_REFERENCES: Final = frozenset({"ImageField", "VideoField", "BoardField", "ModelIdentifierField", "ColorField"})
_NUMBERS: Final = {"IntegerField": ("a whole number", "768"), "FloatField": ("a number", "0.5")}
_BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+")
_CHANNELS: Final = re.compile(r"[(\[] *([0-9]{1,3}(?: *, *[0-9]{1,3}){2,3}) *[)\]]")
_EXAMPLES: Final = {"IntegerField": "[1, 2]", "FloatField": "[0.5, 1]", "BooleanField": "[true, false]"}


def find_input(plan: WorkflowPlan, name: str) -> PlannedInput:
    """Return the input with that index, Python name or label, tried in this order; `sky-color` is `sky_color`, too.

    Raises `ParamsError` for an unknown name, with similar ones; for a label of several inputs, with their names and
    indices; and for an input that is fed by an edge, with the node at its other end.
    """
    named = {planned.name: planned for planned in plan.inputs}
    if name.isascii() and name.isdigit() and len(name) < 10:
        for planned in plan.inputs:
            if planned.index == int(name):
                return problems.settable(planned.name, named)
        raise ParamsError([problems.unknown_index(int(name), plan.inputs)])
    if name not in named:
        labelled = [planned for planned in plan.inputs if planned.label == name]
        if len(labelled) > 1:
            names = ", ".join(f"{planned.name} (index {planned.index})" for planned in labelled)
            message = f"{len(labelled)} inputs are labelled {shown(name)}: use a name or an index: {names}"
            raise ParamsError([Problem(name, message)])
        if labelled:
            name = labelled[0].name
        elif (spelled := name.replace("-", "_")) in named:
            name = spelled
    return problems.settable(name, named)


def json_of_text(planned: PlannedInput, text: str) -> JsonValue:
    """Return a text as JSON data for this input.

    * Free text is taken as it is. Anything else may have blanks around it.
    * A choice is one of the values, or one of the labels that the GUI shows for them.
    * A number is written with a decimal point. A fraction is kept even for an integer input, which then refuses it.
    * A boolean is `true`, `yes`, `1`, `false`, `no` or `0`, in any case.
    * Images, videos, boards, models, LoRAs and colours are a name, path or `#ff8000`, or an object in JSON; a colour may also be
      `(255, 128, 0)` or `[255, 128, 0]`, and a LoRA have a weight: `watercolor@0.75`.
    * `null` is `None` for an input that may be empty, unless it is one of free text.
    * Lists and everything else are JSON.

    Raises `ParamsError` for any other text, but not for a value that the input does not accept.
    """
    if planned.cardinality == "SINGLE":
        return _read_one(planned, text)
    data: JsonValue | Unset = UNSET
    with contextlib.suppress(ValueError):
        data = js_reading.loads(text)
    if isinstance(data, list):
        return data
    if planned.field_type == "LoRAField" and data is UNSET:
        return loras_of_text(text)
    if planned.cardinality == "SINGLE_OR_COLLECTION":
        return _read_one(planned, text)
    if data is not UNSET:
        return data
    example = _EXAMPLES.get(planned.field_type, '["a", "b"]')
    raise _unreadable(planned, text, f"should be a list in JSON, such as {example}")


def value_of_json(planned: PlannedInput, data: JsonValue) -> Any:
    """Return JSON data in the forms of `json_values` as the Python value of an input; not yet checked.

    Raises `ParamsError` for an object with parts that cannot be used, such as a colour channel of 300.
    """
    try:
        return read_value(runtime_type(shape_of(planned)), data)
    except (TypeError, ValueError) as error:
        raise ParamsError([problems.unusable(planned, data, str(error))]) from None


def _read_one(planned: PlannedInput, text: str) -> JsonValue:
    """Return a text as a single value."""
    kind, stripped = planned.field_type, text.strip()
    if kind in _FREE_TEXT and not planned.choices:
        return text
    if stripped == "null" and may_be_none(planned) and "null" not in planned.choices:
        return None
    if planned.choices:
        return _choice(planned, text)
    if kind in _NUMBERS:
        return _checked_number(planned, text)
    if kind == "BooleanField":
        if stripped.lower() not in _BOOLEANS:
            raise _unreadable(planned, text, "should be true or false (or yes, no, 1, 0)")
        return _BOOLEANS[stripped.lower()]
    if kind == "ColorField" and (channels := _CHANNELS.fullmatch(stripped)):
        return dict(zip("rgba", map(int, channels[1].split(",")), strict=False))
    if kind in _REFERENCES or kind == "LoRAField":
        if stripped.startswith("{"):
            with contextlib.suppress(ValueError):
                return js_reading.loads(stripped)
        return lora_of_text(stripped) if kind == "LoRAField" else stripped
    try:
        return js_reading.loads(text)
    except ValueError:
        if kind == "BoundingBoxField" and (box := box_of_text(text)) is not None:
            return box
        raise _unreadable(planned, text, "should be JSON, such as 768, 0.5, true or [1, 2]") from None


def _choice(planned: PlannedInput, text: str) -> JsonValue:
    """Return the choice with that value, else with that label and no other; other texts stay as they are, to be refused."""
    for given in (text, text.strip()):
        for option in planned.choices:
            if given == (option if isinstance(option, str) else json.dumps(option)):
                return option
        labelled = [option for option in planned.choices if given and planned.choice_labels.get(option) == given]
        if len(labelled) == 1:
            return labelled[0]
    return text if any(isinstance(option, str) for option in planned.choices) else _number(text.strip(), text)


def _checked_number(planned: PlannedInput, text: str) -> JsonValue:
    """Return a text as a number. Raises `ParamsError` that says what the input accepts."""
    stripped = text.strip()
    number = _number(stripped, None)
    if number is not None:
        return number
    kind, example = _NUMBERS[planned.field_type]
    limits = problems.range_text(item for item in planned.constraints.items() if item[0] in NUMBER_LIMITS)
    wanted = f"should be {kind}, {limits or f'such as {example}'}"
    if planned.cardinality == "SINGLE_OR_COLLECTION":
        wanted += f", or a list of them, such as {_EXAMPLES[planned.field_type]}"
    if _DECIMAL_COMMA.fullmatch(stripped):
        wanted += f"; use a decimal point, as in {stripped.replace(',', '.')}"
    raise _unreadable(planned, text, wanted)


def _number(text: str, otherwise: JsonValue) -> JsonValue:
    """Return a text as a number, as JavaScript has it (`7.0` is 7); `otherwise` for any other text."""
    if not _NUMBER.fullmatch(text):
        return otherwise
    try:
        return js_json.number(int(text) if text.isdigit() and len(text) < 400 else float(text))
    except ValueError:  # beyond what a double holds
        return otherwise


def _unreadable(planned: PlannedInput, text: str, reason: str) -> ParamsError:
    return ParamsError([problems.about(planned, f" is {shown(text)}, but {reason}", reason)])
