"""`check`: are generated modules what `generate` would write now?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from invokeai_gen.cli.generate.generation import Generation, generation_options
from invokeai_gen.cli.generate.package import make_package, print_problems
from invokeai_gen.cli.terminal import echo, echo_done, echo_json, fail, one_line
from invokeai_gen.codegen.report import REASONS, Report
from invokeai_gen.errors import InvokeAIGenError


@click.command("check")
@generation_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON report for programs instead.")
def command(as_json: bool, **asked: Any) -> None:
    """Check that the generated modules are, to the letter, what `generate` would write now. Writes nothing.

    Without WORKFLOWS, those that [tool.invokeai-gen] in pyproject.toml names are checked. For each stale module the
    reason is printed, and what its callers would notice. If `CI` is set, each is an annotation for GitHub too.

    \b
    Examples:
      invokeai-gen check
      invokeai-gen check workflows -o src/mine/workflows

    \b
    Exit codes:
      0  fresh
      1  stale: generate again
      2  a workflow, the schema or the pyproject.toml cannot be used
    """
    try:
        generation = Generation.of(**asked, prune=True, check=True)
        reports = make_package(generation)
    except InvokeAIGenError as error:
        fail(error, exit_code=2)
    has_errors = any(report.errors for report in reports)
    print_problems(reports)
    if as_json:
        echo_json([report.to_dict() for report in reports])
    elif not has_errors:
        for line in _lines(reports, generation.output):
            echo_done(one_line(line))
    if os.environ.get("CI") and not as_json:
        for line in github_lines(reports, generation.output):
            echo(line)
    sys.exit(2 if has_errors else 0 if all(report.is_fresh for report in reports) else 1)


def github_lines(reports: Sequence[Report], output: Path) -> Iterator[str]:
    """Yield a workflow command of GitHub Actions for each stale file and each workflow that cannot be used."""
    for report in reports:
        for error in report.errors:
            yield f"::error file={_property(report.source)}::{_message(error)}"
        if not report.is_fresh and report.reason is not None:
            lines = [f"stale: {REASONS[report.reason]}; run invokeai-gen generate", *map(str, report.changes)]
            file = report.source or str(output / report.file)
            yield f"::error file={_property(file)},title={_property(report.file)}::{_message(chr(10).join(lines))}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _lines(reports: Sequence[Report], output: Path) -> Iterator[str]:
    stale = [report for report in reports if not report.is_fresh and report.reason is not None]
    for report in stale:
        assert report.reason is not None
        yield f"stale: {output / report.file}: {REASONS[report.reason]}"
        yield from (f"       {change}" for change in report.changes)
    if not stale:
        count = sum(report.is_module for report in reports)
        yield f"{count} module{'s' * (count != 1)} in {output}, all fresh"
