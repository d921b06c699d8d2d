"""One call of `run`: the workflow, its inputs as options, and what all other options say."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from invokeai_gen.cli.completion import complete_board, values_of
from invokeai_gen.cli.explain import allowed_values, default_of_input, metavar_of
from invokeai_gen.cli.help import SuggestingChoice
from invokeai_gen.cli.options import NAMED, F, NamedTexts
from invokeai_gen.cli.terminal import keep_quiet, one_line

if TYPE_CHECKING:
    from invokeai_gen.cli.named_workflow import NamedWorkflow
    from invokeai_gen.core.plan import PlannedInput, WorkflowPlan

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


def _option(*names: str, **settings: Any) -> Any:
    """Declare an attribute of `CommandLine` with the option that sets it; for the settings see `click.Option`."""
    return field(metadata={"names": names, "settings": settings})


def _flag(*names: str, **settings: Any) -> Any:
    return _option(*names, is_flag=True, **settings)


def _path(name: str, text: str, *, dir_okay: bool = True) -> Any:
    return _option(name, metavar="FILE", type=click.Path(path_type=Path, dir_okay=dir_okay), help=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """The workflow and the options of one call of `run`."""

    inputs: InputOptions
    texts: Mapping[str, str]
    """The text of each input that was given with an option of its own, by Python name."""
    given: Mapping[str, str]
    """The attributes below that the user gave an option for, with the option: `{"zipped": "--zip"}`."""
    assignments: NamedTexts
    params: Path | None
    interactive: bool = _flag("-i", "--interactive", help="Ask for each input, with its choices and default.")
    runs: int = _option("--runs", type=click.IntRange(min=1), default=1, metavar="N", help="Number of runs.")
    product: NamedTexts = _option(
        "--product",
        metavar="NAME=VALUES",
        help="A run for each value: 1,2,3 or 1..100 or 0..1..0.25 (a step) or 'a,\"b, with a comma\"' or a JSON list. "
        "Repeated, also with --each: every combination, the last one changing fastest.",
        **NAMED,
    )
    zipped: NamedTexts = _option(
        "--zip", metavar="NAME=VALUES", help="Like --product, but the lists of all --zip advance together.", **NAMED
    )
    each: NamedTexts = _option(
        "--each",
        metavar="NAME=FILES",
        help="A run for each image of a folder or quoted pattern such as 'photos/*.png'; for a text input, for each line "
        "of a file, which may have options of its own: a fox in the snow --width 768.",
        **NAMED,
    )
    replaced: NamedTexts = _option(
        "--replace",
        metavar="NAME=WORD:OTHERS",
        help="A run for each other word in place of WORD in a text, such as 'prompt=fox:owl,cat'. Repeated: every "
        "combination.",
        **NAMED,
    )
    dynamic: NamedTexts = _option(
        "--dynamic",
        metavar="NAME=PROMPT",
        help="A run for each prompt that the server makes of a text such as 'prompt=a {red|blue} fox'.",
        **NAMED,
    )
    max_prompts: int = _option(
        "--max-prompts",
        type=click.IntRange(1, 10_000),
        default=100,
        metavar="N",
        help="Prompts that --dynamic may make of a text; more are an error.",
    )
    csv: Path | None = _path(
        "--csv", "A run for each row; columns are inputs. A manifest of earlier runs works too; - is stdin."
    )
    jsonl: Path | None = _path("--jsonl", "A run for each line, a JSON object of values; - is stdin.")
    ignore_extra_columns: bool = _flag(
        "--ignore-extra-columns", help="Skip columns of --csv or keys of --jsonl that are no inputs."
    )
    errors: Literal["raise", "collect"] = _option(
        "--errors",
        type=SuggestingChoice(["collect", "raise"]),
        default="collect",
        help="If one of many runs fails: continue and report at the end, or cancel the others.",
    )
    retries: int = _option(
        "--retries", type=click.IntRange(min=0), default=0, metavar="N", help="How often to run a failed run again."
    )
    sweep_file: Path | None = _path("--file", "Record what was sent in this new file, so that --resume can continue.")
    resume: Path | None = _path(
        "--resume", "Continue what was started with --file; failed and canceled runs are run again."
    )
    output: Path | None = _option(
        "-o",
        "--output",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help="Where to save images and videos. Default: a new folder, NAME-out, NAME-out-2, …",
    )
    pattern: str | None = _option(
        "--pattern",
        metavar="TEXT",
        help="File names below the folder, such as '{index:04d}_{seed}.png', with input names.",
    )
    manifest: Literal["csv", "jsonl", "none"] | None = _option(
        "--manifest",
        type=SuggestingChoice(["csv", "jsonl", "none"]),
        help="Table beside the images of many runs, with the values of each.  [default: csv]",
    )
    contact_sheet: Path | None = _path(
        "--contact-sheet", "Save one picture of all images with their values (needs Pillow).", dir_okay=False
    )
    gallery: Path | None = _path(
        "--gallery", "Save an HTML page of all images with their values, to open in a browser.", dir_okay=False
    )
    intermediate: bool = _flag("--intermediate", help="Also save the intermediate images.")
    metadata: bool = _flag("--metadata", help="Save the metadata of each image as JSON beside it.")
    overwrite: bool = _flag("--overwrite", help="Replace existing files instead of refusing to start.")
    no_save: bool = _flag("--no-save", help="Leave the results on the server.")
    as_json: bool = _flag("--json", help="Print the results as JSON instead of file paths.")
    events: bool = _flag("--events", help="Print each event of a single run as one line of JSON, before the results.")
    servers: tuple[str, ...] = _option(
        "--server",
        metavar="URL",
        multiple=True,
        help="Default: INVOKEAI_URL, else the server in pyproject.toml, else http://localhost:9090. Repeat it to share "
        "many runs between several servers.",
    )
    openapi: Path | None = _path(
        "--openapi",
        "Node types for an exported workflow. Default: those of --server, else the file in pyproject.toml, else the "
        "included snapshot. A module has its own.",
        dir_okay=False,
    )
    timeout: float | None = _option(
        "--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), help="Cancel after this time."
    )
    auto_board: str | None = _option(
        "--auto-board",
        metavar="NAME",
        shell_complete=complete_board,
        help="Board for the images of fields set to `auto`.",
    )
    create_boards: bool = _flag("--create-boards", help="Create boards that do not exist yet.")
    cleanup: tuple[Literal["inputs", "outputs", "boards", "queue-items"], ...] = _option(
        "--cleanup",
        type=SuggestingChoice(["inputs", "outputs", "boards", "queue-items"]),
        multiple=True,
        help="Delete from the server at the end (repeatable): uploaded files, saved results, created boards, queue "
        "entries.",
    )
    dry_run: bool = _flag("--dry-run", help="Send nothing: print the number of runs and the first request.")
    quiet: bool = _flag(
        "-q", "--quiet", callback=keep_quiet, help="No progress, summary and warnings, only results and errors."
    )
    verbose: bool = _flag("-v", "--verbose", help="Also print the server's traceback of a run that failed.")

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
        texts = {name: context.params[str(option.name)] for name, option in inputs.options.items()}
        texts = {name: text for name, text in texts.items() if text is not None}
        names = {attribute.name for attribute in fields(cls)}
        others = {name: value for name, value in context.params.items() if name in names}
        return cls(inputs=inputs, texts=texts, given=given, **others)

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
    def shows_progress(self) -> bool:
        """Whether to show progress: if stderr is a terminal, unless only errors or events are to be printed."""
        return not (self.quiet or self.events) and sys.stderr.isatty()

    @property
    def server(self) -> str | None:
        """The first server: the one whose node types and library are used."""
        return self.servers[0] if self.servers else None

    def option_of(self, name: str) -> str:
        """Return the option that gave the input of that Python name a value."""
        return self.inputs.spelling_of(name) if name in self.texts else "--set"

    def check(self, context: click.Context) -> None:
        """Raise `UsageError` for options that exclude each other."""
        recorded = [option for name, option in self.given.items() if name in _RECORDED]
        recorded += map(self.inputs.spelling_of, self.texts)
        problem = ""
        if self.csv and self.jsonl:
            problem = "--csv and --jsonl exclude each other"
        elif self.ignore_extra_columns and not (self.csv or self.jsonl):
            problem = "--ignore-extra-columns needs --csv or --jsonl"
        elif self.no_save and (saving := [self.given[name] for name in _SAVING if name in self.given]):
            problem = f"--no-save and {saving[0]} exclude each other"
        elif self.no_save and "outputs" in self.cleanup:
            problem = "--no-save and --cleanup outputs exclude each other: nothing would be left"
        elif self.events and (self.resume or self.is_sweep or self.plan.batches):
            problem = "--events is for a single run, and this would be many"
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


def options(function: F) -> F:
    """Add the options that `CommandLine` declares to a command."""
    for attribute in reversed(fields(CommandLine)):
        if names := attribute.metadata.get("names"):
            function = click.option(*names, attribute.name, **attribute.metadata["settings"])(function)
    return function


# -- the inputs of the workflow as options -----------------------------------------------------------------------------


class InputOption(click.Option):
    """An option that sets an input, from text."""

    def __init__(self, planned: PlannedInput, spellings: Sequence[str]) -> None:
        is_switch = planned.field_type == "BooleanField" and planned.cardinality == "SINGLE"
        alone: Any = {"is_flag": False, "flag_value": "true"} if is_switch else {}
        super().__init__([*spellings, f"input_{planned.index}"], metavar=metavar_of(planned), **alone)
        self.planned: Final = planned

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return files for images, else the values of the input that start so."""
        if self.planned.field_type in ("ImageField", "VideoField"):
            return [CompletionItem(incomplete, type="file")]
        return values_of(ctx, self.planned, incomplete)


