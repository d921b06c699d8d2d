"""`run`: run a workflow, once or many times, and save the results."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from invokeai_gen.cli.completion import complete_board, complete_workflows
from invokeai_gen.cli.help import KNOWN_INPUTS, SuggestingChoice
from invokeai_gen.cli.named_workflow import find_workflow
from invokeai_gen.cli.options import F, named_option, value_options
from invokeai_gen.cli.run.command_line import INPUTS, CommandLine
from invokeai_gen.cli.run.input_options import InputOptions, peek
from invokeai_gen.cli.terminal import keep_quiet, one_line, print_messages
from invokeai_gen.errors import InvokeAIGenError

_SECTIONS: Final = {
    "assignments": "Values",
    "runs": "Many runs",
    "output": "Results",
    "servers": "Server",
    "dry_run": "Others",
}
"""The first option of each section of the help; the others follow as they are declared."""

_EPILOG: Final = """\b
Examples:
  invokeai-gen run portrait.json --help
  invokeai-gen run portrait.json --positive-prompt "a fox" --width 768 -o out
  invokeai-gen run "Text to Image - SD1.5" --interactive
  invokeai-gen run generated.portrait --image in.png --dry-run
  invokeai-gen run portrait.json --seed random --runs 3
  invokeai-gen run portrait.json --product seed=1..10 \\
      --product "scheduler=euler,ddim" --gallery all.html
  invokeai-gen run portrait.json --each "image=photos/*.png" --file all.sweep
  invokeai-gen run portrait.json --csv rows.csv -o out \\
      --pattern "{index:03d}_{seed}.png"
  python -m generated.portrait --seed 7

\b
Exit codes:
  0    all runs were completed
  1    an error in a value, a file or on the server; a failed or canceled run
  2    wrong usage of the command
  130  interrupted (Ctrl-C, SIGTERM, SIGHUP); queued runs are canceled
"""


class _RunCommand(click.Command):
    """A command with an option for each input of the workflow that it is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, after a first look for the workflow."""
        own = super().get_params(ctx)
        name, given = peek(args, own)
        if name is not None:
            try:
                ctx.meta[INPUTS] = inputs = _find(name, given, own)
                ctx.meta[KNOWN_INPUTS] = [option.opts[0] for option in inputs.options]
                ctx.info_name = f"{ctx.info_name} {shlex.quote(name)}"
            except (InvokeAIGenError, click.ClickException):
                if not ctx.resilient_parsing:
                    raise
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options of the command and those of the inputs."""
        inputs: InputOptions | None = ctx.meta.get(INPUTS)
        *own, help_option = super().get_params(ctx)
        return [*own, *(inputs.options if inputs is not None else ()), help_option]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the words of the usage line after those of the command, which may have the workflow already."""
        return [*([] if INPUTS in ctx.meta else ["WORKFLOW"]), "[OPTIONS]"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the inputs first, then the options by purpose."""
        inputs: InputOptions | None = ctx.meta.get(INPUTS)
        if inputs is not None:
            info = inputs.workflow.plan.info
            with formatter.section(f"Inputs of {one_line(info.name or info.source or inputs.workflow.stem)}"):
                if inputs.options or inputs.shadowed:
                    formatter.write_dl(inputs.help_records(ctx))
                else:
                    formatter.write_text("This workflow has no inputs: its form is empty.")
        else:
            with formatter.section("Inputs"):
                formatter.write_text("Name a workflow to list its inputs here.")
        sections: dict[str, list[tuple[str, str]]] = {}
        title = ""
        for param in super().get_params(ctx):
            title = _SECTIONS.get(str(param.name), title)
            if title and (record := param.get_help_record(ctx)) is not None:
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _find(name: str, given: Mapping[str, str], own: Sequence[click.Parameter]) -> InputOptions:
    openapi = Path(given["openapi"]) if "openapi" in given else None
    workflow = find_workflow(name, openapi, given.get("servers"))
    return InputOptions.of(workflow, {text for option in own for text in option.opts})


def _path(name: str, variable: str, text: str, *, dir_okay: bool = True) -> Callable[[F], F]:
    """Return an option that takes the path of a file."""
    path = click.Path(path_type=Path, dir_okay=dir_okay)
    return click.option(name, variable, metavar="FILE", type=path, help=text)


