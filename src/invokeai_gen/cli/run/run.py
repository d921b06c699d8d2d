"""`run`: run a workflow, once or many times, and save what it makes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from invokeai_gen.cli.completion import complete_modules
from invokeai_gen.cli.options import named_values, server_option, value_options
from invokeai_gen.cli.run.call import Call
from invokeai_gen.cli.run.input_options import InputOptions, peek
from invokeai_gen.cli.terminal import one_line, print_messages
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.cli.named_workflow import NamedWorkflow

_FOUND: Final = "invokeai_gen.run"
"""Where the context of a call keeps the workflow and its options."""

_SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "Values": ("assignments", "params"),
    "Many runs": ("csv", "jsonl", "each", "product", "zipped", "runs", "errors", "sweep_file", "resume"),
    "Results": ("output", "pattern", "manifest", "contact_sheet", "overwrite", "no_save", "as_json"),
    "Server": ("server", "openapi", "timeout", "auto_board", "create_boards", "cleanup"),
}
"""The options by what they are for; all others come after them."""

_EPILOG: Final = """\b
Examples:
  invokeai-gen run portrait.json --help
  invokeai-gen run portrait.json --positive-prompt "a fox" --width 768 -o foxes
  invokeai-gen run generated.portrait --image in.png --dry-run
  invokeai-gen run portrait.json --product seed=1..10 --product "scheduler=euler,ddim" --contact-sheet all.png
  invokeai-gen run portrait.json --each "image=photos/*.png" --file photos.sweep
  invokeai-gen run portrait.json --csv rows.csv -o out --pattern "{index:03d}_{seed}.png"
  python -m generated.portrait --seed 7

\b
Exit codes:
  0    all runs were completed
  1    a mistake in a value, a file or on the server; a run that failed or was canceled
  2    wrong usage of the command
  130  interrupted (Ctrl-C, or the process was ended): what was queued is canceled
