"""The values of a call of `run`: the workflow with its base values, and the lists and rows of many runs.

Everything that is wrong with them is told at once, before anything is sent.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invokeai_gen.cli.assignments import read_assignments
from invokeai_gen.cli.run.axes import Axes, read_axes
from invokeai_gen.cli.terminal import print_messages
from invokeai_gen.core.dynamic_params import params_type
from invokeai_gen.core.field_values import default_of
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError, Problem, shown, title
from invokeai_gen.js_json import UNSET
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.sweeps.space import Space, space_of
from invokeai_gen.sweeps.workflow import Workflow

if TYPE_CHECKING:
    from invokeai_gen.cli.run.call import Call

_MEDIA = ("ImageField", "VideoField")


@dataclass(frozen=True, slots=True)
class RunValues:
    """What a workflow is run with."""

    workflow: Workflow[WorkflowParams, WorkflowOutputs]
    """Its class of parameters has the values of the command line as defaults."""
    product: Mapping[str, Sequence[Any]]
    zipped: Mapping[str, Sequence[Any]]
    rows: Sequence[WorkflowParams] | None

    @property
    def base(self) -> WorkflowParams | None:
        """The values that do not change; `None` where the rows have them."""
        return None if self.rows is not None else self.workflow.params_type()

    def space(self) -> Space[WorkflowParams]:
        """All the points that are run. Raises `ParamsError`."""
        return space_of(self.workflow.params_type, self.base, product=self.product, zipped=self.zipped, rows=self.rows)


def workflow_of(plan: WorkflowPlan, values: Mapping[str, Any]) -> Workflow[WorkflowParams, WorkflowOutputs]:
    """The workflow with these values as its defaults."""
    defaults = {planned.name: default_of(planned) for planned in plan.inputs if planned.fed_by is None}
    known = {name: value for name, value in {**defaults, **values}.items() if value is not UNSET}
    return Workflow(plan, params=params_type(plan, known), outputs=WorkflowOutputs)


def read_values(plan: WorkflowPlan, call: Call, inputs: Mapping[str, tuple[str, str]]) -> RunValues:
    """The values of a call; where some are wrong, tells all of them and leaves.

    `inputs` has, by Python name, the option that an input was given with and its text.
    """
    own = [f"{name}={text}" for name, (_, text) in inputs.items()]
    assigned, unassigned = read_assignments(plan, [*call.assignments, *own], call.params)
    axes = read_axes(plan, each=call.each, product=call.product, zipped=call.zipped)
    mistakes = [(str(item.source or "--set"), Problem("", item.problem)) for item in unassigned]
    for item in assigned:
        problem = item.problem or _without_file(item.planned, item.value)
        if problem:
            option = inputs.get(item.planned.name, ("--set", ""))[0]
            mistakes.append((str(item.source or option), Problem(item.planned.name, problem)))
    mistakes += axes.mistakes
    mistakes += _axes_without_files(plan, axes)
    values = {item.planned.name: item.value for item in assigned if not item.problem}
    values |= {name: found[0] for name, found in {**axes.zipped, **axes.product}.items()}
    workflow = workflow_of(plan, values)
    rows = None
    try:
        if call.csv is not None:
            rows = workflow.read_csv(call.csv)
        elif call.jsonl is not None:
            rows = workflow.read_jsonl(call.jsonl)
        else:
            _require(workflow, {*values, *(problem.name for _, problem in mistakes)})
    except ParamsError as error:
        mistakes += [("", problem) for problem in error.problems]
    if mistakes:
        _tell(plan, mistakes)
        sys.exit(1)
    return RunValues(workflow, axes.product, axes.zipped, rows)


@contextlib.contextmanager
def told_with_index(plan: WorkflowPlan) -> Iterator[None]:
    """Tells what is wrong with values, each with the index of its input, and leaves."""
    try:
        yield
    except ParamsError as error:
        _tell(plan, [("", problem) for problem in error.problems])
        sys.exit(1)


def _require(workflow: Workflow[WorkflowParams, Any], told: set[str]) -> None:
    """Raises `ParamsError` for inputs without a value of which nothing has been told yet."""
    try:
        workflow.params_type()
    except ParamsError as error:
        missing = [problem for problem in error.problems if problem.name not in told]
        if missing:
            raise ParamsError(missing) from None


def _tell(plan: WorkflowPlan, mistakes: Sequence[tuple[str, Problem]]) -> None:
    """Each mistake with its option and the index of its input."""

    indexes = {planned.name: planned.index for planned in plan.inputs}
    for place, problem in mistakes:
        index = indexes.get(problem.name)
        where = [place] if place else []
        if index is not None and not getattr(problem, "row", 0):
            where.append(f"(input {index})" if place else f"input {index}")
        print_messages("error", [problem.message], source=" ".join(where))


def _axes_without_files(plan: WorkflowPlan, axes: Axes) -> Iterator[tuple[str, Problem]]:
    media = {planned.name: planned for planned in plan.inputs if planned.field_type in _MEDIA}
    for option, lists in (("--product", axes.product), ("--zip", axes.zipped)):
        for name in lists.keys() & media.keys():
            for value in lists[name]:
                if problem := _without_file(media[name], value):
                    yield option, Problem(name, problem)


def _without_file(planned: PlannedInput, value: Any) -> str:
    """What is wrong with an image or video that can only be a file, and is none; empty where nothing is."""
    for item in value if isinstance(value, list) else [value]:
        is_path = isinstance(item, Path) or (isinstance(item, str) and ("/" in item or "\\" in item))
        if planned.field_type in _MEDIA and is_path and not os.path.isfile(item):
            return f"{title(planned)} is {shown(str(item))}, but there is no such file"
    return ""
