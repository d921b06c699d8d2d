"""One run of a workflow: its progress or events, and its files."""

from __future__ import annotations

import functools
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from invokeai_gen.cli.run.folder import check_for_one, folder_of
from invokeai_gen.cli.run.report import exit_interrupted, print_outputs, print_removal, save_outputs
from invokeai_gen.cli.run.values import RunValues, explained_errors
from invokeai_gen.cli.servers import open_client
from invokeai_gen.cli.terminal import echo_json

if TYPE_CHECKING:
    from invokeai_gen.cli.run.command_line import CommandLine
    from invokeai_gen.runtime.options import RunOptions


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
        "progress": shows_progress(line),
        **(_event_printers() if line.events else {}),
    }
    with open_client(line.server, is_run=True) as client, explained_errors(line, values.given):
        try:
            params = values.workflow.params_type()
            outputs = values.workflow.run(params, client=client, timeout=line.timeout, **cast("RunOptions", options))
            saved: dict[str, list[Path]] = {} if line.no_save else save_outputs(outputs, folder, line)
        except KeyboardInterrupt:
            exit_interrupted(["interrupted: the run is canceled and nothing was saved"])
        if "outputs" in targets:
            print_removal(outputs.cleanup_outputs())
    print_outputs(outputs, saved, line)
    if outputs.cleanup is not None:
        print_removal(outputs.cleanup)


def shows_progress(line: CommandLine) -> bool:
    """Return whether to show progress: if stderr is a terminal, unless only errors or events are to be printed."""
    return not (line.quiet or line.events) and sys.stderr.isatty()


def _event_printers() -> dict[str, Any]:
    """Return callbacks that print each event on a line."""
    kinds = ("status", "invocation_started", "invocation_progress", "invocation_complete", "invocation_error")

    def print_event(kind: str, event: Any) -> None:
        # Previews are large pictures.
        names = [item.name for item in fields(event) if item.name not in ("raw", "preview")]
        echo_json({"event": kind, **{name: getattr(event, name) for name in names}}, compact=True)

    return {f"on_{kind}": functools.partial(print_event, kind) for kind in kinds}
