"""One call of `run`: the workflow, its inputs as options, and what all other options say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

import click
from click.core import ParameterSource

from invokeai_gen.cli.run.input_options import InputOptions

if TYPE_CHECKING:
    from invokeai_gen.cli.named_workflow import NamedWorkflow
    from invokeai_gen.core.plan import WorkflowPlan

INPUTS: Final = "invokeai_gen.run"
"""Where the context of a call keeps the options of the inputs of its workflow."""
_SAVING: Final = ("output", "pattern", "manifest", "contact_sheet", "gallery", "intermediate", "metadata")
"""Options that need saved results."""
_VARYING: Final = frozenset({"csv", "jsonl", "each", "product", "zipped", "replaced", "dynamic"})
"""Options that give a list of values."""
_OF_MANY: Final = _VARYING | {"sweep_file", "pattern", "manifest", "contact_sheet", "gallery"}
"""Options that only many runs have, even if their number is 1."""
_RECORDED: Final = _VARYING | {
    "runs", "retries", "assignments", "params", "sweep_file", "auto_board", "create_boards", "dry_run", "interactive",
}  # fmt: skip
"""Options that `--resume` excludes, because its file has their values."""
_RESUMED: Final = (
    "pattern", "manifest", "contact_sheet", "gallery", "timeout", "errors", "openapi", "cleanup", "intermediate",
    "metadata", "overwrite", "as_json", "quiet", "verbose",
)  # fmt: skip
"""Options that the command with `--resume` repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """The workflow and the options of one call of `run`."""

    inputs: InputOptions
    texts: Mapping[str, tuple[str, str]]
    """The option that each input was given with and its text, by Python name."""
    given: Mapping[str, str]
    """The attributes below that the user gave an option for, with the option: `{"zipped": "--zip"}`."""
    assignments: tuple[str, ...]
    params: Path | None
    interactive: bool
    csv: Path | None
    jsonl: Path | None
    ignore_extra_columns: bool
    each: tuple[str, ...]
    product: tuple[str, ...]
    zipped: tuple[str, ...]
    replaced: tuple[str, ...]
    dynamic: tuple[str, ...]
    max_prompts: int
    runs: int
    retries: int
    errors: Literal["raise", "collect"]
    sweep_file: Path | None
    resume: Path | None
    output: Path | None
    pattern: str | None
    manifest: Literal["csv", "jsonl", "none"] | None
    contact_sheet: Path | None
    gallery: Path | None
    intermediate: bool
    metadata: bool
    overwrite: bool
    no_save: bool
    as_json: bool
    events: bool
    servers: tuple[str, ...]
    openapi: Path | None
    timeout: float | None
    auto_board: str | None
    create_boards: bool
    cleanup: tuple[Literal["inputs", "outputs", "boards", "queue-items"], ...]
    dry_run: bool
    quiet: bool
    verbose: bool

    @classmethod
    def of(cls, context: click.Context) -> Self:
        """Return the options that click has parsed."""
        options = {str(option.name): option.opts[-1] for option in context.command.params}
        given = {
            name: option
            for name, option in options.items()
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        }
        inputs: InputOptions = context.meta[INPUTS]
        names = {field.name for field in fields(cls)}
        others = {name: value for name, value in context.params.items() if name in names}
        return cls(inputs=inputs, texts=inputs.given(context.params), given=given, **others)

    @property
    def workflow(self) -> NamedWorkflow:
        """The workflow that is named."""
        return self.inputs.workflow

    @property
    def plan(self) -> WorkflowPlan:
        """Its plan."""
        return self.inputs.workflow.plan

    @property
    def is_sweep(self) -> bool:
        """Whether anything was asked for that only many runs have."""
        return bool(_OF_MANY & self.given.keys() or self.runs > 1 or self.retries or len(self.servers) > 1)

    @property
    def server(self) -> str | None:
        """The first server: the one whose node types and library are used."""
        return self.servers[0] if self.servers else None

    def check(self, context: click.Context) -> None:
        """Raise `UsageError` for options that exclude each other."""
        recorded = [option for name, option in self.given.items() if name in _RECORDED]
        recorded += [option for option, _ in self.texts.values()]
        problem = ""
        if self.csv and self.jsonl:
            problem = "--csv and --jsonl exclude each other"
        elif self.ignore_extra_columns and not (self.csv or self.jsonl):
            problem = "--ignore-extra-columns needs --csv or --jsonl"
        elif self.no_save and (saving := [self.given[name] for name in _SAVING if name in self.given]):
            problem = f"--no-save and {saving[0]} exclude each other"
        elif self.no_save and "outputs" in self.cleanup:
            problem = "--no-save and --cleanup outputs exclude each other: nothing would be left"
        elif self.resume and recorded:
            problem = f"--resume continues as its file says: leave out {', '.join(recorded)}"
        if problem:
            raise click.UsageError(problem, context)

    def how_to_resume(self, file: Path, folder: Path, servers: Iterable[str]) -> str:
        """Return the command that continues the sweep of `file`, with every option of this call that still matters."""
        import shlex

        words = ["invokeai-gen", "run", self.workflow.shown, "--resume", str(file)]
        words += ["--no-save"] if self.no_save else ["-o", str(folder)]
        for option, value in ((self.given[name], getattr(self, name)) for name in _RESUMED if name in self.given):
            if value is True:
                words.append(option)
            else:
                for item in value if isinstance(value, tuple) else [value]:
                    words += [option, f"{item:g}" if isinstance(item, float) else str(item)]
        return shlex.join([*words, *(word for server in servers for word in ("--server", server))])
