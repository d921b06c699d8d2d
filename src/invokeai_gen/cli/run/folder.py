"""Where `run` saves results, checked before anything is sent."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from invokeai_gen.atomic_files import locked, remove_leftovers
from invokeai_gen.cli.run.command_line import CommandLine
from invokeai_gen.cli.terminal import fail
from invokeai_gen.core.file_names import safe_name
from invokeai_gen.errors import MissingExtraError

if TYPE_CHECKING:
    from invokeai_gen.sweeps.batching import Layout

_SUFFIXES: Final = (".png", ".mp4", ".webm", ".mov")
_LEFT_BEHIND: Final = 60.0
"""Age in seconds from which a temporary file counts as abandoned; writing one takes much less."""


def folder_of(line: CommandLine) -> Path:
    """Return the folder of the command line, else one that does not exist yet or is empty."""
    if line.output is not None:
        return line.output
    folder = Path(f"{line.workflow.stem}-out")
    others = (Path(f"{folder}-{number}") for number in itertools.count(2))
    while os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        folder = next(others)
    return folder


def check_for_one(folder: Path, line: CommandLine) -> None:
    """Exit if the results of one run cannot be saved or would replace a file."""
    _check_folder(folder)
    for path in _in_the_way(folder, line) if not line.overwrite else ():
        fail("exists already; --overwrite replaces it, -o names another folder", source=str(path))
    remove_leftovers_of_killed_runs(folder)


def check_for_many(folder: Path, line: CommandLine, layout: Layout) -> None:
    """Exit, or raise `InvokeAIGenError`, if it is already known that results cannot be saved."""
    from invokeai_gen.sweeps.files.saving import Saver

    Saver(layout, folder, line.pattern, None, include_debug=line.intermediate).check()
    _check_folder(folder)
    manifest = folder / f"manifest.{line.manifest or 'csv'}"
    if manifest.exists() and not line.overwrite:
        fail(
            "the folder has the results of other runs; --overwrite replaces them, -o names another folder",
            source=str(manifest),
        )
    for path in filter(None, (line.contact_sheet, line.gallery)):
        _check_folder(path.parent)
        if path.exists() and not line.overwrite:
            fail("exists already; --overwrite replaces it", source=str(path))
    if line.contact_sheet is not None and find_spec("PIL") is None:
        raise MissingExtraError("--contact-sheet needs", "Pillow", "images")
    remove_leftovers_of_killed_runs(folder)


def remove_leftovers_of_killed_runs(folder: Path) -> None:
    """Remove the `.part` files that a killed run left in the folder, unless another process is saving there now."""
    if folder.is_dir():
        with contextlib.suppress(OSError), locked(folder, wait=False):
            remove_leftovers(folder, older_than=_LEFT_BEHIND)


def _check_folder(folder: Path) -> None:
    """Exit if the folder does not exist and cannot be created, or cannot be written to."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path())
    if not existing.is_dir():
        fail("is a file, not a folder", source=str(existing))
    if not os.access(existing, os.W_OK):
        fail("cannot be written to", source=str(existing))


def _in_the_way(folder: Path, line: CommandLine) -> Iterator[Path]:
    """Yield the files in a folder that the outputs of a run would replace."""
    suffixes = (*_SUFFIXES, ".json") if line.metadata else _SUFFIXES
    for output in line.plan.outputs:
        if output.role == "debug" and not line.intermediate:
            continue
        stem = safe_name(output.name or output.node_id)
        for name in (stem, f"{stem}-000"):
            yield from (path for suffix in suffixes if (path := folder / f"{name}{suffix}").exists())
