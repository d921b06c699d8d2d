"""The command `invokeai-gen`. Each family of verbs has a module here, imported only when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.version import __version__

EXIT_CODES: Final = """\b
Exit codes:
  0  done; nothing stale, nothing different, nothing missing
  1  a mistake in a file or on a server, told in one line per reason;
     for check: stale, for diff: different, for doctor: something is missing
  2  wrong usage of the command; for check and diff: the question cannot be answered
  130  interrupted with Ctrl-C
"""

EXAMPLES: Final = """\b
Examples:
  invokeai-gen inspect portrait.json             what can be set, what comes out
  invokeai-gen generate workflows -o generated   one typed module per workflow
  invokeai-gen init && invokeai-gen generate     the same, remembered in pyproject.toml
  invokeai-gen watch                             again whenever a workflow changes
  invokeai-gen payload portrait.json --set 0="a fox in the snow"
  invokeai-gen doctor --server http://localhost:9090
  eval "$(invokeai-gen completion bash)"         completion in this shell
"""

_COMMANDS: Final = {
    "init": "Write [tool.invokeai-gen] into pyproject.toml.",
    "pull": "Save the node types of a running server.",
    "inspect": "Show the inputs and outputs of a workflow, or its graph.",
    "run": "Run a workflow, once or many times, and save what it makes.",
    "generate": "Write one typed Python module for each workflow.",
    "check": "Tell whether generated modules are what `generate` would write now.",
    "diff": "Show what callers would notice between two workflows.",
    "watch": "Generate whenever a workflow changes.",
    "payload": "Print the request that would submit a workflow.",
    "doctor": "Tell whether a server can run generated modules.",
    "workflows": "The server's library: list, pull, push, rm.",
    "models": "Write the server's models and boards as Python constants.",
    "completion": "Print the completion script of a shell.",
}

_HOMES: Final = {
    "init": "generate.init",
    "generate": "generate.generate",
    "check": "generate.check",
    "diff": "generate.diff",
    "watch": "generate.watch",
    "run": "run.run",
    "inspect": "show.inspect",
    "payload": "show.payload",
    "pull": "server.pull",
    "doctor": "server.doctor",
    "workflows": "server.workflows",
    "models": "server.models",
    "completion": "completion",
}
"""The module of each command, below this package."""


class _LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"invokeai_gen.cli.{_HOMES[cmd_name]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"{EXAMPLES}\n{EXIT_CODES}",
)
@click.version_option(__version__, "-V", "--version", prog_name="invokeai-gen")
def cli() -> None:
    """Typed Python modules from InvokeAI workflows: run what you drew in the GUI, with completion and checks."""


def main(args: Sequence[str] | None = None) -> Any:
    """Run the command and leave the process with its exit code; a user's mistake is told without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return cli.main(args=args, prog_name="invokeai-gen", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except InvokeAIGenError as error:
        from invokeai_gen.cli.terminal import fail

        fail(error)
    except BrokenPipeError:
        # Whoever reads our output has seen enough (`| head`); nothing more may be flushed into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def run_module(path: str) -> Any:
    """What `python -m` does with a generated module: the command `run` for its workflow."""
    return main(["run", path, *sys.argv[1:]])
