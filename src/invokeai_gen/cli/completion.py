"""Completion in the shell: scripts for bash, zsh and fish, and the names and values that they complete."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from invokeai_gen.cli.files import read_bytes, save_text
from invokeai_gen.cli.help import SuggestingChoice
from invokeai_gen.cli.named_workflow import find_workflow
from invokeai_gen.cli.servers import make_client
from invokeai_gen.cli.settings import find_settings
from invokeai_gen.cli.terminal import echo
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.texts import printable

if TYPE_CHECKING:
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.core.plan import PlannedInput, WorkflowPlan

VARIABLE: Final = "_INVOKEAI_GEN_COMPLETE"
"""Set by the scripts to ask for completions."""

_PATIENCE: Final = 2.0
"""Seconds that a shell waits for a server while it completes."""

_SOURCED: Final = {"bash": ".bashrc", "zsh": ".zshrc"}
_COMPINIT: Final = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }; "


class _Complete(ShellComplete):
    """What our scripts for all shells expect: whole words, a line for each."""

    def source(self) -> str:
        """Return the script of the shell."""
        from invokeai_gen.shipped_files import templates_folder

        return templates_folder().joinpath(f"completion.{self.name}").read_text(encoding="utf-8")

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return what the last word can become; a value after `--option=` comes with the option."""
        if args[:1] == ["-m"]:  # python -m generated.portrait
            args = ["run", *args[1:]]
        option, is_joined, _ = incomplete.partition("=")
        found = super().get_completions(args, incomplete)
        if is_joined and option.startswith("--"):
            for item in found:
                if item.type == "plain":
                    item.value = f"{option}={item.value}"
        return found

    def format_completion(self, item: CompletionItem) -> str:
        """Return the line for one completion: its kind, its value and, after a tab, what it is."""
        # A line for each: text from a server must not add lines, nor reach the terminal raw.
        line = f"{item.type},{printable(str(item.value))}"
        return f"{line}\t{printable(item.help)}" if item.help else line


class _Zsh(_Complete, ZshComplete):
    pass


class _Fish(_Complete, FishComplete):
    pass


class _Bash(_Complete, BashComplete):
    """Completion in bash that keeps values with spaces whole, and completes after a `=`."""

    _incomplete = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that word."""
        line = os.environ.get("COMP_LINE")
        if line is None:
            return super().get_completion_args()
        words = split_arg_string(line)
        self._incomplete = "" if line[-1:].isspace() or not words else words.pop()
        return words[1:], self._incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return the line for one completion; bash replaces only what follows the last `=`."""
        before, equals, _ = self._incomplete.rpartition("=")
        return f"{item.type},{printable(str(item.value).removeprefix(before + equals))}"


add_completion_class(_Bash, "bash")
add_completion_class(_Zsh, "zsh")
add_completion_class(_Fish, "fish")


@click.command("completion")
@click.argument("shell", type=SuggestingChoice(["bash", "zsh", "fish"]), required=False, metavar="[SHELL]")
@click.option("--install", is_flag=True, help="Install the script for this user, instead of printing it.")
@click.pass_context
def command(ctx: click.Context, shell: str | None, install: bool) -> None:
    """Print or install the completion script of SHELL: bash, zsh or fish, by default the one that is running ($SHELL).

    It completes commands, options, workflows, names of inputs, and their values: choices, and the models and boards of
    the server; also for generated modules: `python -m generated.portrait`.

    \b
    Examples:
      invokeai-gen completion --install
      eval "$(invokeai-gen completion bash)"     only in this shell
    """
    name = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(name)
    if kind is None:
        raise click.UsageError("name the SHELL: bash, zsh or fish", ctx)
    script = kind(ctx.find_root().command, {}, "invokeai-gen", VARIABLE).source()
    if install:
        for line in _install(name, script):
            echo(line)
    else:
        echo(script, nl=False)


