"""One run of a workflow: its progress or events, and its files."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from invokeai_gen.cli.run.command_line import CommandLine
from invokeai_gen.cli.run.results import check_for_one, exit_interrupted, folder_of, print_removal
from invokeai_gen.cli.run.values import RunValues, explained_errors
from invokeai_gen.cli.servers import open_client
from invokeai_gen.cli.terminal import echo, echo_json
from invokeai_gen.core.results import NodeResult
from invokeai_gen.runtime.media import ImageOutput, VideoOutput
from invokeai_gen.runtime.options import RunOptions
from invokeai_gen.runtime.output_methods import media
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.texts import printable


def run_once(line: CommandLine, values: RunValues) -> None:
    """Run the workflow, save its outputs as `NAME.png` and print their paths."""
    folder = folder_of(line)
    if not line.no_save:
        check_for_one(folder, line)
    targets = tuple(target.replace("-", "_") for target in line.cleanup)
    # The outputs are deleted after they have been saved here, not when the run ends.
    options: dict[str, Any] = {
        "auto_board": line.auto_board,
        "create_boards": line.create_boards,
        "cleanup": tuple(target for target in targets if target != "outputs"),
        "progress": line.shows_progress,
        **(_event_printers() if line.events else {}),
    }
    with open_client(line.server, is_run=True) as client, explained_errors(line, values.given):
        try:
            params = values.workflow.params_type()
            outputs = values.workflow.run(params, client=client, timeout=line.timeout, **cast(RunOptions, options))
        except KeyboardInterrupt:
            exit_interrupted(["interrupted: the run is canceled and nothing was saved"])
        try:
            saved: dict[str, list[Path]] = {} if line.no_save else _save_outputs(outputs, folder, line)
        except KeyboardInterrupt:
            exit_interrupted([f"interrupted: the run is completed; what is not in {folder} is on the server"])
        if "outputs" in targets:
            print_removal(outputs.cleanup_outputs())
    _print_outputs(outputs, saved, line)
    if outputs.cleanup is not None:
        print_removal(outputs.cleanup)


def _event_printers() -> dict[str, Any]:
    """Return callbacks that print each event on a line."""
    kinds = ("status", "invocation_started", "invocation_progress", "invocation_complete", "invocation_error")

    def print_event(kind: str, event: Any) -> None:
        # Previews are large pictures.
        names = [item.name for item in fields(event) if item.name not in ("raw", "preview")]
        echo_json({"event": kind, **{name: getattr(event, name) for name in names}}, compact=True)

    return {f"on_{kind}": functools.partial(print_event, kind) for kind in kinds}


def _named(outputs: WorkflowOutputs, line: CommandLine) -> dict[str, Any]:
    """Return the outputs that are saved and printed by name: those of the user, and intermediate ones if wanted."""
    return outputs.user_outputs | (outputs.debug_outputs if line.intermediate else {})


def _save_outputs(outputs: WorkflowOutputs, folder: Path, line: CommandLine) -> dict[str, list[Path]]:
    """Save images and videos, with their metadata if wanted; return the files by output."""
    counts = {name: len(media(value)) for name, value in _named(outputs, line).items()}
    if not any(counts.values()):
        return {}  # without a folder
    saved = iter(
        outputs.download_outputs(
            folder, include_debug=line.intermediate, include_metadata=line.metadata, overwrite=line.overwrite
        )
    )
    return {name: list(itertools.islice(saved, count)) for name, count in counts.items()}


def _print_outputs(outputs: WorkflowOutputs, saved: Mapping[str, Sequence[Path]], line: CommandLine) -> None:
    """Print the paths of the files, one on a line, and `name: value` for numbers and texts; or all as JSON."""
    named = _named(outputs, line)
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
