"""Many runs of a workflow: sent, followed and saved; continued from a file; or only laid out."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.cli.run.command_line import CommandLine
from invokeai_gen.cli.run.results import (
    SweepReport,
    check_for_many,
    clean_up,
    exit_interrupted,
    folder_of,
    print_tracebacks,
)
from invokeai_gen.cli.run.values import RunValues, explained_errors
from invokeai_gen.cli.servers import make_client, open_client
from invokeai_gen.cli.terminal import counted, echo, echo_json, lines_of, one_line, print_messages
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.server import background
from invokeai_gen.server.client import core_of
from invokeai_gen.server.errors import ServerError
from invokeai_gen.sweeps.dynamic_prompts import expand
from invokeai_gen.sweeps.dynamic_workflow import workflow_of

if TYPE_CHECKING:
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.core.plan import JsonValue
    from invokeai_gen.sweeps.batching import Layout
    from invokeai_gen.sweeps.options import SweepOptions
    from invokeai_gen.sweeps.space import Space
    from invokeai_gen.sweeps.sweep import Sweep

_CHECK_INTERVAL: Final = 0.2
"""Seconds between checks of whether it is time to cancel."""


class ManyRuns:
    """Many runs of one workflow, as one command line wants them."""

    def __init__(self, line: CommandLine) -> None:
        self._line = line
        self._folder = folder_of(line)

    def run(self, values: RunValues) -> None:
        """Send all runs, wait for them and save their results."""
        values = self._expanded(values)
        with explained_errors(self._line):
            space = values.space()
            if not self._line.no_save:
                check_for_many(self._folder, self._line, self._dry_run(values, space)[0])

        def start(client: InvokeAIClient) -> Sweep[Any, Any]:
            lists: dict[str, Any] = {"product": values.product, "zip": values.zipped, "rows": values.rows}
            return values.workflow.sweep(values.base, client=client, **lists, **self._options(values))

        self._follow(start, values.given)

    def resume(self, file: Path) -> None:
        """Continue the runs that a sweep file records."""
        line = self._line

        def start(client: InvokeAIClient) -> Sweep[Any, Any]:
            sweep = workflow_of(line.plan).resume_sweep(
                file, client=client, errors="collect", progress=line.shows_progress, servers=line.servers or None
            )
            # What was pruned from the queue is run again, unless its files are there.
            sweep.retry(deleted=not line.no_save, unless_saved_in=None if line.no_save else self._folder)
            return sweep

        self._follow(start)

    def dry_run(self, values: RunValues) -> None:
        """Print how many runs there would be, and the first request."""
        values = self._expanded(values)
        with explained_errors(self._line):
            space = values.space()
            layout, enqueues, request = self._dry_run(values, space)
        counts = f"{counted(len(layout), 'item')} in {counted(enqueues, 'enqueue')}"
        title = self._line.plan.info.name or self._line.workflow.stem
        echo(f"{one_line(title)}: {counts}; nothing was sent", err=True)
        labels = {planned.name: planned.label for planned in self._line.plan.inputs}
        for axis in space.axes:
            names = ", ".join(f"{labels[name] or name} ({name})" for name in axis.names)
            echo(f"varies: {one_line(names)}: {counted(len(axis.rows), 'value')}", err=True)
        echo_json(request)

    def _expanded(self, values: RunValues) -> RunValues:
        """Return the values with the prompts that the server makes of `--dynamic`."""
        if not self._line.dynamic:
            return values
        with open_client(self._line.server) as client, explained_errors(self._line):
            product = background.run(expand(values.workflow.params_type, values.product, core_of(client)))
        return replace(values, product=product or {})

    def _dry_run(self, values: RunValues, space: Space[Any]) -> tuple[Layout, int, dict[str, JsonValue]]:
        from invokeai_gen.sweeps.layout import dry_run

        with make_client(self._line.server) as client:
            return background.run(dry_run(self._line.plan, space, core_of(client), self._options(values)))

    def _options(self, values: RunValues) -> SweepOptions:
        line = self._line
        return {
            "runs": values.runs,
            "retries": line.retries,
            "auto_board": line.auto_board,
            "create_boards": line.create_boards,
            "errors": "collect",
            "progress": line.shows_progress,
            "replace": values.replaced,
            "file": line.sweep_file,
            "servers": line.servers if len(line.servers) > 1 else None,
        }

    def _follow(self, start: Callable[[InvokeAIClient], Sweep[Any, Any]], given: Collection[str] = ()) -> None:
        """Start a sweep, save its results as they come, and report; exit with 1 unless all runs were completed."""
        line = self._line
        with open_client(line.server, is_run=True) as client, explained_errors(line, given):
            try:
                sweep = start(client)
            except KeyboardInterrupt:
                is_recorded = self._sweep_file is not None and self._sweep_file.exists()
                lines = ["interrupted while it was being sent; what was queued is canceled"]
                exit_interrupted([*lines, self._how_to_go_on(client)] if is_recorded else lines)
            report = SweepReport(sweep, None if line.no_save else self._folder)
            with sweep:
                try:
                    with canceling(sweep, line.timeout, line.errors == "raise") as is_late:
                        if line.no_save:
                            sweep.wait()
                        else:
                            self._save(sweep, report)
                except KeyboardInterrupt:
                    with contextlib.suppress(InvokeAIGenError, OSError, KeyboardInterrupt):
                        sweep.cancel()
                        if sweep.is_done and not line.no_save:  # what was completed
                            self._save(sweep, report)
                    exit_interrupted([f"interrupted: {report.so_far()}", self._how_to_go_on(client)])
                except InvokeAIGenError as error:
                    print_messages("error", [*lines_of(error), report.so_far(), self._how_to_go_on(client)])
                    sys.exit(1)
                failures = report.failures()
                if line.cleanup and not (failures and self._sweep_file is not None):
                    clean_up(sweep, line.cleanup)
            report.print(failures, as_json=line.as_json)
            print_messages("error", report.lines_of(failures))
            print_tracebacks([failure.error for failure in failures], verbose=line.verbose)
            if is_late.is_set():
                print_messages("error", [f"timed out after {line.timeout:g} s"])
            if failures:
                print_messages("error", [report.summary(), self._how_to_go_on(client)])
                sys.exit(1)
            if not line.quiet:
                echo(report.summary(), err=True)

    def _save(self, sweep: Sweep[Any, Any], report: SweepReport) -> None:
        line = self._line
        manifest = line.manifest or "csv"
        saved = sweep.download(
            self._folder,
            line.pattern,
            manifest=None if manifest == "none" else manifest,
            overwrite=line.overwrite,
            include_metadata=line.metadata,
            include_debug=line.intermediate,
        )
        suffixes = ["", ".json"] if line.metadata else [""]
        report.files = [path.with_suffix(suffix or path.suffix) for path in saved for suffix in suffixes]
        if line.contact_sheet is not None:
            sweep.contact_sheet(line.contact_sheet)
            report.files.append(line.contact_sheet)
        if line.gallery is not None:
            report.files.append(sweep.gallery(line.gallery))

    def _how_to_go_on(self, client: InvokeAIClient) -> str:
        """Return a line with the command that continues after a failure or an interrupt."""
        if self._sweep_file is None:
            return "with --file FILE, a later run could continue from here"
        servers = self._line.servers or (() if self._line.resume else (client.url,))
        return f"to go on: {self._line.how_to_resume(self._sweep_file, self._folder, servers)}"

    @property
    def _sweep_file(self) -> Path | None:
        return self._line.resume or self._line.sweep_file


@contextlib.contextmanager
def canceling(sweep: Sweep[Any, Any], seconds: float | None, stops_at_failure: bool) -> Iterator[threading.Event]:
    """Cancel the sweep after so many seconds, which sets the event that is yielded, or when a run has failed."""
    is_late, is_over = threading.Event(), threading.Event()
    end = time.monotonic() + (math.inf if seconds is None else seconds)

    def watch() -> None:
        while not is_over.wait(_CHECK_INTERVAL):
            if time.monotonic() >= end:
                is_late.set()
            if is_late.is_set() or (stops_at_failure and sweep.counts.failed):
                with contextlib.suppress(ServerError):
                    sweep.cancel()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield is_late
    finally:
        is_over.set()
        watcher.join()
