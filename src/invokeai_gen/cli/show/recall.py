"""`recall`: the values that an image was made with."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.explain import text_of
from invokeai_gen.cli.named_workflow import NamedWorkflow, find_workflow
from invokeai_gen.cli.options import NAMED, NamedTexts, server_option
from invokeai_gen.cli.servers import open_client
from invokeai_gen.cli.terminal import echo, echo_json, one_line, print_messages
from invokeai_gen.core.file_names import safe_name
from invokeai_gen.errors import InvokeAIGenError


@click.command("recall", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("image")
@click.option(
    "--workflow",
    metavar="WORKFLOW",
    shell_complete=complete_workflows,
    help="The workflow to use instead of the one in the image.",
)
@click.option("--set", "assignments", metavar="NAME=VALUE", help="Replace a value (repeatable).", **NAMED)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as `run --params` reads it.")
@click.option(
    "--run", "run_again", is_flag=True, help="Run the workflow with these values; options of `run` may follow."
)
@server_option
@click.pass_context
def command(
    ctx: click.Context,
    image: str,
    workflow: str | None,
    assignments: NamedTexts,
    as_json: bool,
    run_again: bool,
    server: str | None,
) -> None:
    """Show the values that an image was made with.

    IMAGE is a PNG file as InvokeAI saved it, or the name of an image on the server. Values are those that ran, also if
    a batch varied them. Values that the image does not have are reported as warnings.

    \b
    Examples:
      invokeai-gen recall fox.png
      invokeai-gen recall fox.png --json > fox.json
      invokeai-gen recall fox.png --set seed=7 --run -o again
      invokeai-gen recall 5f3a0c1e.png --workflow generated.portrait
    """
    if ctx.args and not run_again:
        raise click.UsageError(f"{ctx.args[0]!r} is an option of `run`: it needs --run", ctx)
    from invokeai_gen.cli.run.run import command as run
    from invokeai_gen.core.json_writing import to_json

    with tempfile.TemporaryDirectory() as folder:
        path = _downloaded(image, Path(folder), server)
        found = find_workflow(workflow or str(path), None, server)
        values = _values(found, path, assignments)
        data = {name: to_json(value) for name, value in values.items()}
        if run_again:
            params = Path(folder) / "values.json"
            params.write_text(json.dumps(data), encoding="utf-8")
            words = [workflow or str(path), "--params", str(params)]
            words += [] if server is None else ["--server", server]
            run.main([*words, *ctx.args], prog_name="invokeai-gen run", standalone_mode=False)
        elif as_json:
            echo_json(data)
        else:
            for line in _lines(found, values):
                echo(one_line(line))


def _downloaded(image: str, folder: Path, server: str | None) -> Path:
    """Return the file of an image; one that is not here is downloaded from the server into the folder."""
    from invokeai_gen.server.errors import NotFoundError

    path = Path(image)
    if path.is_file():
        return path
    if path.is_dir():
        raise InvokeAIGenError(f"{image}: this is a folder; name an image in it")
    if len(path.parts) > 1:
        raise InvokeAIGenError(f"{image}: no such file")
    with open_client(server) as client:
        try:
            content = client.images.read(image)
        except NotFoundError:
            raise InvokeAIGenError(f"{image}: no such file, and no image of that name on {client.url}") from None
    target = folder / safe_name(image)
    target.write_bytes(content)
    return target


def _values(found: NamedWorkflow, path: Path, assignments: NamedTexts) -> dict[str, Any]:
    """Return the values by Python name, with those of the command line; exit if any of those is wrong."""
    from invokeai_gen.cli.assignments import read_assignments
    from invokeai_gen.core.image_values import recall
    from invokeai_gen.sweeps.dynamic_workflow import workflow_of

    recalled = recall(workflow_of(found.plan).params_type, path)
    print_messages("warning", (f"not in the image: {problem}" for problem in recalled.unmatched))
    print_messages("warning", recalled.notes)
    assigned, unassigned = read_assignments(found.plan, assignments, None)
    mistakes = [problem for _, problem in unassigned] + [item.problem for item in assigned if item.problem]
    if mistakes:
        print_messages("error", mistakes, source="--set")
        sys.exit(1)
    return {**recalled.values, **{item.planned.name: item.value for item in assigned}}


def _lines(found: NamedWorkflow, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each value: name, label and value, in the order of the form."""
    yield found.plan.info.name or found.shown
    for planned in found.plan.inputs:
        if planned.name in values:
            label = f" ({planned.label})" if planned.label != planned.name else ""
            value = values[planned.name]
            yield f"  {planned.name}{label}: {'none' if value is None else text_of(value)}"
