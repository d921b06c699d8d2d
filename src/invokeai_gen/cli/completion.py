"""Completion in the shell: scripts for bash, zsh and fish, and the names and values that they complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
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

from invokeai_gen.cli.help import SuggestingChoice
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

_BASH: Final = """\
%(complete_func)s() {
    local line kind value
    local -a ask=("$1")
    [[ $1 == *python* ]] && ask=("$1" -m invokeai_gen)
    COMPREPLY=()
    while IFS= read -r line; do
        kind="${line%%%%,*}"
        value="${line#*,}"
        case "$kind" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                [[ $value == *= ]] && compopt -o nospace
                case "${COMP_WORDS[COMP_CWORD]}" in
                    [\\"\\']*) COMPREPLY+=("$value") ;;
                    *) COMPREPLY+=("$(printf %%q "$value")") ;;
                esac ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "${ask[@]}" 2>/dev/null)
}

%(complete_func)s_python() {
    local file module="${COMP_WORDS[2]//.//}"
    if [[ ${COMP_WORDS[1]} == -m && $COMP_CWORD -gt 2 && -f $module.py && -f $module.json ]]; then
        %(complete_func)s "$1"
        return
    fi
    COMPREPLY=()
    [[ -n $_invokeai_gen_python ]] && "$_invokeai_gen_python" "$@"
    if [[ ${COMP_WORDS[1]} == -m && $COMP_CWORD -eq 2 ]]; then
        for file in "$module"*.json "$module"*/*.json; do
            file="${file%%.json}"
            [[ -f $file.py ]] && COMPREPLY+=("${file//\\//.}")
        done
    fi
}

{ _comp_load python || __load_completion python; } >/dev/null 2>&1
if [[ "$(complete -p python 2>/dev/null)" =~ -F\\ ([^ ]+) && ${BASH_REMATCH[1]} != %(complete_func)s_python ]]; then
    _invokeai_gen_python="${BASH_REMATCH[1]}"
fi
complete -o default -F %(complete_func)s_python python python3
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH: Final = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local line type value
    local -a plain open described ask=(%(prog_name)s)
    [[ $words[1] == *python* ]] && ask=($words[1] -m invokeai_gen)
    (( $+commands[$ask[1]] )) || [[ -x $ask[1] ]] || return 1
    while IFS= read -r line; do
        type="${line%%%%,*}"
        value="${line#*,}"
        case "$type" in
            dir) compset -P '--*='; _path_files -/ ;;
            file) compset -P '--*='; _path_files -f ;;
            plain)
                if [[ "$value" == *$'\\t'* ]]; then
                    described+=("${${value%%%%$'\\t'*}//:/\\\\:}:${value#*$'\\t'}")
                elif [[ "$value" == *= ]]; then
                    open+=("$value")
                else
                    plain+=("$value")
                fi ;;
        esac
    done < <(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) %(complete_var)s=zsh_complete $ask 2>/dev/null)
    (( $#described )) && _describe -V unsorted described -U
    (( $#open )) && compadd -U -S '' -V unsorted -a open
    (( $#plain )) && compadd -U -V unsorted -a plain
}

%(complete_func)s_python() {
    local file module=${words[3]//.//}
    local -a found
    if [[ $words[2] == -m && $CURRENT -gt 3 && -f $module.py && -f $module.json ]]; then
        %(complete_func)s
        return
    fi
    if [[ $words[2] == -m && $CURRENT -eq 3 ]]; then
        for file in $module*.json(N) $module*/*.json(N); do
            [[ -f ${file:r}.py ]] && found+=(${${file:r}//\\//.})
        done
        (( $#found )) && compadd -U -a found && return
    fi
    $_invokeai_gen_python
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    [[ $_comps[python] == %(complete_func)s_python ]] || _invokeai_gen_python=${_comps[python]:-_default}
    compdef %(complete_func)s_python python python3
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH: Final = """\
function %(complete_func)s
    set -l prefix (string match -r '^--[^=]*=' -- (commandline -t))
    set -l words (commandline -opc)
    set -l ask %(prog_name)s
    string match -q '*python*' -- $words[1]; and set ask $words[1] -m invokeai_gen
    for line in (COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) %(complete_var)s=fish_complete $ask 2>/dev/null)
        set -l found (string split -m 1 , -- $line)
        switch $found[1]
            case dir
                for path in (__fish_complete_directories $found[2])
                    echo $prefix$path
                end
            case file
                for path in (__fish_complete_path $found[2])
                    echo $prefix$path
                end
            case plain
                echo $found[2]
        end
    end
end

function %(complete_func)s_is_module
    set -l words (commandline -opc)
    set -l module (string replace -a . / -- $words[3])
    test (count $words) -gt 2 -a "$words[2]" = -m -a -f "$module.py" -a -f "$module.json"
end

function %(complete_func)s_modules
    set -l module (string replace -a . / -- (commandline -t))
    for file in $module*.json $module*/*.json
        set -l stem (string replace -r '\\.json$' '' -- $file)
        test -f $stem.py; and string replace -a / . -- $stem
    end
end

for python in python python3
    complete --no-files --command $python --condition %(complete_func)s_is_module --arguments "(%(complete_func)s)"
    complete --command $python --short-option m --require-parameter --arguments "(%(complete_func)s_modules)"
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""

_SOURCED: Final = {"bash": ".bashrc", "zsh": ".zshrc"}
_COMPINIT: Final = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }; "


class _Complete(ShellComplete):
    """What our scripts for all shells expect: whole words, a line for each."""

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
    source_template = _ZSH


class _Fish(_Complete, FishComplete):
    source_template = _FISH


class _Bash(_Complete, BashComplete):
    """Completion in bash that keeps values with spaces whole, and completes after a `=`."""

    source_template = _BASH

    @staticmethod
    def _check_version() -> None:
        """Do nothing: the script works in every bash that is still in use."""

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
        value = str(item.value)
        prefix = getattr(self, "_incomplete", "").rpartition("=")[0]
        if prefix and value.startswith(f"{prefix}="):
            value = value.removeprefix(f"{prefix}=")
        return f"{item.type},{printable(value)}"


add_completion_class(_Bash, "bash")
add_completion_class(_Zsh, "zsh")
add_completion_class(_Fish, "fish")


@click.command("completion", short_help="Print or install the completion script of a shell.")
@click.argument("shell", type=SuggestingChoice(["bash", "zsh", "fish"]), required=False, metavar="[bash|zsh|fish]")
@click.option("--install", is_flag=True, help="Install the script for this user, instead of printing it.")
@click.pass_context
def command(ctx: click.Context, shell: str | None, install: bool) -> None:
    """Print the completion script of a shell, by default the one that is running ($SHELL), or install it.

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
    completion = kind(ctx.find_root().command, {}, "invokeai-gen", VARIABLE)
    script = completion.source_template % completion.source_vars()
    if install:
        for line in _install(name, script):
            echo(line)
    else:
        echo(script)


def _install(shell: str, script: str) -> list[str]:
    """Write the script, and for bash and zsh a line that loads it into the start-up file; return what was done."""
    from invokeai_gen.cli.files import read_bytes, save_text

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
    from invokeai_gen.cli.settings import SettingsError, find_settings

    try:
        output = find_settings().output_path
    except SettingsError:
        return []
    names = sorted(path.stem for path in output.glob("*.json") if path.with_suffix(".py").is_file())
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    if found:
        return found
    folder, start = os.path.split(incomplete)
    if not incomplete or any(name.startswith(start) for name in _entries(folder)):
        return [CompletionItem(incomplete, type="file")]
    return complete_library(ctx, param, incomplete)


def complete_library(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of workflows in the server's library."""
    with contextlib.suppress(InvokeAIGenError), _server(ctx) as client:
        return _starting(incomplete, (item.name for item in client.workflows.list()))
    return []


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
            return [CompletionItem(f"{name}={before}{comma}{value}") for value in values_of(ctx, planned, last)]
    return []


def complete_board(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of the server's boards."""
    return _starting(incomplete, _board_names(ctx))


def values_of(ctx: click.Context, planned: PlannedInput, incomplete: str) -> list[str]:
    """Return the values of an input that start with a text: its choices, or what the server has."""
    values: Iterable[str] = map(str, planned.choices)
    if planned.field_type == "BooleanField":
        values = ("true", "false")
    elif planned.field_type == "ModelIdentifierField":
        values = _model_names(ctx, planned)
    elif planned.field_type == "BoardField":
        values = ("auto", "none", *_board_names(ctx))
    return [value for value in values if value.casefold().startswith(incomplete.casefold())]


def _model_names(ctx: click.Context, planned: PlannedInput) -> list[str]:
    from invokeai_gen.core.field_values import model_limits
    from invokeai_gen.core.matching import model_choices

    with contextlib.suppress(InvokeAIGenError), _server(ctx) as client:
        return sorted(model_choices(client.models.list(), model_limits(planned)))
    return []


def _board_names(ctx: click.Context) -> list[str]:
    with contextlib.suppress(InvokeAIGenError), _server(ctx) as client:
        return [board.board_name for board in client.boards.list()]
    return []


def _server(ctx: click.Context) -> InvokeAIClient:
    """Return a client for the server of the command line so far that gives up early."""
    from invokeai_gen.cli.servers import server_address
    from invokeai_gen.cli.settings import find_settings
    from invokeai_gen.client import InvokeAIClient

    return InvokeAIClient(
        server_address(_given_server(ctx), find_settings()), timeout=_PATIENCE, request_timeout=_PATIENCE
    )


def _given_server(ctx: click.Context) -> str | None:
    given = ctx.params.get("servers") or ctx.params.get("server")
    return given[0] if isinstance(given, tuple) else given


def _plan_of(ctx: click.Context) -> WorkflowPlan | None:
    """Return the plan of the workflow that the command line names, if it can be read."""
    from invokeai_gen.cli.named_workflow import find_workflow
    from invokeai_gen.cli.settings import find_settings

    # If the option that is completed has no value yet, click leaves the arguments unprocessed.
    name = ctx.params.get("workflow") or next(iter(ctx.args), None)
    if not name:
        return None
    try:
        return find_workflow(str(name), ctx.params.get("openapi"), _given_server(ctx), find_settings()).plan
    except (InvokeAIGenError, click.ClickException):
        return None


def _starting(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.casefold().startswith(incomplete.casefold())]


def _entries(folder: str) -> Sequence[str]:
    try:
        return os.listdir(folder or ".")
    except OSError:
        return ()
