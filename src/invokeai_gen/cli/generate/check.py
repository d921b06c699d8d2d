"""`check`: are generated modules what `generate` would write now?"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from invokeai_gen.cli.generate.generate import generate, print_problems
from invokeai_gen.cli.generate.generation import Generation, generation_options
from invokeai_gen.cli.terminal import counted, echo, echo_done, echo_json, fail, one_line
from invokeai_gen.codegen.report import REASONS
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
        reports = generate(generation)
    except InvokeAIGenError as error:
        fail(error, exit_code=2)
    has_errors = any(report.errors for report in reports)
    stale = [(report, REASONS[report.reason]) for report in reports if report.reason is not None]
    print_problems(reports)
    if as_json:
        echo_json([report.to_dict() for report in reports])
    elif stale:
        for report, reason in stale:
            echo_done(one_line(f"stale: {generation.output / report.file}: {reason}"))
            for change in report.changes:
                echo_done(one_line(f"       {change}"))
    elif not has_errors:
        count = counted(sum(report.is_module for report in reports), "module")
        echo_done(one_line(f"{count} in {generation.output}, all fresh"))
    if os.environ.get("CI") and not as_json:
        for report in reports:
            for problem in report.errors:
                _print_annotation(problem, file=report.source)
        for report, reason in stale:
            lines = [f"stale: {reason}; run invokeai-gen generate", *map(str, report.changes)]
            file = report.source or str(generation.output / report.file)
            _print_annotation("\n".join(lines), file=file, title=report.file)
    sys.exit(2 if has_errors else 1 if stale else 0)


def _print_annotation(text: str, **properties: str) -> None:
    """Print a workflow command of GitHub Actions, which shows the text as an error of the file."""
    escaped = {key: _escaped(value).replace(":", "%3A").replace(",", "%2C") for key, value in properties.items()}
    echo(f"::error {','.join(f'{key}={value}' for key, value in escaped.items())}::{_escaped(text)}")


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