def _install(shell: str, script: str) -> list[str]:
    """Write the script, and for bash and zsh a line that loads it into the start-up file; return what was done."""
    home = Path.home()
    if shell == "fish":
        path = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish/conf.d/invokeai-gen.fish"
        save_text(path, script)
        return [f"written {path}; new shells complete invokeai-gen"]
    path = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share") / f"invokeai-gen/completion.{shell}"
    save_text(path, script)
    start = home / _SOURCED[shell]
    line = f'{_COMPINIT if shell == "zsh" else ""}[ -f "{path}" ] && . "{path}"  # completion of invokeai-gen'
    text = read_bytes(start).decode(errors="surrogateescape") if start.exists() else ""
    if line not in text.splitlines():
        with start.open("a", encoding="utf-8") as file:
            file.write(("" if text.endswith("\n") or not text else "\n") + line + "\n")
    return [f"written {path}, loaded by {start}", f"new shells complete invokeai-gen; in this one: . {path}"]


# -- what is completed -------------------------------------------------------------------------------------------------


def complete_workflows(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return names of generated modules, else files, else names of workflows in the server's library."""
    try:
        output = find_settings().output_path
    except InvokeAIGenError:
        return []
    names = sorted(path.stem for path in output.glob("*.json") if path.with_suffix(".py").is_file())
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    if found:
        return found
    folder, start = os.path.split(incomplete)
    if not incomplete or any(Path(folder).glob(f"{glob.escape(start)}*")):
        return [CompletionItem(incomplete, type="file")]
    return complete_library(ctx, param, incomplete)


def complete_library(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of workflows in the server's library."""
    return _starting(incomplete, _ask(ctx, lambda client: (item.name for item in client.workflows.list())))


def complete_board(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of the server's boards."""
    return _starting(incomplete, _ask(ctx, lambda client: (board.board_name for board in client.boards.list())))


def complete_assignment(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return `NAME=` for each input of the workflow, and after the `=` the values of that input."""
    plan = _plan_of(ctx)
    if plan is None:
        return []
    name, has_value, text = incomplete.partition("=")
    settable = [planned for planned in plan.inputs if planned.fed_by is None]
    if not has_value:
        return _starting(incomplete, (f"{planned.name}=" for planned in settable))
    # Of a list such as 1,2,3 the last value is completed.
    before, comma, last = text.rpartition(",") if param.name in ("product", "zipped") else ("", "", text)
    for planned in settable:
        if name in (planned.name, planned.label, str(planned.index)):
            return [CompletionItem(f"{name}={before}{comma}{item.value}") for item in values_of(ctx, planned, last)]
    return []


def values_of(ctx: click.Context, planned: PlannedInput, incomplete: str) -> list[CompletionItem]:
    """Return the values of an input that start with a text: its choices, or what the server has."""
    from invokeai_gen.core.field_values import model_limits
    from invokeai_gen.core.matching import model_choices

    values: Iterable[str] = map(str, planned.choices)
    if planned.field_type == "BooleanField":
        values = ("true", "false")
    elif planned.field_type == "ModelIdentifierField":
        limits = model_limits(planned)
        values = sorted(_ask(ctx, lambda client: model_choices(client.models.list(), limits)))
    elif planned.field_type == "BoardField":
        boards = _ask(ctx, lambda client: (board.board_name for board in client.boards.list()))
        values = ("auto", "none", *boards)
    return _starting(incomplete, values)


def _ask(ctx: click.Context, question: Callable[[InvokeAIClient], Iterable[str]]) -> list[str]:
    """Return what the server of the command line so far answers; nothing unless it answers soon."""
    with contextlib.suppress(InvokeAIGenError), make_client(_given_server(ctx), _PATIENCE) as client:
        return list(question(client))
    return []


def _given_server(ctx: click.Context) -> str | None:
    given = ctx.params.get("servers") or ctx.params.get("server")
    return given[0] if isinstance(given, tuple) else given


def _plan_of(ctx: click.Context) -> WorkflowPlan | None:
    """Return the plan of the workflow that the command line names, if it can be read."""
    # If the option that is completed has no value yet, click leaves the arguments unprocessed.
    name = ctx.params.get("workflow") or next(iter(ctx.args), None)
    if not name:
        return None
    try:
        return find_workflow(str(name), ctx.params.get("openapi"), _given_server(ctx)).plan
    except (InvokeAIGenError, click.ClickException):
        return None


def _starting(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.casefold().startswith(incomplete.casefold())]
