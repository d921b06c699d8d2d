"""`inspect`: show the inputs and outputs of a workflow."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from invokeai_gen.cli.sources import schema_options

if TYPE_CHECKING:
    from rich.table import Table

    from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan


@click.command("inspect", short_help="Show the inputs and outputs of a workflow, or its graph.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "json_", is_flag=True, help="Print JSON for programs instead of tables.")
@click.option("--graph", type=click.Choice(["mermaid", "svg"]), help="Print the graph instead: text, or a picture.")
@schema_options
def command(
    file: Path, json_: bool, graph: Literal["mermaid", "svg"] | None, openapi: Path | None, server: str | None
) -> None:
    """Show what can be set in a workflow and what comes out, with the names that its module would have.

    \b
    Examples:
      invokeai-gen inspect portrait.json
      invokeai-gen inspect portrait.json --json | jq '.inputs[].name'
      invokeai-gen inspect portrait.json --graph svg > portrait.svg
    """
    from invokeai_gen.cli.settings import find_settings
    from invokeai_gen.cli.sources import compile_file, open_schema
    from invokeai_gen.cli.terminal import fail, json_text, tell
    from invokeai_gen.codegen import assign_names
    from invokeai_gen.compiler import NotReadyError
    from invokeai_gen.workflow import WorkflowError

    if json_ and graph:
        raise click.UsageError("--json and --graph exclude each other")
    schema = open_schema(openapi, server, find_settings())
    try:
        compiled, warnings = compile_file(file, schema)
    except (WorkflowError, NotReadyError) as error:
        fail(error, source=str(file))
    tell("warning", warnings, source=str(file))
    plan = assign_names(compiled)
    if graph is not None:
        from invokeai_gen.cli.show.graph import graph_of, mermaid, svg

        click.echo((mermaid if graph == "mermaid" else svg)(graph_of(plan)), nl=False)
    elif json_:
        click.echo(json_text(as_json(plan)))
    else:
        # A pipe or file has no width of its own: then nothing needs to be folded.
        print_tables(plan, width=None if sys.stdout.isatty() else 240)


def as_json(plan: WorkflowPlan) -> dict[str, Any]:
    """The plan's own description of inputs and outputs, with the types that its module would give them."""
    from invokeai_gen.codegen.annotations import Imports, Names, type_text
    from invokeai_gen.core.field_values import default_of, shape_of
    from invokeai_gen.core.plan import UNSET

    data = plan.to_dict()
    for item, planned in zip(data["inputs"], plan.inputs, strict=True):
        item["python_type"] = type_text(shape_of(planned), Names(), Imports())
        item["required"] = planned.fed_by is None and default_of(planned) is UNSET
    for item, output in zip(data["outputs"], plan.outputs, strict=True):
        item["python_type"] = output.result_type
    return {"workflow": data["info"], "inputs": data["inputs"], "outputs": data["outputs"]}


def print_tables(plan: WorkflowPlan, *, width: int | None) -> None:
    """What can be set, and what comes out, for people."""
    from rich.console import Console

    from invokeai_gen.cli.terminal import one_line, printable

    console = Console(markup=False, emoji=False, highlight=False, width=width)
    title = plan.info.name or plan.info.source
    console.print(one_line(title), style="bold")
    if plan.info.description:
        console.print(printable(plan.info.description))
    console.print()
    if plan.inputs:
        header = ("", "label", "name", "type", "allowed", "default", "required")
        console.print(_table("Inputs", header, map(_input_row, plan.inputs)))
    else:
        console.print("The form is empty: nothing can be set.")
    outputs = [output for output in plan.outputs if output.role != "debug"]
    if outputs:
        console.print(_table("Outputs", ("name", "type", "node"), map(_output_row, outputs)))


def _input_row(planned: PlannedInput) -> tuple[str, ...]:
    from invokeai_gen.codegen.annotations import Names
    from invokeai_gen.codegen.docs import allowed, short_default, short_type
    from invokeai_gen.core.field_values import default_of, shape_of
    from invokeai_gen.core.plan import UNSET

    if planned.fed_by is not None:
        return str(planned.index), planned.label, planned.name, "", f"fed by {planned.fed_by!r}", "", "not settable"
    value = default_of(planned)
    return (
        str(planned.index),
        planned.label,
        planned.name,
        short_type(shape_of(planned), Names()),
        "; ".join(allowed(planned)).replace("`", ""),
        "" if value is UNSET else short_default(value),
        "yes" if value is UNSET else "",
    )


def _output_row(output: PlannedOutput) -> tuple[str, ...]:
    return output.name, output.result_type, output.node_label or output.node_title


def _table(title: str, header: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from invokeai_gen.cli.terminal import printable

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in header:
        table.add_column(column, overflow="fold", no_wrap=column in ("", "name"))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
