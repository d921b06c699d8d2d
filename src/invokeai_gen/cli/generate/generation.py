"""One generation, as `generate`, `check` and `watch` share it: the workflow files, and what was asked for."""

from __future__ import annotations

import glob
import keyword
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from invokeai_gen.cli.options import F, output_option, schema_options
from invokeai_gen.cli.servers import open_schema, schema_path
from invokeai_gen.cli.settings import Settings, find_settings
from invokeai_gen.errors import InvokeAIGenError

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
    text = (
        "Folder of the package, imported as `from FOLDER import NAME`. Default: that of pyproject.toml, else generated."
    )
    function = output_option(text, is_folder=True)(function)
    return click.argument("workflows", type=click.Path(path_type=Path), nargs=-1)(function)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What was asked for."""

    sources: Mapping[PurePath, Path]
    """The workflow files by name: as on the command line, or relative to the pyproject.toml. Names of modules are made
    from these, so that they do not depend on the current folder."""
    output: Path
    openapi: Path | None
    """The openapi.json to use; `None` for that of `server`, or the one that ships."""
    server: str | None
    keep_names: bool
    """Inputs and outputs whose label changed keep their name."""
    settings: Settings
    rename: bool = False
    """All names are chosen again."""
    prune: bool = False
    """Modules whose workflow is gone are removed."""
    check: bool = False
    """Nothing is written."""

    @classmethod
    def of(
        cls,
        workflows: tuple[Path, ...],
        output: Path | None,
        keep_names: bool | None,
        openapi: Path | None,
        server: str | None,
        **how: bool,
    ) -> Generation:
        """Return what the command line asks for, completed from pyproject.toml; `how` has `rename`, `prune` and `check`.

        Raise `SettingsError`, and `InvokeAIGenError` or `UsageError` if no file is meant.
        """
        settings = find_settings()
        return cls(
            sources=find_sources(workflows, settings),
            output=output if output is not None else settings.output_path,
            openapi=schema_path(openapi, server, settings),
            server=server,
            keep_names=bool(settings.keep_names if keep_names is None else keep_names) and not how.get("rename"),
            settings=settings,
            **how,
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


def find_sources(workflows: tuple[Path, ...], settings: Settings) -> dict[PurePath, Path]:
    """Return the files and folders of the command line, else those of pyproject.toml. Raise if there is neither."""
    if workflows:
        return {path: path for path in _files(workflows, Path(), "")}
    where = "" if settings.source is None else str(settings.path(settings.source))
    if not settings.workflows:
        hint = f" ({where} names none)" if where else ""
        raise click.UsageError(f"missing WORKFLOWS: name files or folders, or run `invokeai-gen init` first{hint}")
    found = _files(map(Path, settings.workflows), settings.root, f" (from {where})")
    return {PurePath(os.path.relpath(path, settings.root)): settings.path(path) for path in found}


def _files(patterns: Iterable[Path], root: Path, where: str) -> list[Path]:
    """Return the files below `root` that are named or match, and every `*.json` of such folders.

    Shells expand patterns themselves, except those of Windows.
    """
    searched = list(map(str, patterns))
    found: list[Path] = []
    for pattern in searched:
        paths = [root / pattern]
        if glob.has_magic(pattern) and not paths[0].exists():
            paths = sorted(root / match for match in glob.glob(pattern, root_dir=root, recursive=True))
        for path in paths:
            if path.is_dir():
                found += sorted(item for item in path.glob("*.json") if item.is_file())
            elif path.exists():
                found.append(path)
            else:
                library = f" (from a server's library: `invokeai-gen workflows pull {pattern!r}` first)"
                raise InvokeAIGenError(f"{pattern}: no such file or folder{where}{'' if path.suffix else library}")
    if not found:
        below = next((text for text in searched if (root / text).is_dir() and any((root / text).rglob("*.json"))), None)
        hint = f"; subfolders have some: {str(Path(below) / '**' / '*.json')!r}" if below is not None else ""
        raise InvokeAIGenError(f"{', '.join(searched)}: no workflow files (*.json) there{where}{hint}")
    return found
