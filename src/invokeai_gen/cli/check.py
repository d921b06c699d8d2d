"""`check`: are generated modules what `generate` would write now?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from invokeai_gen.cli.generate import DEFAULT_OUTPUT, compile_all
from invokeai_gen.cli.sources import schema_options


@click.command("check", short_help="Tell whether generated modules are what `generate` would write now.")
@click.argument("workflows", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_OUTPUT,
    show_default=True,
    help="Folder of the generated package.",
)
@click.option("--keep-names", is_flag=True, help="As given to `generate`.")
@schema_options
def command(
    workflows: tuple[Path, ...], output: Path, keep_names: bool, openapi: Path | None, server: str | None
) -> None:
    """Tell whether the generated modules are, to the letter, what `generate` would write now. Writes nothing.

    \b
    Exit codes:
      0  fresh
      1  stale: generate again
      2  a workflow or the schema cannot be used
    """
    from invokeai_gen.cli.sources import open_schema, workflow_files
    from invokeai_gen.cli.terminal import fail, one_line
    from invokeai_gen.codegen import generate
    from invokeai_gen.errors import InvokeAIGenError

    try:
        schema = open_schema(openapi, server)
        plans, is_complete = compile_all(workflow_files(workflows), schema)
        report = generate(
            dict(plans.items()), output, schemas=schema.schemas, keep_names=keep_names, prune=True, check=True
        )
    except InvokeAIGenError as error:
        fail(error, exit_code=2)
    if not is_complete:
        sys.exit(2)
    reasons = {
        "workflow": "the workflow changed",
        "schema": "the server's node types changed",
        "generator": "another version of invokeai-gen made it",
        "edited": "it was edited or damaged",
    }
    for module in report.modules:
        if module.status != "unchanged":
            why = reasons[module.reason] if module.reason is not None else "it is missing"
            click.echo(f"stale: {output / module.name}.py: {why}")
            for change in module.changes:
                click.echo(f"       {one_line(str(change))}")
    told = {
        name
        for module in report.modules
        if module.status != "unchanged"
        for name in (f"{module.name}.py", f"{module.name}.json")
    }
    for name in report.written:
        if name not in told:
            click.echo(f"stale: {output / name}")
    for name in report.removed:
        click.echo(f"stale: {output / name}: its workflow is gone")
    sys.exit(0 if report.is_fresh else 1)
