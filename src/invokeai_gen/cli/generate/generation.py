"""One generation, as `generate`, `check` and `watch` share it: what was asked for."""

from __future__ import annotations

import keyword
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from invokeai_gen.cli.options import F, schema_options
from invokeai_gen.cli.servers import open_schema, schema_path
from invokeai_gen.cli.settings import Settings, find_settings
from invokeai_gen.cli.sources import WorkflowSource, find_sources

if TYPE_CHECKING:
    from invokeai_gen.schema import Schema


def generation_options(function: F) -> F:
    """Add what decides the files of a generation to a command: WORKFLOWS, the output folder, the schema …"""
    function = schema_options(function)
    function = click.option(
        "--keep-names/--no-keep-names",
        default=None,
        help="Keep the Python name of inputs and outputs even if their label changes.",
    )(function)
    function = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the package, imported as `from FOLDER import NAME`. Default: that of pyproject.toml, else generated.",
    )(function)
    return click.argument("workflows", type=click.Path(path_type=Path), nargs=-1)(function)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What was asked for."""

    sources: tuple[WorkflowSource, ...]
    output: Path
    openapi: Path | None
    """The openapi.json to use; `None` for that of `server`, or the one that ships."""
    server: str | None
    keep_names: bool
    """Inputs and outputs whose label changed keep their name."""
    rename: bool
    """All names are chosen again."""
    prune: bool
    """Modules whose workflow is gone are removed."""
    check: bool
    """Nothing is written."""
    settings: Settings

    @classmethod
    def of(
        cls,
        workflows: tuple[Path, ...],
        output: Path | None,
        keep_names: bool | None,
        openapi: Path | None,
        server: str | None,
        *,
        rename: bool = False,
        prune: bool = False,
        check: bool = False,
    ) -> Generation:
        """Return what the command line asks for, completed from pyproject.toml.

        Raise `SettingsError`, and `InvokeAIGenError` or `UsageError` if no file is meant.
        """
        settings = find_settings()
        return cls(
            sources=tuple(find_sources(workflows, settings)),
            output=output if output is not None else settings.output_path,
            openapi=schema_path(openapi, server, settings),
            server=server,
            keep_names=bool(settings.keep_names if keep_names is None else keep_names) and not rename,
            rename=rename,
            prune=prune,
            check=check,
            settings=settings,
        )

    def schema(self) -> Schema:
        """Return the node types to generate against."""
        return open_schema(self.openapi, self.server)

    def folder_warnings(self) -> list[str]:
        """Return what is wrong with the name of the output folder, if anything is."""
        package = self.output.resolve().name
        if not package.isidentifier() or keyword.iskeyword(package):
            problem = "Python cannot import a folder of this name"
        elif package in sys.stdlib_module_names:
            problem = f"a folder of this name hides Python's own module {package!r} from the programs beside it"
        else:
            return []
        return [f"{self.output}: {problem}; choose another for `from FOLDER import …`"]
