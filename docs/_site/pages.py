"""A hook of MkDocs: the help of each command on its page, and guides before the reference in search results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click

PLACE: Final = "{{ help of the command }}"
WIDTH: Final = 86
"""What a block of text shows beside both columns of a window of 1280 pixels."""


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return the page with the help of all commands, as a terminal shows it, in place of `PLACE`."""
    if not page.file.src_uri.startswith("reference/"):
        page.meta["search"] = {"boost": 3}
    return markdown.replace(PLACE, "\n".join(_sections())) if PLACE in markdown else markdown


def _sections() -> Iterator[str]:
    from invokeai_gen.cli import cli

    width = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    root = cli.context_class(cli, info_name="invokeai-gen", **{**cli.context_settings, **width})
    for context in _contexts(root):
        text = click.unstyle(context.command.get_help(context))
        yield f"## {context.command_path}\n\n````text\n{text}\n````\n"


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield a command and those below it, in the order in which its help lists them."""
    yield context
    group = context.command
    if isinstance(group, click.Group):
        for name in _listed(group, context):
            command = group.get_command(context, name)
            assert command is not None
            yield from _contexts(command.context_class(command, parent=context, info_name=name))


def _listed(group: click.Group, context: click.Context) -> list[str]:
    text = click.unstyle(group.get_help(context))
    return sorted(group.list_commands(context), key=lambda name: text.find(f"\n  {name} "))
