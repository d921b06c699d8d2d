"""`diff`: what callers would notice between two workflows, or between a module and a workflow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.options import schema_options

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema


@click.command("diff")
@click.argument("old", shell_complete=complete_workflows)
@click.argument("new", shell_complete=complete_workflows)
@click.option("--keep-names", is_flag=True, help="As with `generate`: a changed label renames nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@schema_options
def command(old: str, new: str, keep_names: bool, as_json: bool, openapi: Path | None, server: str | None) -> None:
    """Show what callers would notice between OLD and NEW.

    That is: inputs and outputs added, removed, renamed or retyped, and defaults and indices that changed.
    OLD and NEW are workflow files, or generated modules (NAME, NAME.py or the NAME.json beside it).

    \b
    Examples:
      invokeai-gen diff portrait-v1.json portrait-v2.json
      invokeai-gen diff generated/portrait.py portrait.json

    \b
    Exit codes:
      0  nothing that callers would notice
      1  something
      2  OLD or NEW cannot be used
    """
    from dataclasses import asdict

    from invokeai_gen.cli.servers import open_schema
    from invokeai_gen.cli.terminal import echo, echo_json, fail, one_line
    from invokeai_gen.codegen.changes import changes
    from invokeai_gen.codegen.names import assign_names
    from invokeai_gen.errors import InvokeAIGenError

    try:
        schema = open_schema(openapi, server)
        before, after = (_plan(name, schema) for name in (old, new))
    except InvokeAIGenError as error:
        fail(error, exit_code=2)
    if not _has_names(before):
        before = assign_names(before, earlier=after if _has_names(after) else None)
    if not _has_names(after):
        after = assign_names(after, earlier=before, keep_renamed=keep_names)
    found = changes(before, after)
    if as_json:
        echo_json([{**asdict(change), "text": str(change)} for change in found])
    else:
        for change in found:
            echo(one_line(str(change)))
    sys.exit(1 if found else 0)


def _has_names(plan: WorkflowPlan) -> bool:
    return any(item.name for item in plan.inputs) or any(item.name for item in plan.outputs)


def _plan(name: str, schema: Schema) -> WorkflowPlan:
    """Return the plan of a module, or of a workflow file compiled now, whose inputs then have no names yet."""
    from invokeai_gen.cli.modules import ModuleError, locate, plan_of_module
    from invokeai_gen.cli.settings import find_settings
    from invokeai_gen.compiler import compile_workflow
    from invokeai_gen.errors import InvokeAIGenError
    from invokeai_gen.workflow import read_workflow_file

    path = locate(name)
    if path is None:
        raise ModuleError(f"{name}: no such file, and no module of that name in {find_settings().output_path}")
    if (plan := plan_of_module(path)) is not None:
        return plan
    try:
        return compile_workflow(read_workflow_file(path), schema).plan
    except InvokeAIGenError as error:
        raise InvokeAIGenError("\n".join(f"{name}: {line}" for line in str(error).splitlines())) from error
