"""Values that come as text: `--set NAME=VALUE` and `--params FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invokeai_gen import js_json
from invokeai_gen.core.field_values import check_value
from invokeai_gen.core.input_lookup import find_input
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.text_values import json_of_text, value_of_json
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan


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


def _checked(planned: PlannedInput, value: Any, source: Path | None) -> Assignment:
    try:
        if source is None:
            value = json_of_text(planned, value)
        value = value_of_json(planned, value)
        return Assignment(planned, check_value(planned, value), source)
    except ParamsError as error:
        return Assignment(planned, value, source, "; ".join(problem.message for problem in error.problems))


def _from_options(assignments: Iterable[str]) -> Iterator[tuple[str, str, None]]:
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        yield name.strip(), value, None


def _from_file(path: Path | None) -> Iterator[tuple[str, JsonValue, Path]]:
    if path is None:
        return
    try:
        data = js_json.loads(path.read_bytes())
    except OSError as error:
        raise InvokeAIGenError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InvokeAIGenError(f"{path}: not JSON: {error}") from error
    if not isinstance(data, Mapping):
        raise InvokeAIGenError(f'{path}: expected a JSON object {{"NAME": VALUE, …}}, found {json.dumps(data)[:60]}')
    for name, value in data.items():
        yield name, value, path
