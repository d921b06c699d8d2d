"""The values of a call of `run`: the workflow with its base values, and the lists and rows of many runs.

Everything that is wrong with them is printed at once, before anything is sent. What is missing is asked for in a
terminal, with the choices, or the server's models that fit.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from invokeai_gen.cli.assignments import Assignment, random_value, read_assignments, read_value
from invokeai_gen.cli.explain import allowed_values, default_of_input, is_required, kind_of, text_of
from invokeai_gen.cli.run.axes import Axes, read_axes
from invokeai_gen.cli.run.command_line import CommandLine
from invokeai_gen.cli.run.results import print_tracebacks
from invokeai_gen.cli.servers import open_client
from invokeai_gen.cli.terminal import echo, few, lines_of, one_line, print_messages
from invokeai_gen.core import matching
from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.core.problems import ParamsError, Problem, missing
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server.errors import ServerError
from invokeai_gen.server.run_errors import JobFailedError, ValueResolutionError
from invokeai_gen.sweeps.dynamic_workflow import workflow_of
from invokeai_gen.sweeps.space import Space, space_of
from invokeai_gen.sweeps.workflow import Workflow

_STDIN: Final = Path("-")
_MAX_MODELS: Final = 10
"""Models that fit an input and are named."""


@dataclass(frozen=True, slots=True)
class RunValues:
    """What a workflow is run with."""

    workflow: Workflow[WorkflowParams, WorkflowOutputs]
    """Its class of parameters has the values of the command line as defaults."""
    product: Mapping[str, object]
    """A list of values for each input, or `DynamicPrompts` until the server has expanded them."""
    zipped: Mapping[str, Sequence[Any]]
    replaced: Mapping[str, Mapping[str, Sequence[str]]]
    rows: Sequence[WorkflowParams] | None
    runs: int
    given: frozenset[str] = frozenset()
    """The inputs whose values the command line has, by Python name."""

    @property
    def base(self) -> WorkflowParams | None:
        """The values that do not change; `None` if there are rows, which have all values."""
        return None if self.rows is not None else self.workflow.params_type()

    def space(self) -> Space[WorkflowParams]:
        """Return all the points to run. Raise `ParamsError`."""
        return space_of(
            self.workflow.params_type,
            self.base,
            product=self.product,
            zipped=self.zipped,
            rows=self.rows,
            replacements=self.replaced,
        )


@contextlib.contextmanager
def explained_errors(line: CommandLine, given: Collection[str] = ()) -> Iterator[None]:
    """Print errors about values with the index or the option of their input, and failed runs; exit then.

    `given` are the inputs whose values the user chose: how to set those need not be explained.
    """
    try:
        yield
    except ParamsError as error:
        _print_mistakes(line, [("", problem) for problem in error.problems])
        sys.exit(1)
    except ValueResolutionError as error:
        print_messages("error", lines_of(error))
        labels = {each.label for each in (error, *error.others)}
        names = [item.name for item in line.plan.inputs if item.label in labels and item.fed_by is None]
        unset = [line.inputs.spelling_of(name) for name in names if name not in given]
        if unset:
            print_messages("hint", [f"the workflow's own value is used; set another with {' and '.join(unset)}"])
        sys.exit(1)
    except JobFailedError as error:
        print_messages("error", lines_of(error))
        print_tracebacks([error], verbose=line.verbose)
        sys.exit(1)


class ValueReader:
    """Reads the values of one command line."""

    def __init__(self, line: CommandLine) -> None:
        self._line = line
        self._settable = [planned for planned in line.plan.inputs if planned.fed_by is None]
        self._mistakes: list[tuple[str, Problem]] = []
        """Each with the option or file that it is in."""

    def read(self) -> RunValues:
        """Return the values; if some are wrong, print all mistakes and exit. Ask for missing ones in a terminal."""
        line = self._line
        assigned = self._assigned()
        values = {item.planned.name: item.value for item in assigned}
        axes = read_axes(line, values)
        self._mistakes += axes.mistakes
        self._refuse_doubles(assigned, axes)
        runs, zipped = self._vary(assigned, axes)
        for name, found in {**zipped, **axes.product}.items():
            values[name] = found[0] if isinstance(found, list) else found.prompt
        if not self._mistakes:
            values |= self._asked(values)
        workflow = workflow_of(line.plan, values)
        rows = None
        try:
            if line.csv is not None or line.jsonl is not None:
                rows = self._rows(workflow)
            else:
                known = {*values, *(problem.name for _, problem in self._mistakes)}
                left = [item for item in self._settable if is_required(item) and item.name not in known]
                self._mistakes += [(line.inputs.spelling_of(item.name), missing(item)) for item in left]
        except ParamsError as error:
            self._mistakes += [("", problem) for problem in error.problems]
        if self._mistakes:
            _print_mistakes(self._line, self._mistakes)
            self._print_fitting_models(values)
            sys.exit(1)
        if runs > 1 and rows is None:
            self._hint_at_seeds({*zipped, *axes.product})
        return RunValues(workflow, axes.product, zipped, axes.replaced, rows, runs, frozenset(values))

    def _rows(self, workflow: Workflow[WorkflowParams, WorkflowOutputs]) -> list[WorkflowParams]:
        """Return the rows of the table that was given; `-` is stdin. Raise `ParamsError` with all its mistakes."""
        line = self._line
        given, read = (line.csv, workflow.read_csv) if line.csv is not None else (line.jsonl, workflow.read_jsonl)
        if given is not None and given != _STDIN:
            return read(given, ignore_extra=line.ignore_extra_columns)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stdin"
            path.write_bytes(sys.stdin.buffer.read())
            try:
                return read(path, ignore_extra=line.ignore_extra_columns)
            except ParamsError as error:
                named = [replace(each, message=each.message.replace(str(path), "stdin")) for each in error.problems]
                raise ParamsError(named) from None

    def _assigned(self) -> list[Assignment]:
        """Return the values of options and files, without those that are wrong."""
        given = (*self._line.assignments, *self._line.texts.items())
        assigned, unassigned = read_assignments(self._line.plan, given, self._line.params)
        self._mistakes += [(str(source or "--set"), Problem("", problem)) for source, problem in unassigned]
        for item in assigned:
            if item.problem:
                place = str(item.source or self._line.option_of(item.planned.name))
                self._mistakes.append((place, Problem(item.planned.name, item.problem)))
        return [item for item in assigned if not item.problem]

    def _refuse_doubles(self, assigned: Sequence[Assignment], axes: Axes) -> None:
        """Note the inputs that have both a single value on the command line and a list of values."""
        for item in assigned:
            name = item.planned.name
            option = axes.options.get(name, "--replace")  # which needs a value to replace words in
            if option != "--replace" and item.source is None:
                problem = Problem(name, f"{name} also has a list of values in {option}: keep one")
                self._mistakes.append((self._line.option_of(name), problem))

    def _vary(self, assigned: Sequence[Assignment], axes: Axes) -> tuple[int, dict[str, list[Any]]]:
        """Return how often to run everything, and the lists that advance together: `random` draws anew for each run."""
        runs = self._line.runs
        varied = [item.planned for item in assigned if item.is_random and item.planned.name not in axes.product]
        if not varied or runs == 1:
            return runs, axes.zipped
        return 1, {**axes.zipped, **{item.name: [random_value(item) for _ in range(runs)] for item in varied}}

    def _asked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that the user was asked for: with --interactive all, else those that are required."""
        line = self._line
        has_person = sys.stdin.isatty() and sys.stderr.isatty() and not (line.quiet or line.as_json or line.dry_run)
        if line.csv is not None or line.jsonl is not None or not (line.interactive or has_person):
            return {}
        left = [planned for planned in self._settable if planned.name not in values]
        return _ask([planned for planned in left if line.interactive or is_required(planned)], line.server)

    def _print_fitting_models(self, values: Mapping[str, Any]) -> None:
        """Print which of the server's models fit each missing model."""
        names = {problem.name for _, problem in self._mistakes} - values.keys()
        left = [planned for planned in self._settable if planned.name in names]
        for name, (_, about) in _fitting_models(left, self._line.server).items():
            print_messages("hint", [about], source=self._line.inputs.spelling_of(name))

    def _hint_at_seeds(self, varying: set[str]) -> None:
        """Print a hint if all runs have the same seed, so that they give the same image."""
        seeds = [planned.name for planned in self._settable if planned.field_name == "seed"]
        if same := [name for name in seeds if name not in varying]:
            option = self._line.inputs.spelling_of(same[0])
            print_messages("hint", [f"all runs have the same seed; {option} random draws one for each"])


