"""`diff`: what callers would notice between two workflows, or between a module and a workflow."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.named_workflow import find_workflow
from invokeai_gen.cli.options import schema_options
from invokeai_gen.cli.servers import open_schema
from invokeai_gen.cli.terminal import echo, echo_json, fail, one_line
from invokeai_gen.errors import InvokeAIGenError


@click.command("diff")
@click.argument("old", shell_complete=complete_workflows)
@click.argument("new", shell_complete=complete_workflows)
@click.option("--keep-names", is_flag=True, help="As with `generate`: a changed label renames nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@schema_options
def command(old: str, new: str, keep_names: bool, as_json: bool, openapi: Path | None, server: str | None) -> None:
    """Show what callers would notice between OLD and NEW.

    That is: inputs and outputs added, removed, renamed or retyped, and defaults and indices that changed.
    OLD and NEW are workflow files, generated modules (NAME, NAME.py or the NAME.json beside it), images made with a
    workflow, or names of workflows in the server's library.

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
    from invokeai_gen.codegen.changes import changes
    from invokeai_gen.codegen.names import assign_names

    schema = cache(lambda: open_schema(openapi, server))
    try:
        before, after = (find_workflow(name, openapi, server, schema=schema) for name in (old, new))
    except InvokeAIGenError as error:
        fail(error, exit_code=2)
    # A workflow is compared with the names of the other one, rather than with those of a module of its own.
    was, now = (item.plan if item.compiled is None else item.compiled.plan for item in (before, after))
    if before.compiled is not None:
        was = assign_names(was, earlier=now if after.compiled is None else None)
    if after.compiled is not None:
        now = assign_names(now, earlier=was, keep_renamed=keep_names)
    found = changes(was, now)
    if as_json:
        echo_json([{**asdict(change), "text": str(change)} for change in found])
    else:
        for change in found:
            echo(one_line(str(change)))
    sys.exit(1 if found else 0)
