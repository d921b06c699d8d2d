"""`generate`: write one typed Python module for each workflow."""

from __future__ import annotations

import atexit
import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click

from invokeai_gen.cli.generate.generation import Generation, generation_options
from invokeai_gen.cli.terminal import counted, echo_done, echo_json, lines_of, one_line, print_messages, progress
from invokeai_gen.codegen.report import Report

if TYPE_CHECKING:
    from invokeai_gen.cli.generate.build_cache import BuildCache, Compiled
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema


@click.command("generate")
@generation_options
@click.option("--prune", is_flag=True, help="Remove modules whose workflow is no longer among WORKFLOWS.")
@click.option("--rename", is_flag=True, help="Choose all names again, and list what callers must change.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON report for programs instead.")
@click.option("-v", "--verbose", is_flag=True, help="Also name the modules that did not change, and the time taken.")
def command(rename: bool, as_json: bool, verbose: bool, **asked: Any) -> None:
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
        reports = generate(generation)
    finally:
        gc.enable()
    print_reports(reports, generation, as_json=as_json, verbose=verbose)
    if verbose and not as_json:
        echo_done(f"{time.perf_counter() - started:.2f} s")
    sys.exit(1 if any(report.errors for report in reports) else 0)


def generate(generation: Generation) -> tuple[Report, ...]:
    """Write the package, or with `generation.check` compare it with what is on disk; return a report on each file.

    Nothing is compiled if the last generation had the same workflows, node types and files. A workflow that cannot be
    used does not stop the others, but nothing is compared then, and nothing pruned.
    """
    cache = None
    if not generation.check:
        from invokeai_gen.cli.generate.build_cache import BuildCache

        cache = BuildCache(generation)
        if (reports := cache.reports()) is not None:
            return reports
    from invokeai_gen.codegen import writer
    from invokeai_gen.codegen.plan_file import Known

    with progress("check" if generation.check else "generate", len(generation.sources) + 1) as advance:
        schema = generation.schema() if cache is None else cache.schema()
        known = Known(None if cache is None else cache.note.get("known"))
        plans, problems = _compile_all(generation, schema, advance, cache)
        is_complete = not any(problem.errors for problem in problems)
        if not plans or (generation.check and not is_complete):
            return tuple(problems)
        advance("comparing modules" if generation.check else "writing modules")
        made = writer.generate(
            plans,
            generation.output,
            schemas=schema.schemas,
            keep_renamed=generation.keep_names,
            rename=generation.rename,
            prune=generation.prune and is_complete,
            check=generation.check,
            known=known,
        )
    reports = (*problems, *made)
    if cache is not None:
        cache.store(schema, reports, known.current)
    return reports


def _compile_all(
    generation: Generation, schema: Schema, advance: Callable[[str], None], cache: BuildCache | None
) -> tuple[dict[PurePath, WorkflowPlan | str], list[Report]]:
    """Return the plan of each file that has one, and a report on each file with errors or warnings.

    A file that `cache` knows is not compiled again: its plan is the text in the output folder.
    """
    plans: dict[PurePath, WorkflowPlan | str] = {}
    reports = []
    for name, path in generation.sources.items():
        advance(path.name)
        before = cache.compiled_before(name, path) if cache is not None else None
        plan, errors, warnings = before or _compiled(path, schema)
        if plan is not None:
            plans[name] = plan
        if errors:
            reports.append(Report(source=str(path), status="failed", errors=errors))
        elif warnings:
            reports.append(Report(source=str(path), status="unchanged", warnings=warnings))
    return plans, reports


def _compiled(path: Path, schema: Schema) -> Compiled:
    """Return the result of compiling a workflow file now."""
    from invokeai_gen.compiler import NotReadyError, compile_workflow
    from invokeai_gen.workflow import WorkflowError, read_workflow_file

    try:
        compiled = compile_workflow(read_workflow_file(path), schema)
    except (WorkflowError, NotReadyError) as error:
        return None, tuple(lines_of(error)), ()
    return compiled.plan, (), compiled.warnings


def print_reports(
    reports: Sequence[Report], generation: Generation, *, as_json: bool = False, verbose: bool = False
) -> None:
    """Print the report on each workflow, and how many modules there are."""
    print_problems(reports)
    modules = [report for report in reports if report.is_module]
    if modules:
        print_messages("warning", generation.folder_warnings())
    else:
        print_messages("error", ["no module was written"])
    if as_json:
        echo_json([report.to_dict() for report in reports])
    elif modules:
        is_fresh = all(report.is_fresh for report in modules)
        for report in reports:
            for line in _lines(report, generation.output, verbose=verbose, alone=is_fresh):
                echo_done(one_line(line))
        written = sum(not report.is_fresh for report in modules)
        unchanged = len(modules) - written
        count = counted(len(modules), "module")
        echo_done(f"{count} in {generation.output}, {written} written, {unchanged} unchanged")


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
            yield f"kept      {path}  (made from none of these workflows; --prune removes it)"
        case _:
            return


def print_problems(reports: Iterable[Report]) -> None:
    """Print the errors and warnings of workflow files."""
    for report in reports:
        print_messages("error", report.errors, source=report.source)
        print_messages("warning", report.warnings, source=report.source)
