"""`inspect`: show the inputs and outputs of a workflow."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.named_workflow import find_workflow
from invokeai_gen.cli.options import schema_options
from invokeai_gen.cli.terminal import columns, echo, echo_json, print_messages
from invokeai_gen.texts import printable, shortened

if TYPE_CHECKING:
    from invokeai_gen.core.plan import PlannedInput, PlannedOutput, WorkflowPlan

_MAX_CHOICES: Final = 8
"""Choices of an input that are listed unless `--wide` asks for all."""


@click.command("inspect")
@click.argument("workflow", shell_complete=complete_workflows)
@click.option("-w", "--wide", is_flag=True, help="Show everything: descriptions, nodes, long defaults, all choices.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead.")
@click.option("--json-schema", is_flag=True, help="Print the JSON Schema of the inputs instead.")
@click.option("--graph", type=click.Choice(["mermaid"]), help="Print the graph instead, as Mermaid text.")
@schema_options
def command(
    workflow: str,
    wide: bool,
    as_json: bool,
    json_schema: bool,
    graph: str | None,
    openapi: Path | None,
    server: str | None,
) -> None:
    """Show the inputs and outputs of a workflow, with the names that its module would have.

    WORKFLOW is an exported workflow (portrait.json), an image that was made with one, a generated module, or the name
    of a workflow in the server's library. At most two lines are printed for an input, as wide as the terminal or
    COLUMNS; --wide prints the rest.

    \b
    Examples:
      invokeai-gen inspect portrait.json
      invokeai-gen inspect "Text to Image - SD1.5"
      invokeai-gen inspect portrait.json --json | jq '.inputs[].name'
      invokeai-gen inspect portrait.json --graph mermaid > portrait.mmd
    """
    formats = {"--json": as_json, "--json-schema": json_schema, "--graph": graph}
    chosen = [option for option, is_given in formats.items() if is_given]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other")
    found = find_workflow(workflow, openapi, server)
    print_messages("warning", found.warnings, source=found.shown)
    if graph:
        from invokeai_gen.cli.show.graph import mermaid

        echo(mermaid(found.plan), nl=False)
    elif as_json:
        echo_json(json_of(found.plan))
    elif json_schema:
        from invokeai_gen.sweeps.dynamic_workflow import workflow_of

        echo_json(workflow_of(found.plan).params_type.json_schema())
    else:
        for line in lines_of(found.plan, width=columns(), wide=wide):
            echo(line)


def json_of(plan: WorkflowPlan) -> dict[str, Any]:
    """Return the plan's own description of inputs and outputs, with the types that its module would give them."""
    from invokeai_gen.cli.explain import is_required
    from invokeai_gen.codegen.annotations import type_text
    from invokeai_gen.core.field_values import shape_of

    data = plan.to_dict()
    for item, planned in zip(data["inputs"], plan.inputs, strict=True):
        item["python_type"] = type_text(shape_of(planned), {})
        item["required"] = is_required(planned)
    for item, output in zip(data["outputs"], plan.outputs, strict=True):
        item["python_type"] = output.result_type
    return {"workflow": data["info"], "inputs": data["inputs"], "outputs": data["outputs"]}


def lines_of(plan: WorkflowPlan, *, width: int, wide: bool) -> Iterator[str]:
    """Yield what can be set and what comes out, for people; no line is longer than `width` unless `wide`."""

    def cut(text: str) -> str:
        return printable(text) if wide else shortened(printable(text), width, tail=0)

    yield cut(plan.info.name or plan.info.source)
    for paragraph in plan.info.description.splitlines():
        yield from textwrap.wrap(printable(paragraph), width) or [""]
    yield ""
    if plan.inputs:
        yield "Inputs"
        for planned in plan.inputs:
            yield from map(cut, _input_lines(planned, wide=wide))
    else:
        yield "This workflow has no inputs: its form is empty."
    outputs = [output for output in plan.outputs if output.role != "debug"]
    if outputs:
        yield ""
        yield "Outputs"
        yield from (cut(f"    {_output_line(output)}") for output in outputs)
    if not wide:
        yield ""
        yield cut("--wide shows descriptions, nodes and all choices")


def _input_lines(planned: PlannedInput, *, wide: bool) -> Iterator[str]:
    from invokeai_gen.cli.explain import allowed_values, default_of_input, is_required, kind_of

    name = planned.name if planned.name == planned.label else f"{planned.name}  {planned.label}"
    yield f"{planned.index:>3} {name}"
    if planned.fed_by is not None:
        yield f"    cannot be set: fed by node {planned.fed_by!r}"
        return
    default = default_of_input(planned, cut=not wide)
    facts = [kind_of(planned), *allowed_values(planned, most=1000 if wide else _MAX_CHOICES)]
    # What matters most comes first: the end of the line may be cut.
    facts.insert(0 if is_required(planned) else 1, default)
    yield f"    {'; '.join(facts)}"
    if wide:
        if planned.description:
            yield f"    {planned.description}"
        yield f"    node {planned.node_label or planned.node_title!r} ({planned.node_type}), field {planned.field_name}"


def _output_line(output: PlannedOutput) -> str:
    node = output.node_label or output.node_title
    return f"{output.name}  {output.result_type}" + (f"  from node {node!r}" if node else "")
