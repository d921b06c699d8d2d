"""What several commands start from: which workflow files, whose node types, and which server."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import click

from invokeai_gen.cli.settings import Settings
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema

F = TypeVar("F", bound=Callable[..., object])


def schema_options(function: F) -> F:
    """Adds `--openapi` and `--server` to a command."""
    function = click.option(
        "--server", metavar="URL", help="Use the node types of this running server (and ask it what else is needed)."
    )(function)
    return click.option(
        "--openapi",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Use the node types of this openapi.json. Default: that of pyproject.toml, else the one that ships.",
    )(function)


def server_option(function: F) -> F:
    """Adds `--server` to a command that always needs one."""
    return click.option(
        "--server",
        metavar="URL",
        help="Default: INVOKEAI_URL, else that of pyproject.toml, else http://localhost:9090.",
    )(function)


def value_options(function: F) -> F:
    """Adds `--set` and `--params` to a command."""
    function = click.option(
        "--params",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Set inputs from a JSON object, {NAME: VALUE, …}.",
    )(function)
    return click.option(
        "--set",
        "assignments",
        metavar="NAME=VALUE",
        multiple=True,
        callback=named_values,
        help="Set an input (may be repeated).",
    )(function)


def named_values(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The callback of an option that takes `NAME=VALUE`. Raises `BadParameter` where there is no `=`."""
    for text in given:
        if "=" not in text:
            what = param.metavar or "NAME=VALUE"
            raise click.BadParameter(f"{text!r} has no '='; write {param.opts[0]} {what}", ctx, param)
    return given


@contextlib.contextmanager
def open_client(server: str | None, settings: Settings) -> Iterator[InvokeAIClient]:
    """A client for the server that the command line names, else the environment, else pyproject.toml.

    Raises `NotInvokeAIError` where something else answers there.
    """
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.server.errors import NotInvokeAIError

    with InvokeAIClient(server or os.environ.get("INVOKEAI_URL") or settings.server) as client:
        try:
            client.version()
        except (KeyError, TypeError):
            raise NotInvokeAIError(
                f"{client.url} answers, but not as InvokeAI does. Is this the right address?"
            ) from None
        yield client


def schema_path(openapi: Path | None, server: str | None, settings: Settings) -> Path | None:
    """The openapi.json that the command line names, else pyproject.toml; `None` for a server's or the shipped one."""
    if openapi is not None and server is not None:
        raise click.UsageError("--openapi and --server exclude each other")
    return openapi or (settings.openapi_path if server is None else None)


def open_schema(openapi: Path | None, server: str | None, settings: Settings) -> Schema:
    """The node types that the options ask for. Raises `SchemaError` and the client's errors."""
    from invokeai_gen.schema import Schema, load_schema, shipped_schema

    path = schema_path(openapi, server, settings)
    if path is not None:
        return load_schema(path)
    if server is None:
        return shipped_schema()
    with open_client(server, settings) as client:
        return Schema(fetch_openapi(client), source=client.url)


def fetch_openapi(client: InvokeAIClient) -> dict[str, Any]:
    """A running server's openapi.json, with its real version noted in it. Raises `SchemaError` for something else's."""
    from invokeai_gen.schema.openapi import with_version

    return with_version(client.openapi(), client.version, source=client.url)


@dataclass(frozen=True, slots=True)
class Source:
    """A workflow file: what it is called where it was asked for, and where it is."""

    name: PurePath
    """As the command line has it, or relative to the pyproject.toml: module names are made from this, so that they do
    not depend on the current folder."""
    path: Path

    def __str__(self) -> str:
        return str(self.path)


def find_sources(workflows: tuple[Path, ...], settings: Settings) -> list[Source]:
    """The files and folders of the command line, else those of pyproject.toml. Raises where there is none."""
    if workflows:
        return [Source(path, path) for path in _files(workflows)]
    if not settings.workflows:
        where = "" if settings.source is None else f" ({settings.path(settings.source)} names none)"
        raise click.UsageError(f"which WORKFLOWS? Name files or folders, or `invokeai-gen init` first{where}")
    found = _files(settings.path(path) for path in _matches(settings))
    return [Source(PurePath(os.path.relpath(path.absolute(), settings.root)), path) for path in found]


def _matches(settings: Settings) -> list[str]:
    found: list[str] = []
    for pattern in settings.workflows:
        matches = sorted(glob.glob(pattern, root_dir=settings.root, recursive=True))
        if not matches and not glob.has_magic(pattern):
            matches = [pattern]
        found += matches
    if not found:
        where = f" (from {settings.path(settings.source)})" if settings.source is not None else ""
        raise InvokeAIGenError(f"{', '.join(settings.workflows)}: no workflow files there{where}")
    return found


def _files(paths: Iterable[Path]) -> list[Path]:
    """The files that are named, and every `*.json` of the folders that are, each once."""
    found: list[Path] = []
    looked = []
    for path in paths:
        looked.append(str(path))
        if path.is_dir():
            found += sorted(item for item in path.glob("*.json") if item.is_file())
        elif path.exists():
            found.append(path)
        else:
            raise InvokeAIGenError(f"{path}: no such file or folder")
    if not found:
        raise InvokeAIGenError(f"{', '.join(looked)}: no workflow files (*.json) there")
    return list(dict.fromkeys(found))


def compile_file(path: Path, schema: Schema) -> tuple[WorkflowPlan, list[str]]:
    """The plan of a workflow file, and what the GUI would mention. Raises `WorkflowError` and `NotReadyError`."""
    from invokeai_gen.compiler import compile_workflow
    from invokeai_gen.workflow import read_workflow_file

    compiled = compile_workflow(read_workflow_file(path), schema)
    return compiled.plan, [str(warning) for warning in compiled.warnings]
