"""`payload`: print the request that would submit a workflow."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from invokeai_gen.cli.sources import schema_options

if TYPE_CHECKING:
    from invokeai_gen.cli.assignments import Assignment
    from invokeai_gen.plan import Reason
    from invokeai_gen.runtime.batch import Binding, Values
    from invokeai_gen.runtime.generators import ServerQuery
    from invokeai_gen.runtime.plan import JsonValue, PlannedInput, WorkflowPlan


@click.command("payload", short_help="Print the request that would submit a workflow.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--set", "assignments", metavar="NAME=VALUE", multiple=True, help="Set an input (may be repeated).")
@click.option(
    "--params", metavar="FILE", type=click.Path(path_type=Path), help="Set inputs from a JSON object, {NAME: VALUE, …}."
)
@click.option("--runs", type=click.IntRange(min=1), default=1, show_default=True, help="How often to run the whole.")
@click.option("--auto-board", metavar="ID", help="Id of the board that fields set to `auto` add their images to.")
@click.option("--no-validate", is_flag=True, help="Leave out what the server does not know, instead of refusing.")
@schema_options
def command(
    file: Path,
    assignments: tuple[str, ...],
    params: Path | None,
    runs: int,
    auto_board: str | None,
    no_validate: bool,
    openapi: Path | None,
    server: str | None,
) -> None:
    """Print the JSON body for POST /api/v1/queue/default/enqueue_batch, just as the GUI would send it for FILE.

    NAME is the label that the GUI shows, the Python name, or the index that `inspect` shows. VALUE is plain text for
    text, choices, images, boards, models and colours, else JSON (768, 0.5, true, [1, 2]). Whatever keeps the GUI from
    invoking the workflow is told on stderr, and then nothing is printed; with --no-validate it is printed all the
    same. Nothing is uploaded or submitted.

    \b
    Examples:
      invokeai-gen payload portrait.json --set "Positive Prompt=a fox" --set 2=768
      invokeai-gen payload portrait.json --server http://localhost:9090 --set model=dreamshaper > request.json
    """
    import json

    from invokeai_gen.cli.assignments import read_assignments
    from invokeai_gen.cli.settings import find_settings
    from invokeai_gen.cli.sources import open_schema
    from invokeai_gen.cli.terminal import fail, tell
    from invokeai_gen.codegen.names import assign_names
    from invokeai_gen.plan import NotReadyError, compile_workflow, reasons_of
    from invokeai_gen.runtime.batch import batch_items, server_queries
    from invokeai_gen.runtime.generators import GeneratorError
    from invokeai_gen.runtime.problems import ParamsError
    from invokeai_gen.runtime.request import build_request
    from invokeai_gen.workflow import WorkflowError, read_workflow_file

    source = str(file)
    schema = open_schema(openapi, server, find_settings())
    try:
        compiled = compile_workflow(read_workflow_file(file), schema, validate=False)
        plan = assign_names(compiled.plan)
        tell("warning", map(str, compiled.warnings), source=source)
        assigned = read_assignments(plan, assignments, params)
        values, problems = _json_values(plan, assigned, server)
        queries = server_queries(plan, values)
        if queries and server is None:
            needed = ", ".join(sorted({query.purpose for query in queries}))
            fail(f"a generator needs a server ({needed}): name one with --server URL", source=source)
        items = batch_items(plan, values, _answers(server, queries))
        if not no_validate:
            told = {(reason.node_id, reason.field_name) for reason in problems}
            found = reasons_of(compiled.workflow, plan, schema, values, items)
            problems += [reason for reason in found if (reason.node_id, reason.field_name) not in told]
            if problems:
                raise NotReadyError(problems)
    except (WorkflowError, NotReadyError, GeneratorError, ParamsError) as error:
        fail(error, source=source)
    request = build_request(plan, values, runs=runs, auto_board_id=auto_board, items=items)
    json.dump(request, sys.stdout, ensure_ascii=False, indent=2)
    click.echo()


def _json_values(plan: WorkflowPlan, assigned: Iterable[Assignment], server: str | None) -> tuple[Values, list[Reason]]:
    """The values as the request carries them, and what is wrong with them."""
    reasons, values, names = [], {}, {}
    for item in assigned:
        binding = item.planned.binding
        problem = item.problem or _unsendable(item, server)
        if problem:
            reasons.append(_reason(item.planned, problem))
        if server is not None and not problem:
            names[binding] = item.value
        else:
            values[binding] = _as_json(item)
    return {**values, **_resolved(plan, names, server)}, reasons


def _unsendable(item: Assignment, server: str | None) -> str:
    """Why a value that its field accepts cannot be part of a request that is only printed."""
    label = f"{item.planned.label} ({item.planned.name})"
    for value in item.value if isinstance(item.value, list) else [item.value]:
        if item.planned.field_type in {"ImageField", "VideoField"} and isinstance(value, str) and os.path.isfile(value):
            return f"{label} is the file {value!r}, and payload uploads nothing: give the name of one on the server"
        if item.planned.field_type == "ModelIdentifierField" and isinstance(value, str) and server is None:
            return f"{label} is the name {value!r}: add --server URL to look it up, or give the model as JSON"
    return ""


def _as_json(item: Assignment) -> JsonValue:
    """Without a server, names of images and boards are taken for what they say."""
    from invokeai_gen.json_js import UNSET
    from invokeai_gen.runtime.field_values import to_json

    key = {"ImageField": "image_name", "VideoField": "video_name", "BoardField": "board_id"}.get(
        item.planned.field_type
    )

    def convert(value: Any) -> JsonValue:
        if key is not None and isinstance(value, str) and value not in ("auto", "none"):
            return {key: value}
        try:
            return to_json(value, item.planned.field_type)
        except TypeError:
            return value

    if item.value is None:
        return UNSET
    return [convert(value) for value in item.value] if isinstance(item.value, list) else convert(item.value)


def _resolved(plan: WorkflowPlan, names: dict[Binding, Any], server: str | None) -> dict[Binding, Any]:
    """Values with every model, board and image made sure of on the server."""
    if not names:
        return {}
    import asyncio

    from invokeai_gen.runtime.resolve import resolve
    from invokeai_gen.server import AsyncInvokeAIClient

    async def ask() -> dict[Binding, Any]:
        async with AsyncInvokeAIClient(server) as client:
            resolved, _ = await resolve(plan, names, client)
            return resolved

    return asyncio.run(ask())


def _answers(server: str | None, queries: tuple[ServerQuery, ...]) -> dict[str, list[JsonValue]]:
    """What the server says to the questions of the generators."""
    if not queries:
        return {}
    from invokeai_gen.server import InvokeAIClient

    with InvokeAIClient(server) as client:
        return {
            query.node_id: query.items(
                client.ask(query.method, query.path, params=dict(query.params) or None, json=query.json)
            )
            for query in queries
        }


def _reason(planned: PlannedInput, problem: str) -> Reason:
    from invokeai_gen.plan import Reason

    return Reason(
        problem=problem,
        node_id=planned.node_id,
        node_type=planned.node_type,
        node_label=planned.node_label or planned.node_title,
        field_name=planned.field_name,
        field_label=planned.label,
        is_value=True,
    )
