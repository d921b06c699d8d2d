"""Lists of values from text: `--product NAME=1,2,3`, `--zip`, `--each NAME=photos/*.png`, `--replace` and `--dynamic`."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from invokeai_gen import js_reading
from invokeai_gen.cli.assignments import checked, read_value
from invokeai_gen.cli.help import did_you_mean
from invokeai_gen.cli.run.command_line import CommandLine
from invokeai_gen.core.field_values import check_value, default_of
from invokeai_gen.core.plan import PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError, Problem, about, title, unsettable
from invokeai_gen.core.text_values import find_input, json_of_text
from invokeai_gen.js_json import UNSET
from invokeai_gen.sweeps.dynamic_prompts import DynamicPrompts
from invokeai_gen.sweeps.files.sources import TableError, image_files, read_prompts
from invokeai_gen.texts import shown

_NUMBER: Final = r"[+-]?[0-9]+(?:\.[0-9]+)?"
_RANGE: Final = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?")
_REPLACEMENT: Final = re.compile(
    r'\s*(?:"(?P<quoted>(?:[^"]|"")+)"\s*|(?P<plain>[^":][^:]*)):(?P<others>.+)', re.DOTALL
)
_RANGES_GO_INTO: Final = frozenset({"IntegerField", "FloatField"})
_OPTION: Final = re.compile(r"(?:^|\s)--([^\W\d][\w-]*)(?:=|(?=\s)|$)")
_QUOTES: Final = ("'", '"')
_MAX_VALUES: Final = 1_000_000
_MAX_SHOWN: Final = 10
"""Mistakes of one list that are printed."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Lists of values by Python name, each value checked, and what is wrong with the others."""

    product: dict[str, list[Any] | DynamicPrompts]
    zipped: dict[str, list[Any]]
    replaced: dict[str, dict[str, list[str]]]
    """The words that stand in place of each word of a text."""
    mistakes: list[tuple[str, Problem]]
    """Each with its option."""
    options: dict[str, str]
    """The option of each input that was given one of these lists."""


def read_axes(line: CommandLine, base: Mapping[str, Any]) -> Axes:
    """Return the lists of all options; `--each` and `--dynamic` make axes of the product, as `--product` does.

    If the lines of a prompt file have options, its lists advance together; `base` has the values of other lines.
    """
    axes = Axes({}, {}, {}, [], {})
    options = {
        "--each": line.each,
        "--product": line.product,
        "--dynamic": line.dynamic,
        "--zip": line.zipped,
        "--replace": line.replaced,
    }
    for option, given in options.items():
        for name, values in given:
            planned = None
            try:
                planned = find_input(line.plan, name)
                before = axes.options.get(planned.name)
                if before is not None and not option == before == "--replace":
                    raise _error(planned, f"has several lists of values, {before} and {option}: keep one")
                axes.options[planned.name] = option
                match option:
                    case "--replace":  # perhaps several words of one text
                        axes.replaced.setdefault(planned.name, {}).update(words_of_text(planned, values))
                    case "--dynamic" if not _is_text(planned):
                        raise _error(planned, "takes no --dynamic, which is for texts: use --product")
                    case "--dynamic":
                        axes.product[planned.name] = DynamicPrompts(values, line.max_prompts)
                    case "--each" if _is_text(planned):
                        lists = prompt_lists(line.plan, planned, os.path.expanduser(values), base)
                        (axes.zipped if len(lists) > 1 else axes.product).update(lists)
                    case "--each":
                        axes.product[planned.name] = values_of_files(planned, values)
                    case "--zip":
                        axes.zipped[planned.name] = values_of_text(planned, values)
                    case _:
                        axes.product[planned.name] = values_of_text(planned, values)
            except ParamsError as error:
                mistakes = [*error.problems[:_MAX_SHOWN]]
                if more := len(error.problems) - len(mistakes):
                    mistakes.append(Problem("", f"and {more} more"))
                axes.mistakes.extend((option, _about(planned, problem)) for problem in mistakes)
    return axes


