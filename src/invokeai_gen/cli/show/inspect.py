"""`inspect`: show the inputs and outputs of a workflow, or its graph."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.explain import allowed_values, default_of_input, is_required, kind_of
from invokeai_gen.cli.named_workflow import find_workflow
from invokeai_gen.cli.options import schema_options
from invokeai_gen.cli.terminal import echo, echo_json, print_messages
from invokeai_gen.texts import plain, printable, shortened

if TYPE_CHECKING:
    from invokeai_gen.core.plan import PlannedInput, WorkflowPlan

_MAX_CHOICES: Final = 8
"""Choices of an input that are listed unless `--wide` asks for all."""
_MAX_LABEL: Final = 40
_PLAIN_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,_-+/()")


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
        echo(mermaid(found.plan), nl=False)
    elif as_json:
        echo_json(json_of(found.plan))
    elif json_schema:
        from invokeai_gen.sweeps.dynamic_workflow import workflow_of

        echo_json(workflow_of(found.plan).params_type.json_schema())
    else:
        for line in lines_of(found.plan, width=max(40, shutil.get_terminal_size().columns), wide=wide):
            echo(line)


def json_of(plan: WorkflowPlan) -> dict[str, Any]:
    """Return the plan's own description of inputs and outputs, with the types that its module would give them."""
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
        for output in outputs:
            node = output.node_label or output.node_title
            yield cut(f"    {output.name}  {output.result_type}" + (f"  from node {node!r}" if node else ""))
    if not wide:
        yield ""
        yield cut("--wide shows descriptions, nodes and all choices")


def _input_lines(planned: PlannedInput, *, wide: bool) -> Iterator[str]:
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


def mermaid(plan: WorkflowPlan) -> str:
    """Return a flowchart of a plan as Mermaid text: its nodes, batches and generators, and the connections between them.

    Markdown files and https://mermaid.live show it.
    """
    inputs: dict[str, list[str]] = {}
    for planned in plan.inputs:
        if planned.fed_by is None:
            inputs.setdefault(planned.node_id, []).append(planned.name)
    results = {output.node_id for output in plan.outputs if output.role != "debug"}
    ids = {node.id: f"n{index}" for index, node in enumerate(plan.nodes)}
    lines = ["flowchart LR"]
    for node in plan.nodes:
        texts = (node.label, node.type, ", ".join(inputs.get(node.id, ())))
        text = "<br/>".join(map(_mermaid_text, filter(None, texts)))
        kind = ":::output" if node.id in results else ":::input" if node.id in inputs else ""
        left, right = ("[", "]") if node.is_executable else ("[[", "]]")
        if node.is_executable and node.id in results:
            left, right = "([", "])"
        lines.append(f'    {ids[node.id]}{left}"{text}"{right}{kind}')
    for (source, target), fields in _lines(plan).items():
        if source in ids and target in ids:
            lines.append(f'    {ids[source]} -->|"{_mermaid_text(", ".join(fields))}"| {ids[target]}')
    lines += ["    classDef input fill:#e0f2fe,stroke:#0284c7,color:#18181b"]
    lines += ["    classDef output fill:#dcfce7,stroke:#16a34a,color:#18181b"]
    return "\n".join(lines) + "\n"


def _lines(plan: WorkflowPlan) -> dict[tuple[str, str], list[str]]:
    """Return the fields that one node feeds of another, by the ids of both."""
    lines: dict[tuple[str, str], list[str]] = {}
    for edge in plan.edges:
        lines.setdefault((edge.source_node_id, edge.target_node_id), []).append(edge.target_field)
    for batch in plan.batches:
        for target, field in batch.targets:
            lines.setdefault((batch.node_id, target), []).append(field)
        if batch.generator_node_id is not None:
            lines.setdefault((batch.generator_node_id, batch.node_id), []).append(batch.field_name)
    return lines


def _mermaid_text(text: str) -> str:
    """Return a text with all but plain letters as entities, which Mermaid never reads as syntax or markup."""
    return "".join(char if char in _PLAIN_LETTERS else f"#{ord(char)};" for char in plain(text, _MAX_LABEL))
