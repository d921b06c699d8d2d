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
        return [WorkflowSource(path, path) for path in _files(workflows, Path(), "")]
    where = "" if settings.source is None else str(settings.path(settings.source))
    if not settings.workflows:
        hint = f" ({where} names none)" if where else ""
        raise click.UsageError(f"missing WORKFLOWS: name files or folders, or run `invokeai-gen init` first{hint}")
    found = _files(map(Path, settings.workflows), settings.root, f" (from {where})")
    return [WorkflowSource(PurePath(os.path.relpath(path, settings.root)), settings.path(path)) for path in found]


def _files(patterns: Iterable[Path], root: Path, where: str) -> list[Path]:
    """Return the files below `root` that are named or match, and every `*.json` of such folders, each once.

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
    return list(dict.fromkeys(found))
