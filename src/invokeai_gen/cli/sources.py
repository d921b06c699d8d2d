"""The workflow files that a command reads."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

import click

from invokeai_gen.cli.settings import Settings
from invokeai_gen.errors import InvokeAIGenError


@dataclass(frozen=True, slots=True)
class WorkflowSource:
    """A workflow file: its name for the user, and its path."""

    name: PurePath
    """As on the command line, or relative to the pyproject.toml: module names are made from this, so that they do not
    depend on the current folder."""
    path: Path

    def __str__(self) -> str:
        return str(self.path)


def find_sources(workflows: tuple[Path, ...], settings: Settings) -> list[WorkflowSource]:
    """Return the files and folders of the command line, else those of pyproject.toml. Raise if there is neither."""
    if workflows:
        return [WorkflowSource(path, path) for path in _files(workflows)]
    if not settings.workflows:
        where = "" if settings.source is None else f" ({settings.path(settings.source)} names none)"
        raise click.UsageError(f"missing WORKFLOWS: name files or folders, or run `invokeai-gen init` first{where}")
    found = _files(settings.path(path) for path in _matches(settings))
    return [WorkflowSource(PurePath(os.path.relpath(path.absolute(), settings.root)), path) for path in found]


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
    """Return the files that are named, and every `*.json` of the folders that are, each once."""
    found: list[Path] = []
    searched: list[str] = []
    for path in paths:
        searched.append(str(path))
        if path.is_dir():
            found += sorted(item for item in path.glob("*.json") if item.is_file())
        elif path.exists():
            found.append(path)
        elif glob.has_magic(str(path)):  # a shell that expands nothing, such as that of Windows
            found += map(Path, sorted(glob.glob(str(path), recursive=True)))
        else:
            hint = (
                "" if path.suffix else f" (from a server's library: `invokeai-gen workflows pull {str(path)!r}` first)"
            )
            raise InvokeAIGenError(f"{path}: no such file or folder{hint}")
    if not found:
        below = next((path for path in searched if Path(path).is_dir() and any(Path(path).rglob("*.json"))), None)
        hint = f"; subfolders have some: {str(Path(below) / '**' / '*.json')!r}" if below is not None else ""
        raise InvokeAIGenError(f"{', '.join(searched)}: no workflow files (*.json) there{hint}")
    return list(dict.fromkeys(found))
