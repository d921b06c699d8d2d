"""The results of `run`: where they are saved, checked before anything is sent, and what is printed of them."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from invokeai_gen.atomic_files import locked, remove_leftovers
from invokeai_gen.cli.run.command_line import CommandLine
from invokeai_gen.cli.terminal import echo, echo_json, fail, print_messages
from invokeai_gen.core.file_names import safe_name
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.short_texts import short_text
from invokeai_gen.errors import MissingExtraError
from invokeai_gen.server.errors import JobCanceledError
from invokeai_gen.server.run_errors import JobFailedError
from invokeai_gen.texts import collapsed

if TYPE_CHECKING:
    from invokeai_gen.server.removal import Removal
    from invokeai_gen.sweeps.batching import Layout
    from invokeai_gen.sweeps.results import SweepResult
    from invokeai_gen.sweeps.sweep import Sweep

_SUFFIXES: Final = (".png", ".mp4", ".webm", ".mov")
_LEFT_BEHIND: Final = 60.0
"""Age in seconds from which a temporary file counts as abandoned; writing one takes much less."""
_SHOWN: Final = 20
"""Failures that are printed one by one."""


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


class SweepReport:
    """The results of many runs, as text and as JSON."""

    def __init__(self, sweep: Sweep[Any, Any], folder: Path | None) -> None:
        self._sweep = sweep
        self._folder = folder
        self.files: list[Path] = []
        """The saved files."""

    def failures(self) -> list[SweepResult[Any, Any]]:
        """Return the results of runs that were not completed."""
        counts = self._sweep.counts
        return self._sweep.failures() if counts.completed < counts.total else []

    def lines_of(self, failures: Iterable[SweepResult[Any, Any]]) -> list[str]:
        """Return a line for each failure, up to a limit: failed runs first, then canceled ones."""
        ordered = sorted(failures, key=lambda failure: isinstance(failure.error, JobCanceledError))
        lines = []
        for failure in ordered[:_SHOWN]:
            values = ", ".join(f"{name}={short_text(getattr(failure.params, name))}" for name in self._sweep.varying)
            lines.append(f"item {failure.index}{f' ({values})' if values else ''}: {collapsed(str(failure.error))}")
        return lines if len(ordered) <= _SHOWN else [*lines, f"and {len(ordered) - _SHOWN} more"]

    def summary(self) -> str:
        """Return how many runs were completed, and where their files are."""
        counts = self._sweep.counts
        where = f"; saved in {self._folder}" if self._folder is not None and counts.completed else ""
        return self._counted(canceled=counts.canceled, not_sent=counts.unsent, lost=counts.other) + where

    def so_far(self) -> str:
        """Return how many runs had been completed when the sweep was stopped."""
        counts = self._sweep.counts
        where = ""
        if self._folder is not None and counts.completed:
            where = f" (saved in {self._folder})" if self.files else f" (files fetched so far are in {self._folder})"
        left = counts.total - counts.finished
        unconfirmed = f"{left} may still run: the server did not confirm that they are canceled"
        return f"{self._counted()}{where}; {unconfirmed if left else 'the rest is canceled'}"

    def _counted(self, **others: int) -> str:
        counts = self._sweep.counts
        states = {"failed": counts.failed, **others}
        parts = [f"{count} {state.replace('_', ' ')}" for state, count in states.items() if count]
        return ", ".join([f"{counts.completed} of {counts.total} completed", *parts])

    def print(self, failures: Iterable[SweepResult[Any, Any]], *, as_json: bool) -> None:
        """Print the paths of the saved files, one on a line, or everything as JSON."""
        if not as_json:
            for path in self.files:
                echo(str(path))
            return
        failed = [
            {
                "index": failure.index,
                "item_id": failure.item_id,
                "values": {name: to_json(getattr(failure.params, name)) for name in self._sweep.varying},
                "error": str(failure.error),
            }
            for failure in failures
        ]
        echo_json({**asdict(self._sweep.counts), "folder": self._folder, "files": self.files, "failures": failed})


def print_tracebacks(errors: Iterable[Exception | None], *, verbose: bool) -> None:
    """Print the server's traceback of each failed run, up to a limit; or only how to see it, unless `verbose`."""
    found = [error for error in errors if isinstance(error, JobFailedError) and error.server_traceback]
    if found and not verbose:
        print_messages("hint", ["--verbose prints the server's traceback"])
    for error in found[:_SHOWN] if verbose else ():
        echo(f"queue item {error.item_id} on the server:\n{error.server_traceback.strip()}", err=True)


def clean_up(sweep: Sweep[Any, Any], targets: Iterable[str]) -> None:
    """Delete what is named from the server, and print what is still there."""
    actions = {
        "outputs": sweep.cleanup_outputs,
        "inputs": sweep.cleanup_inputs,
        "boards": sweep.cleanup_boards,
        "queue-items": sweep.cleanup_queue_items,
    }
    for target, act in actions.items():
        if target in targets:
            print_removal(act())


def print_removal(removal: Removal) -> None:
    """Print what could not be deleted from the server."""
    print_messages("warning", [f"{name} is still on the server: {reason}" for name, reason in removal.failed.items()])


def exit_interrupted(lines: Iterable[str]) -> NoReturn:
    """Print on stderr what an interrupt has left, and exit with 130."""
    for line in lines:
        echo(line, err=True)
    sys.exit(130)
