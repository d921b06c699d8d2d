"""`completion`: the script that teaches a shell our commands, options and module names."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from invokeai_gen.cli.terminal import echo

_VARIABLE = "_INVOKEAI_GEN_COMPLETE"


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell, for its start-up file.

    It completes commands, options, file names and the names of generated modules.

    \b
    Examples:
      eval "$(invokeai-gen completion bash)"                                  in ~/.bashrc
      eval "$(invokeai-gen completion zsh)"                                   in ~/.zshrc
      invokeai-gen completion fish > ~/.config/fish/completions/invokeai-gen.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    completion = kind(ctx.find_root().command, {}, "invokeai-gen", _VARIABLE)
    echo(completion.source_template % completion.source_vars())


def complete_workflows(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the modules in the project's output folder, then files."""
    from invokeai_gen.cli.settings import SettingsError, find_settings

    try:
        output = find_settings().output_path
    except SettingsError:
        return []
    names = sorted(path.stem for path in output.glob("*.json") if path.with_suffix(".py").is_file())
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


complete_modules = complete_workflows
