"""Values that come as text: `--set NAME=VALUE` and `--params FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen import json_js
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.runtime import problems
from invokeai_gen.runtime.field_values import check_value, from_json
from invokeai_gen.runtime.problems import ParamsError

if TYPE_CHECKING:
    from invokeai_gen.runtime.plan import JsonValue, PlannedInput, WorkflowPlan

_TEXT_TYPES: Final = frozenset(
    {"StringField", "EnumField", "SchedulerField", "SavedWorkflowField", "ImageField", "VideoField", "BoardField"}
    | {"ModelIdentifierField", "ColorField"}
)
"""Types whose single value is written as it is; all others, and their collections, are written as JSON."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value for an input, checked."""

    planned: PlannedInput
    value: Any
    source: Path | None = None
    """The file of `--params` that has it; `None` for the command line."""
    problem: str = ""
    """What is wrong with the value; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class Unassigned:
    """A name that is no input, or that of one which cannot be set."""

    problem: str
    source: Path | None
    """As of an `Assignment`."""


def read_assignments(
    plan: WorkflowPlan, assignments: Iterable[str], params: Path | None
) -> tuple[list[Assignment], list[Unassigned]]:
    """The last value for each input that has one, and every name that takes none; `--set` wins over `--params`."""
    found: dict[tuple[str, str], Assignment] = {}
    unknown: list[Unassigned] = []
    for name, value, source in [*_from_file(params), *_from_options(assignments)]:
        try:
            planned = find_input(plan, name)
        except ParamsError as error:
            unknown += [Unassigned(problem.message, source) for problem in error.problems]
        else:
            found[planned.binding] = _checked(planned, value, source)
    return list(found.values()), unknown


def find_input(plan: WorkflowPlan, name: str) -> PlannedInput:
    """The input of that index, Python name or label. Raises `ParamsError`, which names what comes close."""
    if name.isascii() and name.isdigit():
        for planned in plan.inputs:
            if planned.index == int(name):
                return _settable(planned)
        raise ParamsError([problems.unknown_index(int(name), plan.inputs)])
    for planned in plan.inputs:
        if planned.name == name:
            return _settable(planned)
    labelled = [planned for planned in plan.inputs if planned.label == name]
    if len(labelled) > 1:
        names = ", ".join(f"{planned.name} (index {planned.index})" for planned in labelled)
        message = f"{len(labelled)} inputs are labelled {problems.shown(name)}: say which by name or index: {names}"
        raise ParamsError([problems.Problem(name, message)])
    if labelled:
        return _settable(labelled[0])
    raise ParamsError([problems.unsettable(name, {planned.name: planned for planned in plan.inputs})])


def _settable(planned: PlannedInput) -> PlannedInput:
    if planned.fed_by is not None:
        raise ParamsError([problems.unsettable(planned.name, {planned.name: planned})])
    return planned


def _checked(planned: PlannedInput, value: Any, source: Path | None) -> Assignment:
    if source is None and not _is_plain(planned, value):
        try:
            value = json_js.loads(value)
        except ValueError:
            if planned.field_type not in _TEXT_TYPES:
                expected = f"{problems.title(planned)} is {problems.shown(value)}, but should be JSON"
                return Assignment(planned, value, source, f"{expected}, such as 768, 0.5, true or [1, 2]")
    try:
        python_value = from_json(value)
    except (TypeError, ValueError) as error:  # an object with the keys of a colour, but not the values of one
        return Assignment(planned, value, source, f"{problems.title(planned)} is {problems.shown(value)}: {error}")
    if planned.field_type == "FloatField" and isinstance(python_value, int) and not isinstance(python_value, bool):
        python_value = float(python_value)
    try:
        return Assignment(planned, check_value(planned, python_value), source)
    except ParamsError as error:
        return Assignment(planned, python_value, source, "; ".join(problem.message for problem in error.problems))


def _is_plain(planned: PlannedInput, text: str) -> bool:
    """The text is the value itself: no JSON of a list, a number, or an object such as a model identifier."""
    has_numbers_to_choose = planned.choices and not any(isinstance(choice, str) for choice in planned.choices)
    return (
        planned.field_type in _TEXT_TYPES
        and planned.cardinality == "SINGLE"
        and not has_numbers_to_choose
        and not text.lstrip().startswith("{")
    )


def _from_options(assignments: Iterable[str]) -> Iterator[tuple[str, str, None]]:
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        yield name.strip(), value, None


def _from_file(path: Path | None) -> Iterator[tuple[str, JsonValue, Path]]:
    if path is None:
        return
    try:
        data = json_js.loads(path.read_bytes())
    except OSError as error:
        raise InvokeAIGenError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InvokeAIGenError(f"{path}: not JSON: {error}") from error
    if not isinstance(data, Mapping):
        raise InvokeAIGenError(f'{path}: expected a JSON object {{"NAME": VALUE, …}}, found {json.dumps(data)[:60]}')
    for name, value in data.items():
        yield name, value, path
