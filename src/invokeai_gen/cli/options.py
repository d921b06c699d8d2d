"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import click

from invokeai_gen.cli.completion import complete_assignment

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")
NamedTexts: TypeAlias = tuple[tuple[str, str], ...]
"""The values of an option that takes `NAME=…`: each name with the text after the `=`."""


def _named_texts(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> NamedTexts:
    """Return what an option that takes `NAME=VALUE` was given. Raise `BadParameter` if a `=` is missing."""
    found = []
    for name, equals, text in (each.partition("=") for each in given):
        if not equals:
            what = param.metavar or "NAME=VALUE"
            raise click.BadParameter(f"{name!r} has no '='; write {param.opts[0]} {what}", ctx, param)
        found.append((name.strip(), text))
    return tuple(found)


NAMED: Final[Mapping[str, Any]] = {
    "multiple": True,
    "callback": _named_texts,
    "shell_complete": complete_assignment,
}
"""The settings of an option that takes `NAME=…` any number of times."""


def schema_options(function: F) -> F:
    """Add `--openapi` and `--server` to a command."""
    function = click.option(
        "--server",
        metavar="URL",
        callback=_one_schema,
        help="Use the node types of this running server, and look up values there.",
    )(function)
    return click.option(
        "--openapi",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_one_schema,
        help="Use the node types of this openapi.json. Default: the file in pyproject.toml, else the included snapshot.",
    )(function)


def server_option(function: F) -> F:
    """Add `--server` to a command that always needs one."""
    return click.option(
        "--server",
        metavar="URL",
        help="Default: INVOKEAI_URL, else the server in pyproject.toml, else http://localhost:9090.",
    )(function)


def output_option(text: str, *, default: Path | None = None, is_folder: bool = False) -> Callable[[F], F]:
    """Add `-o` and `--output` to a command: a file to write, or a folder to write into."""
    path = click.Path(path_type=Path, file_okay=not is_folder, dir_okay=is_folder)
    return click.option("-o", "--output", type=path, default=default, help=text)


def value_options(function: F) -> F:
    """Add `--set` and `--params` to a command."""
    path = click.Path(path_type=Path)
    text = "Set inputs from a JSON object, {NAME: VALUE, …}."
    function = click.option("--params", metavar="FILE", type=path, help=text)(function)
    text = "Set an input by name, label or index (repeatable)."
    return click.option("--set", "assignments", metavar="NAME=VALUE", help=text, **NAMED)(function)


def _one_schema(ctx: click.Context, param: click.Parameter, given: T) -> T:
    """Return what was given. Raise `UsageError` for both options, and for a server's address as the file."""
    if given is not None and any(ctx.params.get(name) is not None for name in ("openapi", "server")):
        raise click.UsageError("--openapi and --server exclude each other", ctx)
    if isinstance(given, Path) and str(given).startswith(("http:/", "https:/")):
        raise click.BadParameter("this is an address, not a file; for a running server use --server URL", ctx, param)
    return given