def _print_mistakes(line: CommandLine, mistakes: Sequence[tuple[str, Problem]]) -> None:
    """Print each mistake with its option and the index of its input."""
    indexes = {planned.name: planned.index for planned in line.plan.inputs}
    for place, problem in mistakes:
        index = indexes.get(problem.name)
        where = [place] if place else []
        if index is not None and not getattr(problem, "row", 0):
            where.append(f"(input {index})" if place else f"input {index}")
        print_messages("error", [problem.message], source=" ".join(where))


# -- questions to the user ---------------------------------------------------------------------------------------------


def _fitting_models(inputs: Sequence[PlannedInput], server: str | None) -> dict[str, tuple[list[str], str]]:
    """Ask the server which of its models fit each input for a model: their names, best first, and a sentence about them."""
    inputs = [planned for planned in inputs if planned.field_type == "ModelIdentifierField"]
    if not inputs:
        return {}
    try:
        with open_client(server) as client:
            models, url = client.models.list(), client.url
    except ServerError as error:
        return {planned.name: ([], f"the models that fit are not known: {error}") for planned in inputs}
    found: dict[str, tuple[list[str], str]] = {}
    for planned in inputs:
        names = [model.name for model in matching.fitting_models(models, model_limits(planned))]
        if names:
            about = f"{url} has {few([*map(repr, names)], _MAX_MODELS)}"
        else:
            wanted = "; ".join(allowed_values(planned)) or "any model"
            about = f"{url} has no model that fits ({wanted}): install one in InvokeAI's model manager"
        found[planned.name] = names, about
    return found


