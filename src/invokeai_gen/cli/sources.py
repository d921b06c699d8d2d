"""Options that several commands share: which workflow files, and against which server's node types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
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
        help="Use the node types of this openapi.json. Default: the snapshot that ships with invokeai-gen.",
    )(function)


def open_schema(openapi: Path | None, server: str | None) -> Schema:
    """The node types that the options ask for. Raises `SchemaError` and the client's errors."""
    from invokeai_gen.schema import Schema, load_schema, shipped_schema

    if openapi is not None and server is not None:
        raise click.UsageError("--openapi and --server exclude each other")
    if openapi is not None:
        return load_schema(openapi)
    if server is None:
        return shipped_schema()
    return Schema(fetch_openapi(server), source=server)


def fetch_openapi(server: str | None) -> dict[str, Any]:
    """A running server's openapi.json, with its real version noted in it."""
    from invokeai_gen.json_js import normalized
    from invokeai_gen.schema.openapi import VERSION_KEY
    from invokeai_gen.server import InvokeAIClient

    with InvokeAIClient(server) as client:
        document = normalized(client.openapi())
        return {**document, "info": {**document.get("info", {}), VERSION_KEY: client.version()}}


def workflow_files(paths: Iterable[Path]) -> list[Path]:
    """The files that are named, and every `*.json` of the folders that are. Raises where there is none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(item for item in path.glob("*.json") if item.is_file())
        elif path.exists():
            found.append(path)
        else:
            raise InvokeAIGenError(f"{path}: no such file or folder")
    if not found:
        raise InvokeAIGenError(f"{', '.join(map(str, paths))}: no workflow files (*.json) there")
    return list(dict.fromkeys(found))
