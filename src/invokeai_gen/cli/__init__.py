"""The command `invokeai-gen`. Each verb has a module in a folder of this package, imported only when it is called."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from invokeai_gen.cli.help import LazyGroup, with_suggestion
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.version import __version__

EXIT_CODES: Final = """\b
Exit codes:
  0    success; for check: fresh, for diff: no difference, for doctor: ready
  1    an error in a file, a value or on the server;
       for check: stale, for diff: different, for doctor: not ready
  2    wrong usage; for check and diff: nothing could be compared
  130  interrupted with Ctrl-C
"""

EXAMPLES: Final = """\b
Examples:
  invokeai-gen doctor portrait.json               can this server run it?
  invokeai-gen run portrait.json --help           its inputs, each an option
  invokeai-gen run portrait.json --interactive    asks for what is missing

\b
portrait.json is a workflow exported from the InvokeAI GUI. An image made with
a workflow, or the name of a workflow in the server's library, does as well:
  invokeai-gen run "Text to Image - SD1.5" --model dreamshaper -o out

\b
As Python modules:
  invokeai-gen generate workflows -o generated    a typed module of each
  invokeai-gen init && invokeai-gen generate      with a pyproject.toml
"""

_SECTIONS: Final = {
    "Use a workflow": {
        "run": ("run.run", "Run a workflow, once or many times, and save the results."),
        "mcp": ("server.mcp", "Serve workflows as tools of an LLM agent (MCP)."),
        "inspect": ("show.inspect", "Show the inputs and outputs of a workflow, or its graph."),
        "recall": ("show.recall", "Show the values that an image was made with, or run them again."),
        "payload": ("show.payload", "Print the request that would submit a workflow."),
    },
    "Generate Python modules": {
        "init": ("generate.init", "Write [tool.invokeai-gen] into pyproject.toml."),
        "generate": ("generate.generate", "Write one typed Python module for each workflow."),
        "check": ("generate.check", "Check that generated modules are up to date."),
        "diff": ("generate.diff", "Show what callers would notice between two workflows."),
        "watch": ("generate.watch", "Generate whenever a workflow changes."),
    },
    "Work with a server": {
        "doctor": ("server.doctor", "Check whether a server can run workflows or modules."),
        "workflows": ("server.workflows", "List, pull, push and delete workflows of the server's library."),
        "models": ("server.models", "Write the server's models and boards as Python constants."),
        "pull": ("server.pull", "Save the node types of a running server."),
    },
    "Set up the shell": {"completion": ("completion", "Print or install the completion script of a shell.")},
}
"""The commands of each section of the help: the module of each, below this package, and what it does."""


@click.group(
    cls=LazyGroup,
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"{EXAMPLES}\n{EXIT_CODES}",
)
@click.version_option(__version__, "-V", "--version", prog_name="invokeai-gen")
def cli() -> None:
    """Run InvokeAI workflows from the shell and from Python, with completion and checks."""


def main(args: Sequence[str] | None = None) -> Any:
    """Run the command and exit with its code. A user's mistake is printed without a traceback."""
    from invokeai_gen.cli import terminal

    if "_INVOKEAI_GEN_COMPLETE" in os.environ:
        from invokeai_gen.cli import completion as completion  # registers our script for bash

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return cli.main(args=args, prog_name="invokeai-gen", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        terminal.print_usage_error(with_suggestion(error) if isinstance(error, click.NoSuchOption) else error)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        terminal.echo("interrupted", err=True)
        sys.exit(130)
    except InvokeAIGenError as error:
        terminal.fail(error)
    except BrokenPipeError:
        # The reader of our output has seen enough (`| head`); nothing more may be flushed into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - a bug: even its traceback may hold text that steers a terminal
        if isinstance(error, OSError) and error.filename is not None:  # such as a folder on a drive that is missing
            terminal.fail(error.strerror or error, source=str(error.filename))
        terminal.print_crash(error)
        sys.exit(70)


def run_module(path: str) -> Any:
    """Run a generated module as `invokeai-gen run` would: what `python -m generated.x` does."""
    return main(["run", path, *sys.argv[1:]])
