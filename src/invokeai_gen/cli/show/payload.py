"""`payload`: print the request that would submit a workflow."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.options import schema_options, value_options
from invokeai_gen.cli.terminal import echo, fail, print_messages

if TYPE_CHECKING:
    from invokeai_gen.cli.assignments import Assignment
    from invokeai_gen.compiler import Reason
    from invokeai_gen.core.batch import Binding, Values
    from invokeai_gen.core.generators import ServerQuery
    from invokeai_gen.core.plan import AssetKind, JsonValue, WorkflowPlan


@click.command("payload", short_help="Print the request that would submit a workflow.")
@click.argument("workflow", shell_complete=complete_workflows)
@value_options
@click.option("--runs", type=click.IntRange(min=1), default=1, show_default=True, help="Number of runs.")
@click.option("--auto-board", metavar="ID", help="Id of the board for images of fields set to `auto`.")
@click.option("--no-validate", is_flag=True, help="Print the request even if the GUI would refuse it.")
@schema_options
def command(
    workflow: str,
    assignments: tuple[str, ...],
    params: Path | None,
    runs: int,
    auto_board: str | None,
    no_validate: bool,
    openapi: Path | None,
    server: str | None,
) -> None:
    """Print the JSON body for POST /api/v1/queue/default/enqueue_batch, as the GUI would send it for WORKFLOW.

    NAME is the label that the GUI shows, the Python name, or the index that `inspect` shows. VALUE is plain text for
    text, choices, images, boards, models and colors, else JSON (768, 0.5, true, [1, 2]). If the GUI would refuse to
    invoke the workflow, the reasons are printed on stderr and nothing on stdout; --no-validate prints the request
    anyway, without nodes that the server lacks. Nothing is uploaded or submitted.

    \b
    Examples:
      invokeai-gen payload portrait.json --set "Positive Prompt=a fox" --set 2=768
      invokeai-gen payload portrait.json --server http://localhost:9090 --set model=dreamshaper > request.json
    """
    from invokeai_gen.cli.assignments import read_assignments
    from invokeai_gen.cli.modules import locate
    from invokeai_gen.cli.named_workflow import open_workflow
    from invokeai_gen.cli.servers import schema_path
    from invokeai_gen.cli.settings import find_settings
    from invokeai_gen.codegen.writer import named_as_in
    from invokeai_gen.compiler import NotReadyError, compile_workflow, reasons_of
    from invokeai_gen.core.batch import batch_items
    from invokeai_gen.core.problems import ParamsError
    from invokeai_gen.core.request import build_request
    from invokeai_gen.workflow import WorkflowError

    settings = find_settings()
    schema_path(openapi, server, settings)
    path = locate(workflow, settings)
    opened = open_workflow(path, workflow, openapi, server, settings)
    try:
        compiled = compile_workflow(opened.file, opened.schema, validate=False)
    except (WorkflowError, NotReadyError) as error:
        fail(opened.kind or error, source=opened.shown)
    plan = named_as_in(settings.output_path, path or Path(f"{opened.stem}.json"), compiled.plan)
    print_messages("warning", map(str, compiled.warnings), source=opened.shown)
    assigned, unassigned = read_assignments(plan, assignments, params)
    values, refused = _json_values(plan, assigned, server)
    if server is not None:
        from invokeai_gen.cli.show.as_loaded import as_loaded
        from invokeai_gen.server.resolution_errors import ValueResolutionError

        try:
            plan, values, gone = as_loaded(plan, values, server)
        except (ValueResolutionError, ParamsError) as error:
            fail(error, source=opened.shown)
        print_messages("warning", gone, source=opened.shown)
    answers, unanswered = _answers(plan, values, server)
    # Without these there is no request; what the GUI would refuse comes after them.
    problems = [(item.source, item.problem) for item in unassigned] + [(None, str(reason)) for reason in unanswered]
    items = None
    if not unanswered:
        try:
            items = batch_items(plan, values, answers)
        except ParamsError as error:
            problems.append((None, str(error)))
    if not no_validate:
        problems += [(item.source, str(reason)) for item, reason in refused]
        reported = {item.planned.binding for item, _ in refused}
        sources = {item.planned.binding: item.source for item in assigned}
        for reason in reasons_of(compiled.workflow, plan, opened.schema, values, items):
            binding = (reason.node_id, reason.field_name)
            if binding not in reported:
                problems.append((sources.get(binding), str(reason)))
    for source, problem in problems:
        print_messages("error", [problem], source=str(source or opened.shown))
    if problems:
        sys.exit(1)
    request = build_request(plan, values, runs=runs, auto_board_id=auto_board, items=items)
    echo(json.dumps(request, ensure_ascii=False, indent=2))


def _json_values(
    plan: WorkflowPlan, assigned: Iterable[Assignment], server: str | None
) -> tuple[Values, list[tuple[Assignment, Reason]]]:
    """Return the values as the request carries them, and what is wrong with the others."""
    problems = {item.planned.binding: [problem] for item in assigned if (problem := _unusable(item, server))}
    resolved: Values = {}
    if server is not None:
        resolved, unresolved = _resolved(
            plan, [item for item in assigned if item.planned.binding not in problems], server
        )
        problems |= unresolved
    values = {item.planned.binding: _as_json(item) for item in assigned if item.planned.binding not in resolved}
    refused = [
        (item, _reason(at.binding, at.node_type, at.node_label or at.node_title, at.label, problem))
        for item, at in ((item, item.planned) for item in assigned)
        for problem in problems.get(at.binding, ())
    ]
    return {**values, **resolved}, refused


def _unusable(item: Assignment, server: str | None) -> str:
    """Return why a value cannot be part of a request that is only printed, though its field may accept it."""
    if item.problem:
        return item.problem
    label = f"{item.planned.label} ({item.planned.name})"
    for value in item.value if isinstance(item.value, list) else [item.value]:
        is_file = isinstance(value, Path) or (isinstance(value, str) and os.path.isfile(value))
        if item.planned.field_type in {"ImageField", "VideoField"} and is_file:
            return f"{label} is the file {str(value)!r}, and payload uploads nothing: use the name of one on the server"
        if item.planned.field_type == "ModelIdentifierField" and isinstance(value, str) and server is None:
            return f"{label} is the name {value!r}: add --server URL to look it up, or give the model as JSON"
    return ""


def _as_json(item: Assignment) -> JsonValue:
    """Return a value as JSON. Names of images and boards are not looked up, and values that do not fit stay as they are."""
    from invokeai_gen.core.json_writing import to_json
    from invokeai_gen.core.request_values import request_value
    from invokeai_gen.js_json import UNSET

    if item.problem:
        return UNSET if item.value is None else to_json(item.value)

    def named(kind: AssetKind, value: Any) -> JsonValue:
        is_name = isinstance(value, str) and kind != "model"
        return {"board_id" if kind == "board" else f"{kind}_name": value} if is_name else to_json(value)

    return request_value(item.planned, item.value, named)


def _resolved(
    plan: WorkflowPlan, items: list[Assignment], server: str
) -> tuple[dict[Binding, Any], dict[Binding, list[str]]]:
    """Return values with every model, board and image looked up on the server, and what is wrong with the others."""
    import asyncio
    from dataclasses import replace

    from invokeai_gen.runtime.resolve import resolve
    from invokeai_gen.server import constants
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.resolution_errors import ValueResolutionError

    values: dict[Binding, Any] = {}
    problems: dict[Binding, list[str]] = {}
    form = replace(plan, nodes=())  # what hidden fields refer to is looked up with the rest of the workflow

    async def ask() -> None:
        async with AsyncInvokeAIClient(server, request_timeout=constants.COMMAND_TIMEOUT) as client:
            for item in items:
                binding = item.planned.binding
                found = []
                for value in item.value if isinstance(item.value, list) else [item.value]:
                    try:
                        found.append((await resolve(form, {binding: value}, client))[0][binding])
                    except ValueResolutionError as error:
                        problem = str(error).removeprefix(f"{error.label!r}: ")
                        problems.setdefault(binding, []).append(problem)
                if binding not in problems:
                    values[binding] = found if isinstance(item.value, list) else found[0]

    if items:
        asyncio.run(ask())
    return values, problems


def _answers(plan: WorkflowPlan, values: Values, server: str | None) -> tuple[dict[str, list[JsonValue]], list[Reason]]:
    """Return the server's answers to the questions of generators, and the questions that have no answer."""
    from invokeai_gen.core.batch import server_queries

    queries = server_queries(plan, values)
    if not queries:
        return {}, []
    if server is None:
        return {}, [
            _query_reason(plan, query, f"a generator needs a server ({query.purpose}): name one with --server URL")
            for query in queries
        ]
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.core.batch import GENERATOR_FIELD, value_of
    from invokeai_gen.server import constants
    from invokeai_gen.server.errors import NotFoundError

    answers, unanswered = {}, []
    with InvokeAIClient(server, request_timeout=constants.COMMAND_TIMEOUT) as client:
        for query in queries:
            try:
                answer = client.ask(query.method, query.path, params=dict(query.params) or None, json=query.json)
            except NotFoundError:
                settings: JsonValue = value_of(plan, values, query.node_id, GENERATOR_FIELD)
                if "board_id" not in settings:
                    raise
                problem = f"the server has no board with id {settings['board_id']!r}"
                unanswered.append(_query_reason(plan, query, problem))
            else:
                answers[query.node_id] = query.items(answer)
    return answers, unanswered


def _query_reason(plan: WorkflowPlan, query: ServerQuery, problem: str) -> Reason:
    from invokeai_gen.core.batch import GENERATOR_FIELD

    node = plan.node(query.node_id)
    binding = (node.id, GENERATOR_FIELD)
    label = next((item.label for item in plan.inputs if item.binding == binding), GENERATOR_FIELD)
    return _reason(binding, node.type, node.label, label, problem)


def _reason(binding: Binding, node_type: str, node_label: str, label: str, problem: str) -> Reason:
    from invokeai_gen.compiler import Reason

    return Reason(
        problem=problem,
        node_id=binding[0],
        node_type=node_type,
        node_label=node_label,
        field_name=binding[1],
        field_label=label,
    )
