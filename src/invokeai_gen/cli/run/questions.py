"""Questions to the user: values of inputs, and which of the server's models fit."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from invokeai_gen.cli.assignments import read_value
from invokeai_gen.cli.explain import allowed_values, default_of_input, is_required, kind_of, text_of
from invokeai_gen.cli.run.command_line import CommandLine
from invokeai_gen.cli.servers import open_client
from invokeai_gen.cli.terminal import echo, few, one_line, print_messages
from invokeai_gen.core import matching
from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.server.errors import ServerError

_MAX_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class FittingModels:
    """The models of a server that fit the model inputs of a workflow."""

    server: str
    names: Mapping[str, Sequence[str]]
    """Names by input, best first."""
    problem: str = ""
    """Why the server could not be asked; empty if it was."""

    def described(self, planned: PlannedInput) -> str:
        """Return the models for one input as a line of text."""
        if self.problem:
            return f"the models that fit are not known: {self.problem}"
        if names := self.names.get(planned.name):
            return f"{self.server} has {few([*map(repr, names)], _MAX_SHOWN)}"
        wanted = "; ".join(allowed_values(planned)) or "any model"
        return f"{self.server} has no model that fits ({wanted}): install one in InvokeAI's model manager"


def fitting_models(inputs: Iterable[PlannedInput], server: str | None) -> FittingModels:
    """Ask the server which of its models fit each input."""
    try:
        with open_client(server) as client:
            models = client.models.list()
            url = client.url
    except ServerError as error:
        return FittingModels("", {}, str(error))
    found = {planned.name: matching.fitting_models(models, model_limits(planned)) for planned in inputs}
    return FittingModels(url, {name: [model.name for model in fitting] for name, fitting in found.items()})


def can_ask(line: CommandLine) -> bool:
    """Return whether a person can be asked: --interactive was given, or stdin and stderr are a terminal."""
    if line.interactive:
        return True
    return sys.stdin.isatty() and sys.stderr.isatty() and not (line.quiet or line.as_json or line.dry_run)


def ask(inputs: Sequence[PlannedInput], server: str | None) -> dict[str, Any]:
    """Ask for each input until the answer is valid; return the values by Python name.

    An empty answer keeps the default. Questions are printed on stderr.
    """
    models = [planned for planned in inputs if planned.field_type == "ModelIdentifierField"]
    known = fitting_models(models, server) if models else FittingModels("", {})
    values: dict[str, Any] = {}
    for planned in inputs:
        choices: Sequence[str] = planned.choices or known.names.get(planned.name, ())
        while True:
            text = _answer(planned, choices, known if planned in models else None)
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


def _answer(planned: PlannedInput, choices: Sequence[str], models: FittingModels | None) -> str:
    """Print the question about an input and return the answer without blanks around it."""
    label = planned.label or planned.name
    facts = [kind_of(planned), *([] if choices else allowed_values(planned))]
    echo(one_line(f"{label}: {', '.join(facts)}"), err=True)
    for number, choice in enumerate(choices, start=1):
        echo(one_line(f"  {number:>2}  {choice}"), err=True)
    if models is not None and not choices:
        echo(one_line(f"  {models.described(planned)}"), err=True)
    echo(one_line(f"[{default_of_input(planned).removeprefix('default ')}] "), err=True, nl=False)
    text = sys.stdin.readline()
    if not text:
        raise click.Abort
    return text.strip()