def _ask(inputs: Sequence[PlannedInput], server: str | None) -> dict[str, Any]:
    """Ask for each input until the answer is valid; return the values by Python name.

    An empty answer keeps the default. Questions are printed on stderr.
    """
    known = _fitting_models(inputs, server)
    values: dict[str, Any] = {}
    for planned in inputs:
        models, about = known.get(planned.name, ([], ""))
        choices: Sequence[str] = planned.choices or models
        while True:
            text = _answer(planned, choices, about)
            if not text and not is_required(planned):
                break
            try:
                if text.isdecimal() and 0 < int(text) <= len(choices) and text not in choices:
                    text = text_of(choices[int(text) - 1])
                values[planned.name] = read_value(planned, text)
                break
            except ParamsError as error:
                print_messages("error", [problem.message for problem in error.problems])
    return values


def _answer(planned: PlannedInput, choices: Sequence[str], about: str) -> str:
    """Print the question about an input and return the answer without blanks around it."""
    label = planned.label or planned.name
    facts = [kind_of(planned), *([] if choices else allowed_values(planned))]
    echo(one_line(f"{label}: {', '.join(facts)}"), err=True)
    for number, choice in enumerate(choices, start=1):
        echo(one_line(f"  {number:>2}  {choice}"), err=True)
    if about and not choices:
        echo(one_line(f"  {about}"), err=True)
    echo(one_line(f"[{default_of_input(planned).removeprefix('default ')}] "), err=True, nl=False)
    text = sys.stdin.readline()
    if not text:
        raise click.Abort
    return text.strip()
