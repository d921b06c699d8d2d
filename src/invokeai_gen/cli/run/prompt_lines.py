"""Prompts in a text file, each with options of its own: `a fox in the snow --width 768 --seed 7`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.cli.assignments import read_value
from invokeai_gen.cli.help import did_you_mean
from invokeai_gen.core.field_values import check_value, default_of
from invokeai_gen.core.problems import ParamsError, Problem, title, unsettable
from invokeai_gen.js_json import UNSET
from invokeai_gen.sweeps.files.sources import TableError, read_prompts

if TYPE_CHECKING:
    from invokeai_gen.core.plan import PlannedInput, WorkflowPlan

_OPTION: Final = re.compile(r"(?:^|\s)--([^\W\d][\w-]*)(?:=|(?=\s)|$)")
_QUOTES: Final = ("'", '"')


def prompt_lists(
    plan: WorkflowPlan, planned: PlannedInput, path: str | os.PathLike[str], base: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Return the values of every input that the lines of a file have, all lists of one length, by Python name.

    A line without an option that others have keeps the value of `base`, else the default. Raise `ParamsError`.
    """
    rows: list[dict[str, Any]] = []
    mistakes: list[Problem] = []
    for prompt in read_prompts(path):
        try:
            rows.append(_row(plan, planned, prompt))
        except ParamsError as error:
            mistakes += [Problem(each.name, f"{prompt!r}: {each.message}", each.label) for each in error.problems]
    inputs = {item.name: item for item in plan.inputs}
    names = dict.fromkeys([planned.name, *(name for row in rows for name in row)])
    defaults = {name: base.get(name, default_of(inputs[name])) for name in names}
    for name, default in defaults.items():
        if default is UNSET and any(name not in row for row in rows):
            mistakes.append(Problem(name, f"{title(inputs[name])} has no default, and not every line has it"))
    if mistakes:
        raise TableError(mistakes)
    return {name: [row.get(name, default) for row in rows] for name, default in defaults.items()}


def _row(plan: WorkflowPlan, planned: PlannedInput, line: str) -> dict[str, Any]:
    """Return the values of one line; what comes before its first option is the prompt."""
    inputs = {item.name.strip("_").replace("_", "-"): item for item in plan.inputs if item.fed_by is None}
    found = [match for match in _OPTION.finditer(line) if _is_meant(match[1], inputs)]
    prompt = line[: found[0].start()].strip() if found else line
    row = {planned.name: check_value(planned, prompt)} if prompt else {}
    ends = [*(match.start() for match in found[1:]), len(line)]
    for match, end in zip(found, ends, strict=False):
        item = inputs.get(match[1].replace("_", "-"))
        if item is None:
            raise ParamsError([unsettable(match[1].replace("-", "_"), {each.name: each for each in plan.inputs})])
        text = line[match.end() : end].strip()
        is_switch = item.field_type == "BooleanField" and not text
        row[item.name] = read_value(item, "true" if is_switch else _unquoted(text))
    return row


def _is_meant(word: str, inputs: Mapping[str, PlannedInput]) -> bool:
    """Return whether a word after `--` is an option, perhaps a misspelt one, and not a part of the prompt."""
    name = word.replace("_", "-")
    return name in inputs or bool(did_you_mean(name, inputs))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0] else text
