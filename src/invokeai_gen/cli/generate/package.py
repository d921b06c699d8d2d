"""The package of a generation: its workflows are compiled, and their modules written or only compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING

from invokeai_gen.cli.terminal import lines_of, print_messages, progress
from invokeai_gen.codegen.report import Report

if TYPE_CHECKING:
    from invokeai_gen.cli.generate.build_cache import BuildCache, Compiled
    from invokeai_gen.cli.generate.generation import Generation
    from invokeai_gen.cli.sources import WorkflowSource
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema


def make_package(generation: Generation, cache: BuildCache | None = None) -> tuple[Report, ...]:
    """Write the package, or with `generation.check` compare it with what is on disk; return a report on each file.

    A workflow that cannot be used does not stop the others, but nothing is compared then, and nothing pruned. `cache`
    has what the last generation made.
    """
    from invokeai_gen.codegen.plan_file import Known
    from invokeai_gen.codegen.writer import generate

    with progress("check" if generation.check else "generate", len(generation.sources) + 1) as advance:
        schema = generation.schema() if cache is None else cache.schema()
        known = Known(None if cache is None else cache.note.get("known"))
        plans, problems = _compile_all(generation, schema, advance, cache)
        is_complete = not any(problem.errors for problem in problems)
        if not plans or (generation.check and not is_complete):
            return tuple(problems)
        advance("comparing modules" if generation.check else "writing modules")
        made = generate(
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
    for source in generation.sources:
        advance(source.path.name)
        before = cache.compiled_before(source) if cache is not None else None
        plan, errors, warnings = before or _compiled(source, schema)
        if plan is not None:
            plans[source.name] = plan
        if errors:
            reports.append(Report(source=str(source), status="failed", errors=errors))
        elif warnings:
            reports.append(Report(source=str(source), status="unchanged", warnings=warnings))
    return plans, reports


def _compiled(source: WorkflowSource, schema: Schema) -> Compiled:
    """Return the result of compiling a workflow file now."""
    from invokeai_gen.compiler import NotReadyError, compile_workflow
    from invokeai_gen.workflow import WorkflowError, read_workflow_file

    try:
        compiled = compile_workflow(read_workflow_file(source.path), schema)
    except (WorkflowError, NotReadyError) as error:
        return None, tuple(lines_of(error)), ()
    return compiled.plan, (), compiled.warnings


def print_problems(reports: Iterable[Report]) -> None:
    """Print the errors and warnings of workflow files."""
    for report in reports:
        print_messages("error", report.errors, source=report.source)
        print_messages("warning", report.warnings, source=report.source)
