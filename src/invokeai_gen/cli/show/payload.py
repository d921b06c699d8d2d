"""`payload`: print the request that would submit a workflow."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.named_workflow import find_workflow
from invokeai_gen.cli.options import NamedTexts, schema_options, value_options
from invokeai_gen.cli.servers import open_client
from invokeai_gen.cli.terminal import echo_json, fail, print_messages


@click.command("payload")
@click.argument("workflow", shell_complete=complete_workflows)
@value_options
@click.option("--runs", type=click.IntRange(min=1), default=1, help="Number of runs.")
@click.option("--auto-board", metavar="ID", help="Id of the board for images of fields set to `auto`.")
@click.option("--no-validate", is_flag=True, help="Print the request even if the GUI would refuse it.")
@schema_options
def command(
    workflow: str,
    assignments: NamedTexts,
    params: Path | None,
    runs: int,
    auto_board: str | None,
    no_validate: bool,
    openapi: Path | None,
    server: str | None,
) -> None:
    """Print the JSON body for POST /api/v1/queue/default/enqueue_batch, as the GUI would send it for WORKFLOW.

    NAME is the label that the GUI shows, the Python name, or the index that `inspect` shows. VALUE is plain text for
    text, choices, images, boards, models and colours, else JSON (768, 0.5, true, [1, 2]). If the GUI would refuse to
    invoke the workflow, the reasons are printed on stderr and nothing on stdout; --no-validate prints the request
    anyway, without nodes that the server lacks. Nothing is uploaded or submitted.

    \b
    Examples:
      invokeai-gen payload portrait.json --set "Positive Prompt=a fox" --set 2=768
      invokeai-gen payload portrait.json --server http://localhost:9090 --set model=dreamshaper > request.json
    """
    from invokeai_gen.cli.assignments import read_assignments
    from invokeai_gen.cli.show.gui_request import gui_request
    from invokeai_gen.core.problems import ParamsError
    from invokeai_gen.server import background
    from invokeai_gen.server.client import core_of
    from invokeai_gen.server.run_errors import ValueResolutionError

    found = find_workflow(workflow, openapi, server, validate=False)
    if found.compiled is None:
        fail(
            "this is a generated module: name the workflow, or print its request with `run --dry-run`",
            source=found.shown,
        )
    print_messages("warning", found.warnings, source=found.shown)
    assigned, unassigned = read_assignments(found.plan, assignments, params, needs_files=False)
    with contextlib.nullcontext() if server is None else open_client(server) as client:
        core = core_of(client) if client is not None else None
        asked = gui_request(found, assigned, core, runs=runs, auto_board=auto_board, validate=not no_validate)
        try:
            request, problems, warnings = background.run(asked)
        except (ValueResolutionError, ParamsError) as error:
            fail(error, source=found.shown)
    print_messages("warning", warnings, source=found.shown)
    for source, problem in (*unassigned, *problems):
        print_messages("error", [problem], source=str(source or found.shown))
    if unassigned or problems:
        sys.exit(1)
    echo_json(request)
