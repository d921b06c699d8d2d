"""`generate`: write one typed Python module for each workflow."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from invokeai_gen.cli.sources import schema_options

if TYPE_CHECKING:
    from invokeai_gen.codegen import Report
    from invokeai_gen.runtime.plan import WorkflowPlan
    from invokeai_gen.schema import Schema

DEFAULT_OUTPUT = Path("generated")


@click.command("generate", short_help="Write one typed Python module for each workflow.")
@click.argument("workflows", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_OUTPUT,
    show_default=True,
    help="Folder of the package; its modules are imported as `from FOLDER import NAME`.",
)
@click.option("--keep-names", is_flag=True, help="Keep the Python name of inputs and outputs whose label changed.")
@click.option("--prune", is_flag=True, help="Remove modules whose workflow is not among WORKFLOWS any more.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing of what went well.")
@schema_options
def command(
    workflows: tuple[Path, ...],
    output: Path,
    keep_names: bool,
    prune: bool,
    quiet: bool,
    openapi: Path | None,
    server: str | None,
) -> None:
    """Write one typed Python module for each workflow, into a package of their own.

    WORKFLOWS are JSON files exported from the InvokeAI workflow editor, or folders of them. Only what changed is
    written, each file whole or not at all. A workflow that cannot be used is reported, and the others are still
    written; then the exit code is 1.

    \b
    Examples:
      invokeai-gen generate portrait.json
      invokeai-gen generate workflows -o src/mine/workflows --server http://localhost:9090
    """
    from invokeai_gen.cli.sources import open_schema, workflow_files
    from invokeai_gen.cli.terminal import tell
    from invokeai_gen.codegen import generate

    schema = open_schema(openapi, server)
    plans, is_complete = compile_all(workflow_files(workflows), schema)
    if not plans:
        tell("error", ["no module was written"])
        sys.exit(1)
    report = generate(
        dict(plans.items()), output, schemas=schema.schemas, keep_names=keep_names, prune=prune and is_complete
    )
    if not quiet:
        _say(report, output)
    sys.exit(0 if is_complete else 1)


def compile_all(files: Iterable[Path], schema: Schema) -> tuple[dict[Path, WorkflowPlan], bool]:
    """The plans of all files that have one; what is wrong with the others is told. The flag: all of them have one."""
    from invokeai_gen.cli.terminal import lines_of, tell
    from invokeai_gen.plan import NotReadyError, compile_workflow
    from invokeai_gen.workflow import WorkflowError, read_workflow_file

    plans = {}
    is_complete = True
    for path in files:
        try:
            compiled = compile_workflow(read_workflow_file(path), schema)
        except (WorkflowError, NotReadyError) as error:
            tell("error", lines_of(error), source=str(path))
            is_complete = False
        else:
            tell("warning", map(str, compiled.warnings), source=str(path))
            plans[path] = compiled.plan
    return plans, is_complete


def _say(report: Report, output: Path) -> None:
    from invokeai_gen.cli.terminal import one_line

    for module in report.modules:
        if module.status == "unchanged":
            continue
        click.echo(f"{module.status:<9} {output / module.name}.py  ({one_line(str(module.source))})")
        for change in module.changes:
            click.echo(f"          {one_line(str(change))}")
    for name in report.removed:
        click.echo(f"removed   {output / name}")
    for name in report.vanished if not report.removed else ():
        click.echo(f"kept      {output / name}.py  (its workflow is gone; --prune removes it)")
    unchanged = sum(module.status == "unchanged" for module in report.modules)
    count = len(report.modules)
    click.echo(f"{count} module{'s' * (count != 1)} in {output}, {count - unchanged} written, {unchanged} unchanged")
