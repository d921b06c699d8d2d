"""`check`: are generated modules what `generate` would write now?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from invokeai_gen.cli.generate.generation import Generation, generation_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invokeai_gen.codegen import Report

_REASONS: Final = {
    "workflow": "the workflow changed",
    "schema": "the server's node types changed",
    "names": "it was made with --keep-names",
    "version": "another version of invokeai-gen made it",
    "generator": "this invokeai-gen writes it differently",
    "edited": "it was edited or damaged",
}


@click.command("check", short_help="Tell whether generated modules are what `generate` would write now.")
@generation_options
@click.option("-q", "--quiet", is_flag=True, help="Only the exit code, and errors.")
def command(
    workflows: tuple[Path, ...],
    output: Path | None,
    keep_names: bool | None,
    quiet: bool,
    openapi: Path | None,
    server: str | None,
) -> None:
    """Tell whether the generated modules are, to the letter, what `generate` would write now. Writes nothing.

    Without WORKFLOWS, those that [tool.invokeai-gen] in pyproject.toml names. For each stale module it says why: the
    workflow changed, the server's node types did, another invokeai-gen made it, or somebody edited it. Names that were
    kept with --keep-names count as fresh, except with --no-keep-names.

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
    from invokeai_gen.cli.generate.generation import compile_all
    from invokeai_gen.cli.terminal import fail, one_line, progress
    from invokeai_gen.codegen import generate
    from invokeai_gen.errors import InvokeAIGenError

    try:
        generation = Generation.of(workflows, output, keep_names, openapi, server)
        with progress("check", len(generation.sources) + 1, quiet=quiet) as advance:
            schema = generation.schema()
            plans, messages = compile_all(generation.sources, schema, advance)
            for message in messages:
                message.tell()
            if any(message.kind == "error" for message in messages):
                sys.exit(2)
            advance("comparing modules")
            report = generate(
                plans,
                generation.output,
                schemas=schema.schemas,
                keep_names=generation.keep_names,
                prune=True,
                check=True,
            )
    except InvokeAIGenError as error:
        fail(error, exit_code=2)
    if not quiet:
        for line in _lines(report, generation.output):
            click.echo(one_line(line))
    sys.exit(0 if report.is_fresh else 1)


def _lines(report: Report, output: Path) -> Iterator[str]:
    told = set()
    for module in report.modules:
        if module.status != "unchanged":
            told |= {f"{module.name}.py", f"{module.name}.json"}
            why = _REASONS[module.reason] if module.reason is not None else "it is missing"
            yield f"stale: {output / module.name}.py: {why}"
            yield from (f"       {change}" for change in module.changes)
    yield from (f"stale: {output / name}: {_why(output / name)}" for name in report.written if name not in told)
    yield from (f"stale: {output / name}: its workflow is gone" for name in report.removed)
    if report.is_fresh:
        count = len(report.modules)
        yield f"{count} module{'s' * (count != 1)} in {output}, all fresh"


def _why(path: Path) -> str:
    """What is wrong with a file that the modules share."""
    from invokeai_gen.codegen.folder import read_text
    from invokeai_gen.codegen.writer import is_edited

    if not path.exists():
        return "it is missing"
    text = read_text(path)
    return _REASONS["edited"] if text is None or is_edited(text) else "the modules changed that share it"