@dataclass(frozen=True, slots=True)
class InputOptions:
    """All inputs of a workflow that can be set, as options if their names are free."""

    workflow: NamedWorkflow
    options: Mapping[str, InputOption]
    """By Python name. An input that has the name of another option is missing: it is set with `--set NAME=VALUE`."""

    @classmethod
    def of(cls, workflow: NamedWorkflow, taken: Collection[str]) -> InputOptions:
        """Return the options of a workflow's inputs; spellings in `taken` belong to other options."""
        options: dict[str, InputOption] = {}
        used = set(taken)
        for planned in workflow.plan.inputs:
            spellings = [text for text in spellings_of(planned) if text not in used]
            if planned.fed_by is None and spellings and spellings_of(planned)[0] not in taken:
                used.update(spellings)
                options[planned.name] = InputOption(planned, spellings)
        return cls(workflow, options)

    def help_records(self) -> list[tuple[str, str]]:
        """Return how each input is written and what it is, in the order of the form."""
        records = []
        for planned in (planned for planned in self.workflow.plan.inputs if planned.fed_by is None):
            gap = " " if planned.name in self.options else ""
            records.append((f"{self.spelling_of(planned.name)}{gap}{metavar_of(planned)}", explained(planned)))
        return records

    def spelling_of(self, name: str) -> str:
        """Return how the input of that Python name is set: `--output-width`, or `--set output=`."""
        return self.options[name].opts[0] if name in self.options else f"--set {name}="


def spellings_of(planned: PlannedInput) -> list[str]:
    """Return `--output-width`, and `--output_width` for people who write Python."""
    return list(dict.fromkeys((f"--{planned.name.strip('_').replace('_', '-')}", f"--{planned.name}")))


def explained(planned: PlannedInput) -> str:
    """Return label, index, description, what is allowed, and the default."""
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