"""


@dataclass(frozen=True, slots=True)
class _Found:
    """What the first look at a command line gave."""

    workflow: NamedWorkflow
    inputs: InputOptions


class _RunCommand(click.Command):
    """A command whose options are those below and, once it is known which workflow is meant, the inputs of that."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = super().get_params(ctx)
        name, given = peek(args, own)
        if name is not None:
            try:
                ctx.meta[_FOUND] = _find(name, given, own)
            except (InvokeAIGenError, click.ClickException):
                if not ctx.resilient_parsing:
                    raise
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        found: _Found | None = ctx.meta.get(_FOUND)
        *own, help_option = super().get_params(ctx)
        return [*own, *(found.inputs.options if found is not None else ()), help_option]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["FILE_OR_MODULE", "[OPTIONS]"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: _Found | None = ctx.meta.get(_FOUND)
        if found is not None:
            info = found.workflow.plan.info
            with formatter.section(f"Inputs of {one_line(info.name or info.source or found.workflow.stem)}"):
                inputs = found.inputs.help_records(ctx)
                if inputs:
                    formatter.write_dl(inputs)
                else:
                    formatter.write_text("None: the form is empty.")
        else:
            with formatter.section("Inputs"):
                formatter.write_text("Name a file or module to have its inputs explained here.")
        records = {str(param.name): param.get_help_record(ctx) for param in super().get_params(ctx)}
        listed = {name for names in _SECTIONS.values() for name in names}
        others = [name for name in records if name not in listed and name != "file"]
        sections = {**_SECTIONS, "Others": others}
        for title, names in sections.items():
            with formatter.section(title):
                formatter.write_dl([record for name in names if (record := records[name]) is not None])


def _find(name: str, given: Mapping[str, str], own: Sequence[click.Parameter]) -> _Found:
    from invokeai_gen.cli.named_workflow import find_workflow
    from invokeai_gen.cli.settings import find_settings

    openapi = Path(given["openapi"]) if "openapi" in given else None
    workflow = find_workflow(name, openapi, given.get("server"), find_settings())
    return _Found(workflow, InputOptions.of(workflow.plan, {text for option in own for text in option.opts}))


@click.command(
    "run", cls=_RunCommand, short_help="Run a workflow, once or many times, and save what it makes.", epilog=_EPILOG
)
@click.argument("file", metavar="FILE_OR_MODULE", shell_complete=complete_modules)
@value_options
@click.option("--csv", metavar="FILE", type=click.Path(path_type=Path), help="A run for each row; columns are inputs.")
@click.option(
    "--jsonl", metavar="FILE", type=click.Path(path_type=Path), help="A run for each line, a JSON object of values."
)
@click.option(
    "--each",
    metavar="NAME=FILES",
    multiple=True,
    callback=named_values,
    help="A run for each image of a folder or (in quotes) pattern such as 'photos/*.png'; for an input of text, for "
    "each line of a file.",
)
@click.option(
    "--product",
    metavar="NAME=VALUES",
    multiple=True,
    callback=named_values,
    help="A run for each value: 1,2,3 or 1..100 or 0..1..0.25 (a step) or 'a,\"b, with a comma\"' or a list in JSON. "
    "Several of these, and of --each, make every combination, the last one changing fastest.",
)
@click.option(
    "--zip",
    "zipped",
    metavar="NAME=VALUES",
    multiple=True,
    callback=named_values,
    help="As --product, but the lists of all --zip advance together.",
)
@click.option("--runs", type=click.IntRange(min=1), default=1, show_default=True, help="How often to run all of it.")
@click.option(
    "--errors",
    type=click.Choice(["collect", "raise"]),
    default="collect",
    show_default=True,
    help="When one of many runs fails: go on and tell at the end, or cancel the others.",
)
@click.option(
    "--file",
    "sweep_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Note in this new file what was sent, so that --resume can go on from there.",
)
@click.option(
    "--resume",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Go on with what was begun with --file; what failed or was canceled is run again.",
)
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where to save images and videos. Default: a new folder, NAME-out, NAME-out-2, …",
)
@click.option(
    "--pattern",
    metavar="TEXT",
    help="File names below the folder, such as '{index:04d}_{seed}.png', with names of inputs.",
)
@click.option(
    "--manifest",
    type=click.Choice(["csv", "jsonl", "none"]),
    help="The table beside the images of many runs, which tells what each is.  [default: csv]",
)
@click.option(
    "--contact-sheet",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save one picture with all images and what is special about each (needs Pillow).",
)
@click.option("--overwrite", is_flag=True, help="Replace files of the same names, instead of refusing to start.")
@click.option("--no-save", is_flag=True, help="Leave the results on the server.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of the paths of what is saved.")
@server_option
@click.option(
    "--openapi",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The node types for an exported workflow. Default: those of --server if it is given, else of pyproject.toml, "
    "else those that ship. A module has its own.",
)
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), help="Cancel what takes longer."
)
@click.option("--auto-board", metavar="NAME", help="The board that fields set to `auto` add their images to.")
@click.option("--create-boards", is_flag=True, help="Make boards that no board has the name of.")
@click.option(
    "--cleanup",
    type=click.Choice(["inputs", "boards", "queue-items"]),
    multiple=True,
    help="Delete from the server at the end (may be repeated): files that were uploaded, boards that were made, the "
    "entries of the queue.",
)
@click.option(
    "--dry-run", is_flag=True, help="Send nothing: tell how many runs there are, and print the first request."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary; mistakes are told all the same.")
@click.pass_context
def command(ctx: click.Context, /, file: str, **given: Any) -> None:
    """Run a workflow, once or many times, and save what it makes.

    FILE_OR_MODULE is an exported workflow (portrait.json), a generated module (generated/portrait.py), or its dotted
    name (generated.portrait). Each input of its form is an option, as `run FILE_OR_MODULE --help` shows; VALUES are
    read as `payload --set` reads them. An input whose name is that of an option below is set with --set NAME=VALUE.

    All values are checked before anything is sent. The paths of what is saved are printed, one on a line, and other
    results as `name: value`.
    """
    from invokeai_gen.cli.run.execute import Runner

    found: _Found = ctx.meta[_FOUND]
    inputs = list(found.inputs.given(given))
    call = Call(**{name: value for name, value in given.items() if not name.startswith("input_")})
    call.check(ctx, [option.opts[0] for option, _ in inputs])
    print_messages("warning", found.workflow.warnings, source=found.workflow.shown)
    run = Runner(found.workflow, call, {option.planned.name: (option.opts[0], text) for option, text in inputs})
    with _terminated_in_good_order():
        if call.resume is not None:
            run.resume(call.resume)
        elif call.dry_run:
            run.dry_run()
        elif call.is_sweep or found.workflow.plan.batches:
            run.sweep()
        else:
            run.once()


@contextlib.contextmanager
def _terminated_in_good_order() -> Iterator[None]:
    """Whoever ends the process (`timeout`, a service that stops) is heard as Ctrl-C is: nothing stays in the queue."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
