"""What `run` saves and prints: files, lines on stdout, and the result of each of many runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from invokeai_gen.cli.terminal import echo, echo_json, print_messages
from invokeai_gen.texts import printable

if TYPE_CHECKING:
    from invokeai_gen.cli.run.command_line import CommandLine
    from invokeai_gen.core.params import WorkflowParams
    from invokeai_gen.runtime.outputs import WorkflowOutputs
    from invokeai_gen.server.removal import Removal
    from invokeai_gen.sweeps.results import SweepResult
    from invokeai_gen.sweeps.sweep import Sweep

_SHOWN: Final = 20
"""Failures that are printed one by one."""


# -- one run -----------------------------------------------------------------------------------------------------------


def named_outputs(outputs: WorkflowOutputs, line: CommandLine) -> dict[str, Any]:
    """Return the outputs that are saved and printed by name: those of the user, and intermediate ones if wanted."""
    return {**outputs.user_outputs, **(outputs.debug_outputs if line.intermediate else {})}


def save_outputs(outputs: WorkflowOutputs, folder: Path, line: CommandLine) -> dict[str, list[Path]]:
    """Save images and videos, with their metadata if wanted; return the files of the images by output."""
    from invokeai_gen.runtime.output_files import file_names
    from invokeai_gen.runtime.output_methods import media

    named = named_outputs(outputs, line)
    names = iter(file_names(named))
    saved = {name: [folder / next(names)[0] for _ in media(value)] for name, value in named.items()}
    if any(saved.values()):
        outputs.download_outputs(
            folder, include_debug=line.intermediate, include_metadata=line.metadata, overwrite=line.overwrite
        )
    return saved


def print_outputs(outputs: WorkflowOutputs, saved: Mapping[str, Sequence[Path]], line: CommandLine) -> None:
    """Print the paths of the files, one on a line, and `name: value` for numbers and texts; or all as JSON."""
    from invokeai_gen.runtime.output_methods import media

    named = named_outputs(outputs, line)
    if line.as_json:
        found = {name: _as_json(value, iter(saved.get(name, ()))) for name, value in named.items()}
        echo_json({"item_id": outputs.item_id, "outputs": found}, compact=line.events)
        return
    for name, value in named.items():
        for path in saved.get(name, ()):
            echo(str(path))
            if line.metadata:
                echo(str(path.with_suffix(".json")))
        if not saved and (names := [item.name for item in media(value)]):
            echo(printable(f"{name}: {', '.join(names)}"))
        elif _is_plain(value):
            echo(printable(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"))


def _as_json(value: Any, files: Iterator[Path]) -> Any:
    """Return an output as JSON data: plain values as they are, images and videos with their file, name and size."""
    from invokeai_gen.core.results import NodeResult
    from invokeai_gen.runtime.media import ImageOutput, VideoOutput

    if isinstance(value, list):
        return [_as_json(item, files) for item in value]
    if isinstance(value, (ImageOutput, VideoOutput)):
        key = "image_name" if isinstance(value, ImageOutput) else "video_name"
        data = {key: value.name, "width": value.width, "height": value.height}
        return {"file": str(path), **data} if (path := next(files, None)) is not None else data
    if isinstance(value, NodeResult):
        return dict(value.fields)
    return value if _is_plain(value) else {"name": getattr(value, "name", None)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


# -- many runs ---------------------------------------------------------------------------------------------------------


class SweepReport:
    """The results of many runs, as text and as JSON."""

    def __init__(self, sweep: Sweep[WorkflowParams, WorkflowOutputs], folder: Path | None) -> None:
        self._sweep = sweep
        self._folder = folder
        self.files: list[Path] = []
        """The saved files."""

    def failures(self) -> list[SweepResult[WorkflowParams, WorkflowOutputs]]:
        """Return the results of runs that were not completed."""
        counts = self._sweep.counts
        return self._sweep.failures() if counts.completed < counts.total else []

    def lines_of(self, failures: Iterable[SweepResult[WorkflowParams, WorkflowOutputs]]) -> list[str]:
        """Return a line for each failure, up to a limit: failed runs first, then canceled ones."""
        from invokeai_gen.server.errors import JobCanceledError

        ordered = sorted(failures, key=lambda failure: isinstance(failure.error, JobCanceledError))
        lines = [self._line_of(failure) for failure in ordered[:_SHOWN]]
        return lines if len(ordered) <= _SHOWN else [*lines, f"and {len(ordered) - _SHOWN} more"]

    def _line_of(self, failure: SweepResult[WorkflowParams, WorkflowOutputs]) -> str:
        """Return the index, the values and the error of a run that was not completed."""
        from invokeai_gen.core.short_texts import short_text

        values = ", ".join(f"{name}={short_text(getattr(failure.params, name))}" for name in self._sweep.varying)
        where = f"item {failure.index}" + (f" ({values})" if values else "")
        return f"{where}: {' '.join(str(failure.error).split())}"

    def summary(self) -> str:
        """Return how many runs were completed, and where their files are."""
        counts = self._sweep.counts
        states = {"failed": counts.failed, "canceled": counts.canceled, "not sent": counts.unsent, "lost": counts.other}
        where = f"; saved in {self._folder}" if self._folder is not None and counts.completed else ""
        return self._counted(states) + where

    def _counted(self, states: Mapping[str, int]) -> str:
        counts = self._sweep.counts
        parts = [f"{count} {state}" for state, count in states.items() if count]
        return ", ".join([f"{counts.completed} of {counts.total} completed", *parts])

    def so_far(self) -> str:
        """Return how many runs had been completed when the sweep was stopped."""
        counts = self._sweep.counts
        where = ""
        if self._folder is not None and counts.completed:
            where = f" (saved in {self._folder})" if self.files else f" (files fetched so far are in {self._folder})"
        left = counts.total - counts.finished
        unconfirmed = f"{left} may still run: the server did not confirm that they are canceled"
        return f"{self._counted({'failed': counts.failed})}{where}; {unconfirmed if left else 'the rest is canceled'}"

    def print(self, failures: Iterable[SweepResult[WorkflowParams, WorkflowOutputs]], *, as_json: bool) -> None:
        """Print the paths of the saved files, one on a line, or everything as JSON."""
        if not as_json:
            for path in self.files:
                echo(str(path))
            return
        from dataclasses import asdict

        from invokeai_gen.core.json_writing import to_json

        varying = self._sweep.varying
        failed = [
            {
                "index": failure.index,
                "item_id": failure.item_id,
                "values": {name: to_json(getattr(failure.params, name)) for name in varying},
                "error": str(failure.error),
            }
            for failure in failures
        ]
        folder = None if self._folder is None else str(self._folder)
        files = [str(path) for path in self.files]
        echo_json({**asdict(self._sweep.counts), "folder": folder, "files": files, "failures": failed})


def print_tracebacks(errors: Iterable[Exception | None], *, verbose: bool) -> None:
    """Print the server's traceback of each failed run, up to a limit; or only how to see it, unless `verbose`."""
    from invokeai_gen.server.run_errors import JobFailedError

    found = [error for error in errors if isinstance(error, JobFailedError) and error.server_traceback]
    if found and not verbose:
        print_messages("hint", ["--verbose prints the server's traceback"])
    for error in found[:_SHOWN] if verbose else ():
        echo(f"queue item {error.item_id} on the server:\n{error.server_traceback.strip()}", err=True)


def clean_up(sweep: Sweep[WorkflowParams, WorkflowOutputs], targets: Iterable[str]) -> None:
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
