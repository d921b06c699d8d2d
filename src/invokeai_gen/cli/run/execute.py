"""Running the workflow of a call of `run`: once, many times, on from a file, or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from invokeai_gen.cli.run.folder import check_for_many, check_for_one, new_folder
from invokeai_gen.cli.run.values import read_values, told_with_index, workflow_of
from invokeai_gen.cli.settings import find_settings
from invokeai_gen.cli.terminal import echo, echo_json, lines_of, one_line, print_messages
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from rich.console import Console

    from invokeai_gen.cli.named_workflow import NamedWorkflow
    from invokeai_gen.cli.run.call import Call
    from invokeai_gen.cli.run.report import SweepReport
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.core.params import WorkflowParams
    from invokeai_gen.runtime.options import RunOptions, SweepOptions
    from invokeai_gen.runtime.outputs import WorkflowOutputs
    from invokeai_gen.sweeps.results import SweepResult
    from invokeai_gen.sweeps.sweep import Sweep

_WATCH_EVERY: Final = 0.2
"""Seconds between looks at whether it is time to cancel."""


class Runner:
    """One call of the command, its workflow found and its options read."""

    def __init__(self, runnable: NamedWorkflow, call: Call, inputs: Mapping[str, tuple[str, str]]) -> None:
        self._runnable = runnable
        self._plan = runnable.plan
        self._call = call
        self._inputs = inputs
        """By Python name: the option that an input was given with, and its text."""
        self._settings = find_settings()
        self._folder = call.output if call.output is not None else new_folder(runnable.stem)

    # -- running it ----------------------------------------------------------------------------------------------------

    def once(self) -> None:
        """One run, whose outputs are saved as `NAME.png`."""
        from invokeai_gen.cli.run.report import print_outputs, save_outputs
        from invokeai_gen.cli.servers import open_client
        from invokeai_gen.runtime.progress import Display

        workflow = read_values(self._plan, self._call, self._inputs).workflow
        if not self._call.no_save:
            check_for_one(self._plan, self._folder, overwrite=self._call.overwrite)
        options: dict[str, Any] = {
            "auto_board": self._call.auto_board,
            "create_boards": self._call.create_boards,
            "cleanup": tuple(target.replace("-", "_") for target in self._call.cleanup),
        }
        with open_client(self._call.server, self._settings) as client:
            try:
                with contextlib.ExitStack() as stack:
                    if (console := self._console()) is not None:
                        options = stack.enter_context(Display(self._title, console=console)).wrapped(options)
                    outputs = workflow.run(
                        workflow.params_type(),
                        client=client,
                        timeout=self._call.timeout,
                        **cast("RunOptions", options),
                    )
                saved = {} if self._call.no_save else save_outputs(outputs, self._folder)
            except KeyboardInterrupt:
                _leave_interrupted(["interrupted: the run is canceled, nothing was saved"])
        print_outputs(outputs, saved, as_json=self._call.as_json)
        if outputs.cleanup is not None:
            print_messages(
                "warning", [f"{name} is still on the server: {why}" for name, why in outputs.cleanup.failed.items()]
            )

    def sweep(self) -> None:
        """Many runs."""
        from invokeai_gen.cli.servers import open_client

        values = read_values(self._plan, self._call, self._inputs)
        options = self._sweep_options()
        if self._call.sweep_file is not None:
            options["file"] = self._call.sweep_file
        with told_with_index(self._plan):
            space = values.space()
        if not self._call.no_save:
            check_for_many(self._plan, self._folder, self._call, space)
        with open_client(self._call.server, self._settings) as client, told_with_index(self._plan), _notes_told():
            with self._interrupted_at_the_start(client):
                sweep = values.workflow.sweep(
                    values.base, product=values.product, zip=values.zipped, rows=values.rows, client=client, **options
                )
            self._follow(sweep, client)

    def resume(self, file: Path) -> None:
        """Goes on with many runs."""
        from invokeai_gen.cli.servers import open_client

        workflow = workflow_of(self._plan, {})
        with open_client(self._call.server, self._settings) as client, told_with_index(self._plan), _notes_told():
            with self._interrupted_at_the_start(client):
                sweep = workflow.resume_sweep(file, client=client, errors="collect")
                sweep.retry()
            self._follow(sweep, client)

    def dry_run(self) -> None:
        """Tells what would be sent."""
        from invokeai_gen.server import background
        from invokeai_gen.server.client import AsyncInvokeAIClient
        from invokeai_gen.sweeps.dry_run import dry_run
        from invokeai_gen.sweeps.start import SweepStarter

        values = read_values(self._plan, self._call, self._inputs)
        starter = SweepStarter(self._plan, values.workflow.params_type, values.workflow.outputs_type)
        client = AsyncInvokeAIClient(self._call.server or os.environ.get("INVOKEAI_URL") or self._settings.server)
        with told_with_index(self._plan):
            space = values.space()
            planned_run = background.run(dry_run(starter, space, client, self._sweep_options()))
        counts = f"{_counted(planned_run.total, 'item')} in {_counted(planned_run.enqueues, 'enqueue')}"
        echo(f"{one_line(self._title)}: {counts}; nothing was sent", err=True)
        labels = {planned.name: planned.label for planned in self._plan.inputs}
        for axis in space.axes:
            names = ", ".join(f"{labels[name] or name} ({name})" for name in axis.names)
            echo(f"varies: {one_line(names)}: {_counted(len(axis.rows), 'value')}", err=True)
        echo_json(planned_run.request)

    @contextlib.contextmanager
    def _interrupted_at_the_start(self, client: InvokeAIClient) -> Iterator[None]:
        """Says what an interrupt has left of a sweep that was about to begin, and leaves."""
        try:
            yield
        except KeyboardInterrupt:
            is_noted = self._sweep_file is not None and self._sweep_file.exists()
            lines = ["interrupted while it was being sent; what was queued is canceled"]
            _leave_interrupted([*lines, self._how_to_go_on(client)] if is_noted else lines)

    def _sweep_options(self) -> SweepOptions:
        return {
            "runs": self._call.runs,
            "auto_board": self._call.auto_board,
            "create_boards": self._call.create_boards,
            "errors": "collect",
        }

    # -- following many runs -------------------------------------------------------------------------------------------

    def _follow(self, sweep: Sweep[WorkflowParams, WorkflowOutputs], client: InvokeAIClient) -> None:
        from invokeai_gen.cli.run.report import SweepReport, clean_up
        from invokeai_gen.sweeps.progress import SweepDisplay

        call = self._call
        report = SweepReport(sweep, None if call.no_save else self._folder)
        with sweep:
            try:
                with watched(sweep, call.timeout, call.errors == "raise") as is_late, contextlib.ExitStack() as stack:
                    if (console := self._console()) is not None:
                        stack.enter_context(SweepDisplay(self._title, lambda: sweep.counts, console=console))
                    if call.no_save:
                        sweep.wait()
                    else:
                        self._save(sweep, report)
            except KeyboardInterrupt:
                self._save_what_is_done(sweep, report)
                _leave_interrupted([f"interrupted: {report.so_far()}", self._how_to_go_on(client)])
            except InvokeAIGenError as error:
                print_messages("error", [*lines_of(error), report.so_far(), self._how_to_go_on(client)])
                sys.exit(1)
            failures = report.failures()
            if call.cleanup and not (failures and self._sweep_file is not None):
                clean_up(sweep, call.cleanup)
        if call.as_json:
            report.print_json(failures)
        else:
            report.print_files()
        self._conclude(report, failures, is_late.is_set(), client)

    def _save(self, sweep: Sweep[WorkflowParams, WorkflowOutputs], report: SweepReport) -> None:
        manifest = self._call.manifest or "csv"
        report.files = sweep.download(
            self._folder,
            self._call.pattern,
            manifest=None if manifest == "none" else manifest,
            overwrite=self._call.overwrite,
        )
        if self._call.contact_sheet is not None:
            sweep.contact_sheet(self._call.contact_sheet)
            report.files.append(self._call.contact_sheet)

    def _save_what_is_done(self, sweep: Sweep[WorkflowParams, WorkflowOutputs], report: SweepReport) -> None:
        """After an interrupt: nothing more is run, and what was completed is not left behind."""
        with contextlib.suppress(InvokeAIGenError, OSError, KeyboardInterrupt):
            sweep.cancel()
            if sweep.is_done and not self._call.no_save:
                self._save(sweep, report)

    def _conclude(
        self,
        report: SweepReport,
        failures: Sequence[SweepResult[WorkflowParams, WorkflowOutputs]],
        is_late: bool,
        client: InvokeAIClient,
    ) -> None:
        """Says what became of it, and leaves with 1 where not all were completed."""

        print_messages("error", report.lines_of(failures))
        if is_late:
            print_messages("error", [f"the time of {self._call.timeout:g} s was over before all runs had ended"])
        if failures:
            print_messages("error", [report.summary(), self._how_to_go_on(client)])
            sys.exit(1)
        if not self._call.quiet:
            echo(report.summary(), err=True)

    def _how_to_go_on(self, client: InvokeAIClient) -> str:
        import shlex

        if self._sweep_file is None:
            return "with --file FILE the rest could be run later"
        words = ["invokeai-gen", "run", self._runnable.shown, "--resume", str(self._sweep_file)]
        words += ["--no-save"] if self._call.no_save else ["-o", str(self._folder)]
        words += ["--pattern", self._call.pattern] if self._call.pattern else []
        return f"to go on: {shlex.join([*words, '--server', client.url])}"

    @property
    def _sweep_file(self) -> Path | None:
        return self._call.resume or self._call.sweep_file

    # -- small things --------------------------------------------------------------------------------------------------

    @property
    def _title(self) -> str:
        return self._plan.info.name or self._runnable.stem

    def _console(self) -> Console | None:
        """Where progress is shown; `None` for nowhere."""
        if self._call.quiet or not sys.stderr.isatty():
            return None
        from rich.console import Console

        return Console(stderr=True)


@contextlib.contextmanager
def watched(sweep: Sweep[Any, Any], seconds: float | None, stops_at_failure: bool) -> Iterator[threading.Event]:
    """Cancels the sweep when its time is over, which the event tells, or, if that is wanted, when a run has failed."""
    from invokeai_gen.server.errors import ServerError

    is_late, is_over = threading.Event(), threading.Event()
    end = None if seconds is None else time.monotonic() + seconds

    def watch() -> None:
        while not is_over.wait(_WATCH_EVERY):
            if end is not None and time.monotonic() >= end:
                is_late.set()
            if is_late.is_set() or (stops_at_failure and sweep.counts.failed):
                with contextlib.suppress(ServerError):
                    sweep.cancel()
                return

    if end is None and not stops_at_failure:
        yield is_late
        return
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield is_late
    finally:
        is_over.set()
        watcher.join()


@contextlib.contextmanager
def _notes_told() -> Iterator[None]:
    """Tells what an error has to say beside its text, such as that a sweep can be resumed, and leaves."""

    try:
        yield
    except InvokeAIGenError as error:
        notes = getattr(error, "__notes__", ())
        if not notes:
            raise
        print_messages("error", [*lines_of(error), *notes])
        sys.exit(1)


def _leave_interrupted(lines: Sequence[str]) -> NoReturn:

    for line in lines:
        echo(one_line(line), err=True)
    sys.exit(130)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
