"""The inputs of a workflow as options of a command: how they are spelled, explained and completed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from invokeai_gen.cli.explain import metavar_of
from invokeai_gen.cli.terminal import one_line

if TYPE_CHECKING:
    from invokeai_gen.cli.named_workflow import NamedWorkflow
    from invokeai_gen.core.plan import PlannedInput


class InputOption(click.Option):
    """An option that sets an input, from text."""

    def __init__(self, planned: PlannedInput, spellings: Sequence[str]) -> None:
        is_switch = planned.field_type == "BooleanField" and planned.cardinality == "SINGLE"
        alone: Any = {"is_flag": False, "flag_value": "true"} if is_switch else {}
        super().__init__([*spellings, variable_of(planned)], metavar=metavar_of(planned), **alone)
        self.planned: Final = planned

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return how the option is written, and what it is."""
        return f"{self.opts[0]} {self.metavar}", explained(self.planned)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return files for images, else the values of the input that start so."""
        if self.planned.field_type in ("ImageField", "VideoField"):
            return [CompletionItem(incomplete, type="file")]
        from invokeai_gen.cli.completion import values_of

        return [CompletionItem(value) for value in values_of(ctx, self.planned, incomplete)]


@dataclass(frozen=True, slots=True)
class InputOptions:
    """All inputs of a workflow that can be set, as options if their names are free."""

    workflow: NamedWorkflow
    options: tuple[InputOption, ...]
    shadowed: tuple[PlannedInput, ...]
    """Inputs that have the name of another option: they are set with `--set NAME=VALUE`."""

    @classmethod
    def of(cls, workflow: NamedWorkflow, taken: Collection[str]) -> InputOptions:
        """Return the options of a workflow's inputs; spellings in `taken` belong to other options."""
        options: list[InputOption] = []
        shadowed: list[PlannedInput] = []
        used = set(taken)
        for planned in workflow.plan.inputs:
            if planned.fed_by is not None:
                continue
            spellings = [text for text in spellings_of(planned) if text not in used]
            if spellings_of(planned)[0] in taken or not spellings:
                shadowed.append(planned)
                continue
            used.update(spellings)
            options.append(InputOption(planned, spellings))
        return cls(workflow, tuple(options), tuple(shadowed))

    def help_records(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Return how each input is written and what it is, in the order of the form."""
        records = {option.planned.index: option.get_help_record(ctx) for option in self.options}
        for planned in self.shadowed:
            records[planned.index] = f"--set {planned.name}={metavar_of(planned)}", explained(planned)
        return [record for _, record in sorted(records.items()) if record is not None]

    def spelling_of(self, name: str) -> str:
        """Return how the input of that Python name is set: `--output-width`, or `--set output=` if it is shadowed."""
        for option in self.options:
            if option.planned.name == name:
                return option.opts[0]
        return f"--set {name}=" if any(planned.name == name for planned in self.shadowed) else ""

    def given(self, values: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        """Return the option that each input was given with and its text, by Python name."""
        texts = ((option, values.get(variable_of(option.planned))) for option in self.options)
        return {option.planned.name: (option.opts[0], text) for option, text in texts if text is not None}


def variable_of(planned: PlannedInput) -> str:
    """Return the name that click uses for the option of an input."""
    return f"input_{planned.index}"


def spellings_of(planned: PlannedInput) -> list[str]:
    """Return `--output-width`, and `--output_width` for people who write Python."""
    return list(dict.fromkeys((f"--{planned.name.strip('_').replace('_', '-')}", f"--{planned.name}")))


def explained(planned: PlannedInput) -> str:
    """Return label, index, description, what is allowed, and the default."""
    from invokeai_gen.cli.explain import allowed_values, default_of_input

    label = planned.label or planned.name
    facts = [f"{label} (input {planned.index})"]
    facts += [text for text in (planned.description, *allowed_values(planned), default_of_input(planned)) if text]
    return one_line(" ".join(_sentence(text) for text in facts))


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":", "…")) else f"{text}."


def peek(args: Sequence[str], options: Sequence[click.Parameter]) -> tuple[str | None, dict[str, str]]:
    """Return the first argument and the values of `options`, before the options of inputs are known.

    An unknown option is taken to have a value. Of an option that is repeated, the first value is returned.
    """
    known = {text: option for option in options if isinstance(option, click.Option) for text in option.opts}
    found: dict[str, str] = {}
    argument: str | None = None
    rest = list(args)
    while rest:
        text = rest.pop(0)
        if text == "--":
            return (argument if argument is not None else rest[0] if rest else None), found
        if not text.startswith("-") or text == "-":
            argument = text if argument is None else argument
            continue
        name, is_joined, value = text.partition("=") if text.startswith("--") else (text[:2], text[2:], text[2:])
        option = known.get(name)
        if option is None:
            if not is_joined and rest and rest[0].partition("=")[0] not in known:
                rest.pop(0)
        elif not option.is_flag:
            if not is_joined and not rest:
                break
            found.setdefault(str(option.name), value if is_joined else rest.pop(0))
    return argument, found
