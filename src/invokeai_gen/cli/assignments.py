"""Values from text: `--set NAME=VALUE` and `--params FILE`."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invokeai_gen import js_reading
from invokeai_gen.cli.files import read_bytes
from invokeai_gen.core.field_values import check_value
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError, about
from invokeai_gen.core.text_values import find_input, json_of_text, value_of_json
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.texts import shown


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value for an input, checked."""

    planned: PlannedInput
    value: Any
    source: Path | None = None
    """The file of `--params` that has it; `None` for the command line."""
    problem: str = ""
    """What is wrong with the value; empty if nothing is."""
    is_random: bool = False
    """The value was drawn, because the command line said `random`."""


def read_assignments(
    plan: WorkflowPlan, assignments: Iterable[tuple[str, str]], params: Path | None, *, needs_files: bool = True
) -> tuple[list[Assignment], list[tuple[Path | None, str]]]:
    """Return the last value of each input that has one, and what is wrong with other names, each with its file.

    `--set` wins over `--params`. `needs_files=False` accepts paths of images and videos that do not exist.
    """
    found: dict[tuple[str, str], Assignment] = {}
    unknown: list[tuple[Path | None, str]] = []
    for name, value, source in [*_from_file(params), *((name, text, None) for name, text in assignments)]:
        try:
            planned = find_input(plan, name)
        except ParamsError as error:
            unknown += [(source, problem.message) for problem in error.problems]
        else:
            found[planned.binding] = _assigned(planned, value, source, needs_files=needs_files)
    return list(found.values()), unknown


def random_value(planned: PlannedInput) -> int:
    """Return a random number that an integer input accepts; for a seed, any of InvokeAI's 2**32 seeds."""
    limits = planned.constraints
    low = math.ceil(limits.ge if limits.ge is not None else limits.gt + 1 if limits.gt is not None else 0)
    high = math.floor(limits.le if limits.le is not None else limits.lt - 1 if limits.lt is not None else 2**32 - 1)
    step = int(limits.multiple_of or 1)
    first = -(-low // step)
    return step * random.SystemRandom().randint(first, max(first, high // step))


def read_value(planned: PlannedInput, text: str, *, needs_files: bool = True) -> Any:
    """Return the checked value of a text for an input; `random` draws an integer. Raise `ParamsError`."""
    if _is_random(planned, text):
        return random_value(planned)
    return checked(planned, json_of_text(planned, text), needs_files=needs_files)


def checked(planned: PlannedInput, data: JsonValue, *, needs_files: bool = True) -> Any:
    """Return JSON data as the value of an input. Raise `ParamsError`, also for a file that does not exist.

    A text without a folder that names no file may be an image on the server.
    """
    value = check_value(planned, value_of_json(planned, data))
    if planned.field_type in ("ImageField", "VideoField") and needs_files:
        for item in value if isinstance(value, list) else [value]:
            is_path = isinstance(item, Path) or (isinstance(item, str) and ("/" in item or "\\" in item))
            if is_path and not os.path.isfile(item):
                raise ParamsError([about(planned, f" is {shown(str(item))}, but this file does not exist")])
    return value


def _is_random(planned: PlannedInput, text: str) -> bool:
    return text.strip() == "random" and planned.field_type == "IntegerField" and planned.cardinality == "SINGLE"


def _assigned(planned: PlannedInput, value: Any, source: Path | None, *, needs_files: bool) -> Assignment:
    try:
        if source is not None:
            return Assignment(planned, checked(planned, value, needs_files=needs_files), source)
        read = read_value(planned, value, needs_files=needs_files)
        return Assignment(planned, read, is_random=_is_random(planned, value))
    except ParamsError as error:
        return Assignment(planned, value, source, "; ".join(problem.message for problem in error.problems))


def _from_file(path: Path | None) -> Iterator[tuple[str, JsonValue, Path]]:
    if path is None:
        return
    try:
        data = js_reading.loads(read_bytes(path))
    except ValueError as error:
        raise InvokeAIGenError(f"{path}: not JSON: {error}") from error
    if not isinstance(data, Mapping):
        raise InvokeAIGenError(f'{path}: expected a JSON object {{"NAME": VALUE, …}}, found {json.dumps(data)[:60]}')
    for name, value in data.items():
        yield name, value, path
