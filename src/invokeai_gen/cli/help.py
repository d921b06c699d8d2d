"""Commands as our users meet them: groups of commands, coloured headings, and suggestions for misspelt names."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from invokeai_gen.cli.terminal import QUIET, in_words, keep_quiet, wants_color


class HelpFormatter(click.HelpFormatter):
    """The help formatter of click with colours; they are stripped if the output is not a terminal."""

    def write_heading(self, heading: str) -> None:
        """Write the heading of a section."""
        super().write_heading(click.style(heading, fg="yellow", bold=True))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names with their explanations."""
        super().write_dl([(click.style(name, fg="cyan"), in_words(text)) for name, text in rows], col_max, col_spacing)


class Context(click.Context):
    """A context whose help shows defaults, and has our colours unless NO_COLOR is set."""

    formatter_class = HelpFormatter

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.show_default = True
        self.color = wants_color()


class SuggestingChoice(click.Choice[str]):
    """A choice that suggests the closest one for a misspelt value."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the choice. Raise `BadParameter` for any other text."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            message = error.message.removesuffix(".") + did_you_mean(str(value), map(str, self.choices))
            raise click.BadParameter(message, ctx, param) from error


class CommandGroup(click.Group):
    """A group of commands that suggests the closest one for a misspelt name."""

    context_class = Context

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        command = super().get_command(ctx, cmd_name)
        return with_our_ways(command) if command is not None else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name. Raise `UsageError` with a suggestion for an unknown name."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            names = self.list_commands(ctx)
            suggestion = did_you_mean(name, names) or f"; the commands are {', '.join(names)}"
            raise click.UsageError(f"no command {name!r}{suggestion}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(CommandGroup):
    """A group that knows its commands by name and imports a command only to run it."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, tuple[str, str]]], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._sections = sections
        """The commands in each section of the help: a module of `cli` with it as `command`, and what it does."""
        self._commands = {name: found for commands in sections.values() for name, found in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return list(self._commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name, imported now."""
        if cmd_name not in self._commands:
            return None
        module, _ = self._commands[cmd_name]
        return with_our_ways(importlib.import_module(f"invokeai_gen.cli.{module}").command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the options and commands that start with a text, without importing a command."""
        found = [(name, text) for name, (_, text) in self._commands.items() if name.startswith(incomplete)]
        return [CompletionItem(name, help=text) for name, text in found] + click.Command.shell_complete(
            self, ctx, incomplete
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, section by section."""
        for title, commands in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


def with_our_ways(command: click.Command) -> click.Command:
    """Return the command with our help and, if it has none, the option --quiet."""
    command.context_class = Context
    if not isinstance(command, click.Group) and not any(QUIET in param.opts for param in command.params):
        option = click.Option(
            ["-q", QUIET],
            is_flag=True,
            expose_value=False,
            callback=keep_quiet,
            help="Only print what was asked for, and errors.",
        )
        command.params.append(option)
    return command


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'seed'?`, or an empty text if nothing comes close."""
    import difflib

    by_lower = {item.strip("-").casefold(): item for item in known}
    close = difflib.get_close_matches(name.strip("-").casefold(), list(by_lower), n=1, cutoff=0.65)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def with_suggestion(error: click.NoSuchOption) -> click.UsageError:
    """Return the error about an unknown option with the closest options of its command."""
    params = error.ctx.command.get_params(error.ctx) if error.ctx is not None else []
    known = [option for param in params for option in (*param.opts, *param.secondary_opts) if option.startswith("--")]
    hint = did_you_mean(error.option_name, known)
    if not hint and (inputs := [param.opts[0] for param in params if hasattr(param, "planned")]):
        hint = f"; the inputs are {', '.join(inputs)}"
    return click.UsageError(f"no option {error.option_name!r}{hint}", error.ctx)
