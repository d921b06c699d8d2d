"""`run`: run a workflow, once or many times, and save the results."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.named_workflow import find_workflow
from invokeai_gen.cli.options import value_options
from invokeai_gen.cli.run.command_line import INPUTS, CommandLine, InputOptions, options, peek
from invokeai_gen.cli.terminal import one_line, print_messages
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
                openapi = Path(given["openapi"]) if "openapi" in given else None
                workflow = find_workflow(name, openapi, given.get("servers"))
                ctx.meta[INPUTS] = InputOptions.of(workflow, {text for option in own for text in option.opts})
                ctx.info_name = f"{ctx.info_name} {shlex.quote(name)}"
            except (InvokeAIGenError, click.ClickException):
                if not ctx.resilient_parsing:
                    raise
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options of the command and those of the inputs."""
        inputs: InputOptions | None = ctx.meta.get(INPUTS)
        *own, help_option = super().get_params(ctx)
        return [*own, *(inputs.options.values() if inputs is not None else ()), help_option]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the words of the usage line after those of the command, which may have the workflow already."""
        return [*([] if INPUTS in ctx.meta else ["WORKFLOW"]), "[OPTIONS]"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the inputs first, then the options by purpose."""
        inputs: InputOptions | None = ctx.meta.get(INPUTS)
        if inputs is not None:
            info = inputs.workflow.plan.info
            with formatter.section(f"Inputs of {one_line(info.name or info.source or inputs.workflow.stem)}"):
                if records := inputs.help_records():
                    formatter.write_dl(records)
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


@click.command("run", cls=_RunCommand, epilog=_EPILOG)
@click.argument("workflow", shell_complete=complete_workflows)
@value_options
@options
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
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
    before = {name: signal.signal(getattr(signal, name), signal.default_int_handler) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
