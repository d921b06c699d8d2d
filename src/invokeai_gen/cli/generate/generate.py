"""`generate`: write one typed Python module for each workflow."""

from __future__ import annotations

import atexit
import gc
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from invokeai_gen.cli.generate.generation import Generation, generation_options
from invokeai_gen.codegen.report import Report

if TYPE_CHECKING:
    from invokeai_gen.cli.generate.build_cache import BuildCache


@click.command("generate", short_help="Write one typed Python module for each workflow.")
@generation_options
@click.option("--prune", is_flag=True, help="Remove modules whose workflow is no longer among WORKFLOWS.")
@click.option("--rename", is_flag=True, help="Choose all names again, and list what callers must change.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON report for programs instead.")
@click.option("-q", "--quiet", is_flag=True, help="Only print errors and warnings.")
@click.option("-v", "--verbose", is_flag=True, help="Also name the modules that did not change, and the time taken.")
def command(rename: bool, as_json: bool, quiet: bool, verbose: bool, **asked: Any) -> None:
    """Write one typed Python module for each workflow, into a package of their own.

    WORKFLOWS are JSON files exported from the InvokeAI workflow editor, or folders of them; by default those that
    [tool.invokeai-gen] in pyproject.toml names (see `invokeai-gen init`). Only files that change are written. A
    workflow that cannot be used is reported, and the others are still written; then the exit code is 1.

    A name, once given, stays: an input keeps its Python name as long as its label stays the same, whatever else in the
    form changes. --keep-names also keeps it if the label changes, --rename chooses all names again.

    \b
    Examples:
      invokeai-gen generate
      invokeai-gen generate portrait.json
      invokeai-gen generate workflows -o src/mine/workflows --server http://localhost:9090
    """
    started = time.perf_counter()
    if rename and asked["keep_names"]:
        raise click.UsageError("--rename and --keep-names exclude each other")
    generation = Generation.of(**asked, rename=rename)
    # Reading and compiling make many objects and hardly any garbage: looking for it takes a quarter of the time, and at
    # the end of the process once more.
    gc.disable()
    atexit.register(gc.freeze)
    try:
        reports = generate(generation, quiet=quiet or as_json, verbose=verbose)
    finally:
        gc.enable()
    if as_json:
        from invokeai_gen.cli.terminal import echo_json

        echo_json([report.to_dict() for report in reports])
    elif verbose:
        from invokeai_gen.cli.terminal import echo

        echo(f"{time.perf_counter() - started:.2f} s")
    sys.exit(1 if any(report.errors for report in reports) else 0)


def generate(generation: Generation, *, quiet: bool = False, verbose: bool = False) -> tuple[Report, ...]:
    """Write the modules that changed, print a report on each workflow, and return the reports.

    Nothing is compiled if the last run had the same workflows, node types and files.
    """
    from invokeai_gen.cli.generate.build_cache import BuildCache

    cache = BuildCache.load(generation)
    reports = cache.reports()
    if reports is None:
        reports = _write(generation, cache, quiet=quiet)
    _print(reports, generation, quiet=quiet, verbose=verbose)
    return reports


def _write(generation: Generation, cache: BuildCache, *, quiet: bool) -> tuple[Report, ...]:
    """Compile the workflows and write their package. A workflow that cannot be used does not stop the others."""
    from invokeai_gen.cli.generate.compilation import compile_all
    from invokeai_gen.cli.terminal import progress
    from invokeai_gen.codegen.plan_file import Known
    from invokeai_gen.codegen.writer import generate

    with progress("generate", len(generation.sources) + 1, quiet=quiet) as advance:
        schema, known = cache.schema(), Known(cache.note.get("known"))
        plans, problems = compile_all(generation, schema, advance, cache)
        if not plans:
            return tuple(problems)
        advance("writing modules")
        written = generate(
            plans,
            generation.output,
            schemas=schema.schemas,
            keep_renamed=generation.keep_names,
            rename=generation.rename,
            prune=generation.prune and not any(problem.errors for problem in problems),
            known=known,
        )
    reports = (*problems, *written)
    cache.store(schema, reports, known.current)
    return reports


def _print(reports: Sequence[Report], generation: Generation, *, quiet: bool, verbose: bool) -> None:
    """Print the report on each workflow, and how many modules there are."""
    from invokeai_gen.cli.generate.compilation import print_problems
    from invokeai_gen.cli.terminal import echo, one_line, print_messages

    print_problems(reports)
    modules = [report for report in reports if report.is_module]
    if not modules:
        print_messages("error", ["no module was written"])
        return
    print_messages("warning", generation.folder_warnings())
    if quiet:
        return
    for report in reports:
        for line in _lines(report, generation.output, verbose=verbose, alone=all(item.is_fresh for item in modules)):
            echo(one_line(line))
    written = sum(not report.is_fresh for report in modules)
    many = "s" * (len(modules) != 1)
    echo(f"{len(modules)} module{many} in {generation.output}, {written} written, {len(modules) - written} unchanged")


def _lines(report: Report, output: Path, *, verbose: bool, alone: bool) -> Iterator[str]:
    """Yield what to print; `alone` means that no module changed, so that a shared file is worth a line."""
    path = output / report.file
    match report.status:
        case "new" | "changed" if report.is_module:
            yield f"{report.status:<9} {path}  ({report.source})"
            yield from (f"          {change}" for change in report.changes)
        case "new" | "changed" if verbose or alone:
            yield f"written   {path}"
        case "unchanged" if report.file and verbose:
            yield f"unchanged {path}"
        case "removed":
            yield f"removed   {path}"
        case "left":
            yield f"kept      {path}  (its workflow is gone; --prune removes it)"
        case _:
            return
