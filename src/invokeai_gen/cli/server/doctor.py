"""`doctor`: check whether a server can run workflows or modules."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.named_workflow import find_plans, find_workflow
from invokeai_gen.cli.options import server_option
from invokeai_gen.cli.servers import fetch_schema, open_client
from invokeai_gen.cli.settings import find_settings
from invokeai_gen.cli.terminal import COLORS, echo, echo_done, echo_json, is_quiet, lines_of, one_line
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.cli.server.diagnosis import Finding
    from invokeai_gen.core.plan import WorkflowPlan


@click.command("doctor")
@click.argument("workflows", nargs=-1, shell_complete=complete_workflows)
@server_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(workflows: tuple[str, ...], server: str | None, as_json: bool) -> None:
    """Check whether a server can run WORKFLOWS. Nothing is submitted.

    WORKFLOWS are exported workflows (portrait.json), generated modules (NAME or NAME.py), folders of both, images made
    with a workflow, or names of workflows in the server's library; by default all modules of the project.

    Everything that a run would send is checked: node types, fields, values, models, boards and images. Errors are what
    the server would refuse; warnings are required inputs, and changes of the node types that may matter.

    \b
    Examples:
      invokeai-gen doctor portrait.json
      invokeai-gen doctor "Text to Image - SD1.5" --server http://192.168.1.20:9090
      invokeai-gen doctor generated/portrait.py

    \b
    Exit codes:
      0  the server can run all of them
      1  it cannot, or does not answer
    """
    from invokeai_gen.cli.server.diagnosis import Finding, diagnose, missing_assets
    from invokeai_gen.server import background
    from invokeai_gen.server.client import core_of

    output = find_settings().output_path
    if not workflows and not output.is_dir():
        raise InvokeAIGenError(f"{output}: no such folder; name WORKFLOWS")
    plans: dict[str, WorkflowPlan | None] = {}
    for name in workflows or [str(output)]:
        plans |= find_plans(name)
    with open_client(server) as client:
        schema, models, url = fetch_schema(client), client.models.list(), client.url
        found: dict[str, list[Finding]] = {}
        for name, known in plans.items():
            try:
                plan = known or find_workflow(name, None, url, schema=lambda: schema).plan
            except InvokeAIGenError as error:
                lines = [line.removeprefix(f"{name}: ") for line in lines_of(error)]
                found[name] = [Finding("error", "workflow", line) for line in lines]
                continue
            missing = background.run(missing_assets(plan, core_of(client)))
            found[name] = [*missing, *diagnose(plan, schema, models)]
    is_able = not any(item.kind == "error" for items in found.values() for item in items)
    if as_json:
        report = {name: [asdict(item) for item in items] for name, items in found.items()}
        echo_json({"server": url, "version": schema.version, "able": is_able, "modules": report})
    else:
        echo_done(f"{url}: InvokeAI {schema.version}")
        for name, items in found.items():
            _print(name, items)
    sys.exit(0 if is_able else 1)


def _print(name: str, findings: list[Finding]) -> None:
    """Print what was found about one workflow; with --quiet only errors."""
    errors = [item for item in findings if item.kind == "error"]
    if is_quiet():
        if not errors:
            return
        findings = errors
    label, color = ("cannot ", "red") if errors else ("ok     ", "green")
    echo(one_line(name), label=label, color=color)
    for item in findings:
        echo(one_line(f"{item.where}: {item.problem}"), label=f"  {item.kind}: ", color=COLORS[item.kind])
