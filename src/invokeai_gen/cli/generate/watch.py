"""`watch`: generate whenever a workflow changes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from invokeai_gen.cli.generate.generate import generate, print_reports
from invokeai_gen.cli.generate.generation import Generation, generation_options
from invokeai_gen.cli.terminal import echo_done, lines_of, print_messages
from invokeai_gen.errors import InvokeAIGenError

Snapshot = dict[str, tuple[int, int, int]]
"""Inode, size and time of the last change of each file that matters."""


@click.command("watch")
@generation_options
@click.option("--prune", is_flag=True, help="Remove modules whose workflow is gone.")
@click.option("--interval", type=click.FloatRange(min=0.05), default=0.5, help="Seconds between checks for changes.")
def command(interval: float, **asked: Any) -> None:
    """Generate now, and again whenever a workflow file, the openapi.json or the pyproject.toml changes.

    A workflow that cannot be used is reported, and its module stays as it is. Ctrl-C ends the command.

    \b
    Examples:
      invokeai-gen watch
      invokeai-gen watch workflows -o src/mine/workflows
    """
    with contextlib.suppress(KeyboardInterrupt):
        watch(lambda: Generation.of(**asked), lambda: time.sleep(interval))
    sys.exit(0)


def watch(prepare: Callable[[], Generation], wait: Callable[[], None]) -> None:
    """Generate after each change, once it has settled: a file that is still being written changes between two looks.

    Never returns; `wait` may raise what ends it.
    """
    done: Snapshot | None = None
    while True:
        try:
            generation = prepare()
        except (InvokeAIGenError, click.ClickException) as error:
            if done is None:
                raise
            # Without files there is nothing to watch: report it once, and look again.
            latest: Snapshot = {f"error: {error}": (0, 0, 0)}
            if latest != done:
                print_messages("error", lines_of(error))
            done = latest
            wait()
            continue
        latest = _snapshot(generation)
        before = latest if done is None else done
        while before != latest:
            wait()
            before, latest = latest, _snapshot(generation)
        if latest != done:
            done = latest
            try:
                print_reports(generate(generation), generation)
            except InvokeAIGenError as error:
                print_messages("error", lines_of(error))
            echo_done("watching for changes; Ctrl-C ends this")
        wait()


def _snapshot(generation: Generation) -> Snapshot:
    found = {}
    for path in (*generation.sources.values(), generation.openapi, generation.settings.source):
        with contextlib.suppress(OSError):
            if path is not None:
                status = path.stat()
                found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