@click.command("run", cls=_RunCommand, epilog=_EPILOG)
@click.argument("workflow", shell_complete=complete_workflows)
@value_options
@click.option("-i", "--interactive", is_flag=True, help="Ask for each input, with its choices and default.")
@click.option("--runs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Number of runs.")
@named_option(
    "--product",
    "product",
    "NAME=VALUES",
    "A run for each value: 1,2,3 or 1..100 or 0..1..0.25 (a step) or 'a,\"b, with a comma\"' or a JSON list. "
    "Repeated, also with --each: every combination, the last one changing fastest.",
)
@named_option("--zip", "zipped", "NAME=VALUES", "Like --product, but the lists of all --zip advance together.")
@named_option(
    "--each",
    "each",
    "NAME=FILES",
    "A run for each image of a folder or quoted pattern such as 'photos/*.png'; for a text input, for each line of a "
    "file, which may have options of its own: a fox in the snow --width 768.",
)
@named_option(
    "--replace",
    "replaced",
    "NAME=WORD:OTHERS",
    "A run for each other word in place of WORD in a text, such as 'prompt=fox:owl,cat'. Repeated: every combination.",
)
@named_option(
    "--dynamic",
    "dynamic",
    "NAME=PROMPT",
    "A run for each prompt that the server makes of a text such as 'prompt=a {red|blue} fox'.",
)
@click.option(
    "--max-prompts",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    metavar="N",
    help="Prompts that --dynamic may make of a text; more are an error.",
)
@_path("--csv", "csv", "A run for each row; columns are inputs. A manifest of earlier runs works too; - is stdin.")
@_path("--jsonl", "jsonl", "A run for each line, a JSON object of values; - is stdin.")
@click.option(
    "--ignore-extra-columns", is_flag=True, help="Skip columns of --csv or keys of --jsonl that are no inputs."
)
@click.option(
    "--errors",
    type=SuggestingChoice(["collect", "raise"]),
    default="collect",
    show_default=True,
    help="If one of many runs fails: continue and report at the end, or cancel the others.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="How often to run a failed run again.",
)
@_path("--file", "sweep_file", "Record what was sent in this new file, so that --resume can continue.")
@_path("--resume", "resume", "Continue what was started with --file; failed and canceled runs are run again.")
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where to save images and videos. Default: a new folder, NAME-out, NAME-out-2, …",
)
@click.option(
    "--pattern", metavar="TEXT", help="File names below the folder, such as '{index:04d}_{seed}.png', with input names."
)
@click.option(
    "--manifest",
    type=SuggestingChoice(["csv", "jsonl", "none"]),
    help="Table beside the images of many runs, with the values of each.  [default: csv]",
)
@_path(
    "--contact-sheet",
    "contact_sheet",
    "Save one picture of all images with their values (needs Pillow).",
    dir_okay=False,
)
@_path(
    "--gallery", "gallery", "Save an HTML page of all images with their values, to open in a browser.", dir_okay=False
)
@click.option("--intermediate", is_flag=True, help="Also save the intermediate images.")
@click.option("--metadata", is_flag=True, help="Save the metadata of each image as JSON beside it.")
@click.option("--overwrite", is_flag=True, help="Replace existing files instead of refusing to start.")
@click.option("--no-save", is_flag=True, help="Leave the results on the server.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of file paths.")
@click.option(
    "--events", is_flag=True, help="Print each event of a single run as one line of JSON, before the results."
)
@click.option(
    "--server",
    "servers",
    metavar="URL",
    multiple=True,
    help="Default: INVOKEAI_URL, else the server in pyproject.toml, else http://localhost:9090. Repeat it to share many "
    "runs between several servers.",
)
@click.option(
    "--openapi",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Node types for an exported workflow. Default: those of --server, else the file in pyproject.toml, else the "
    "included snapshot. A module has its own.",
)
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), help="Cancel after this time."
)
@click.option(
    "--auto-board", metavar="NAME", shell_complete=complete_board, help="Board for the images of fields set to `auto`."
)
@click.option("--create-boards", is_flag=True, help="Create boards that do not exist yet.")
@click.option(
    "--cleanup",
    type=SuggestingChoice(["inputs", "outputs", "boards", "queue-items"]),
    multiple=True,
    help="Delete from the server at the end (repeatable): uploaded files, saved results, created boards, queue entries.",
)
@click.option("--dry-run", is_flag=True, help="Send nothing: print the number of runs and the first request.")
@click.option(
    "-q",
    "--quiet",
    is_flag=True,
    callback=keep_quiet,
    help="No progress, summary and warnings, only results and errors.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also print the server's traceback of a run that failed.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Run a workflow, once or many times, and save the results.

    WORKFLOW is an exported workflow (portrait.json), an image made with one, a generated module
    (generated/portrait.py or generated.portrait), or the name of a workflow in the server's library.

    Each input of its form is an option; `run WORKFLOW --help` lists them. An input that has the name of another option
    is set with --set NAME=VALUE. A seed can be `random`. Required inputs that are missing are asked for in a terminal.

    All values are checked before anything is sent. Paths of saved files are printed, one on a line, and other results
    as `name: value`.
    """
    from invokeai_gen.cli.run.many import ManyRuns
    from invokeai_gen.cli.run.single import run_once
    from invokeai_gen.cli.run.values import ValueReader

    line = CommandLine.of(ctx)
    line.check(ctx)
    print_messages("warning", line.workflow.warnings, source=line.workflow.shown)
    with _terminated_like_interrupted():
        if line.resume is not None:
            ManyRuns(line).resume(line.resume)
        elif line.dry_run:
            ManyRuns(line).dry_run(ValueReader(line).read())
        elif line.is_sweep or line.plan.batches:
            ManyRuns(line).run(ValueReader(line).read())
        else:
            run_once(line, ValueReader(line).read())


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP (a closed terminal) like Ctrl-C, so that queued runs are canceled."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    before = {number: signal.signal(number, interrupt) for name in names if (number := getattr(signal, name, None))}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
