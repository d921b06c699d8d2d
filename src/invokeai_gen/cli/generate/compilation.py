"""The plans of all workflow files of a generation, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING

from invokeai_gen.codegen.report import Report

if TYPE_CHECKING:
    from invokeai_gen.cli.generate.build_cache import BuildCache, Compiled
    from invokeai_gen.cli.generate.generation import Generation
    from invokeai_gen.cli.sources import WorkflowSource
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema


def compile_all(
    generation: Generation, schema: Schema, advance: Callable[[str], None], cache: BuildCache | None = None
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
    from invokeai_gen.cli.terminal import lines_of
    from invokeai_gen.compiler import NotReadyError, compile_workflow
    from invokeai_gen.workflow import WorkflowError, read_workflow_file

    try:
        compiled = compile_workflow(read_workflow_file(source.path), schema)
    except (WorkflowError, NotReadyError) as error:
        return None, tuple(lines_of(error)), ()
    return compiled.plan, (), compiled.warnings


def print_problems(reports: Iterable[Report]) -> None:
    """Print the errors and warnings of workflow files."""
    from invokeai_gen.cli.terminal import print_messages

    for report in reports:
        print_messages("error", report.errors, source=report.source)
        print_messages("warning", report.warnings, source=report.source)