def values_of_text(planned: PlannedInput, text: str) -> list[Any]:
    """Return the values of `1,2,3`, `1..100`, `0..1..0.25`, `"a, b",c` or a JSON list. Raise `ParamsError`."""
    values: list[Any] = []
    wrong: list[Problem] = []
    for part in _parts(planned, text):
        try:
            data = json_of_text(planned, part) if isinstance(part, str) else part
            values.append(checked(planned, data))
        except ParamsError as error:
            wrong += error.problems
    if wrong:
        raise ParamsError(wrong)
    if not values:
        raise _error(planned, "has an empty list of values")
    return values


def values_of_files(planned: PlannedInput, text: str) -> list[Any]:
    """Return the images of a folder or pattern. Raise `ParamsError`."""
    if planned.field_type == "ImageField" and planned.cardinality != "COLLECTION":
        return [check_value(planned, path) for path in image_files(os.path.expanduser(text))]
    raise _error(
        planned, "takes no --each, which is for images (a folder or pattern) and texts (a file): use --product"
    )


def words_of_text(planned: PlannedInput, text: str) -> dict[str, list[str]]:
    """Return `{"fox": ["owl", "cat"]}` for `fox:owl,cat`; a word with a colon or comma is quoted. Raise `ParamsError`."""
    found = _REPLACEMENT.fullmatch(text)
    rows = csv.reader([found["others"]], skipinitialspace=True) if found is not None else ()
    others = [word.strip() for row in rows for word in row]
    if found is None or not all(others) or not others:
        raise _error(planned, f"has {shown(text)} to replace: write WORD:OTHER,OTHER, such as fox:owl,cat")
    return {found["plain"].strip() if found["quoted"] is None else found["quoted"].replace('""', '"'): others}


def _is_text(planned: PlannedInput) -> bool:
    return planned.field_type == "StringField" and planned.cardinality != "COLLECTION" and not planned.choices


def _parts(planned: PlannedInput, text: str) -> Iterator[Any]:
    """Yield each value of a list: a text for `json_of_text`, or JSON data."""
    if planned.cardinality == "COLLECTION":
        yield from _lists(planned, text)
    elif text.lstrip().startswith("["):
        yield from _json_list(planned, text)
    else:
        rows = csv.reader([text], skipinitialspace=True)
        for part in (cell.strip() for row in rows for cell in row):
            found = _RANGE.fullmatch(part) if planned.field_type in _RANGES_GO_INTO else None
            if found is None:
                yield part
            else:
                yield from map(str, _range(planned, part, *found.groups()))


def _json_list(planned: PlannedInput, text: str) -> list[Any]:
    try:
        data = js_reading.loads(text)
    except ValueError as error:
        raise _error(planned, f"is {shown(text)}, which is not a JSON list: {error}") from None
    assert isinstance(data, list)
    return data


def _lists(planned: PlannedInput, text: str) -> list[Any]:
    """Return lists that are written one after another, or inside a list of their own."""
    data = _json_list(planned, f"[{text}]")
    if len(data) == 1 and isinstance(data[0], list) and data[0] and all(isinstance(item, list) for item in data[0]):
        data = data[0]
    if not all(isinstance(item, list) for item in data):
        raise _error(planned, "takes lists: write them as JSON, one after another, such as [1, 2], [3]")
    return data


def _range(planned: PlannedInput, text: str, start: str, end: str, step: str | None) -> Iterator[Decimal]:
    """Yield the numbers from start to end, both included."""
    first, last = Decimal(start), Decimal(end)
    by = Decimal(step) if step is not None else Decimal(1 if last >= first else -1)
    if not by or (last - first) / by < 0:
        raise _error(planned, f"is the range {shown(text)}, whose step leads away from its end")
    count = int((last - first) // by) + 1
    if count > _MAX_VALUES:
        raise _error(planned, f"is the range {shown(text)} of {count} values; more than {_MAX_VALUES}")
    for place in range(count):
        yield first + place * by


def _about(planned: PlannedInput | None, problem: Problem) -> Problem:
    """Return a problem that is about a file as a problem of the input."""
    return problem if planned is None or problem.name else replace(problem, name=planned.name, label=planned.label)


def _error(planned: PlannedInput, problem: str) -> ParamsError:
    return ParamsError([about(planned, f" {problem}")])


# -- prompt files: each line may have options of its own, `a fox in the snow --width 768 --seed 7` ----------------------


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
