"""`payload`: print the request that would submit a workflow."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from invokeai_gen.cli.completion import complete_workflows
from invokeai_gen.cli.options import schema_options, value_options
from invokeai_gen.cli.terminal import echo, fail, print_messages

if TYPE_CHECKING:
    from invokeai_gen.cli.assignments import Assignment
    from invokeai_gen.client import InvokeAIClient
    from invokeai_gen.compiler import Reason
    from invokeai_gen.core.batch import Binding, Values
    from invokeai_gen.core.plan import AssetKind, JsonValue, WorkflowPlan
    from invokeai_gen.js_json import Unset


@click.command("payload")
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
    from invokeai_gen.cli.named_workflow import find_workflow
    from invokeai_gen.cli.servers import open_client, schema_path
    from invokeai_gen.cli.settings import find_settings
    from invokeai_gen.compiler import reasons_of
    from invokeai_gen.core.batch import batch_items
    from invokeai_gen.core.problems import ParamsError
    from invokeai_gen.core.request import build_request

    settings = find_settings()
    schema_path(openapi, server, settings)
    found = find_workflow(workflow, openapi, server, settings, validate=False)
    if found.compiled is None or found.schema is None:
        fail(
            "this is a generated module: name the workflow, or print its request with `run --dry-run`",
            source=found.shown,
        )
    plan = found.plan
    print_messages("warning", found.warnings, source=found.shown)
    assigned, unassigned = read_assignments(plan, assignments, params)
    with contextlib.nullcontext() if server is None else open_client(server, settings) as client:
        values, refused = _json_values(plan, assigned, client)
        if client is not None:
            from invokeai_gen.cli.show.as_loaded import as_loaded
            from invokeai_gen.server import background
            from invokeai_gen.server.client import core_of
            from invokeai_gen.server.resolution_errors import ValueResolutionError

            try:
                plan, values, gone = background.run(as_loaded(plan, values, core_of(client)))
            except (ValueResolutionError, ParamsError) as error:
                fail(error, source=found.shown)
            print_messages("warning", gone, source=found.shown)
        answers, unanswered = _answers(plan, values, client)
    # Without these there is no request; what the GUI would refuse comes after them.
    problems = [*unassigned, *((None, str(reason)) for reason in unanswered)]
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
        for reason in reasons_of(found.compiled.workflow, plan, found.schema, values, items):
            binding = (reason.node_id, reason.field_name)
            if binding not in reported:
                problems.append((sources.get(binding), str(reason)))
    for source, problem in problems:
        print_messages("error", [problem], source=str(source or found.shown))
    if problems:
        sys.exit(1)
    request = build_request(plan, values, runs=runs, auto_board_id=auto_board, items=items)
    echo(json.dumps(request, ensure_ascii=False, indent=2))


def _json_values(
    plan: WorkflowPlan, assigned: Iterable[Assignment], client: InvokeAIClient | None
) -> tuple[Values, list[tuple[Assignment, Reason]]]:
    """Return the values as the request carries them, and what is wrong with the others.

    Models, boards and images are looked up if there is a server to ask.
    """
    from invokeai_gen.runtime.resolve import resolve
    from invokeai_gen.server import background
    from invokeai_gen.server.client import core_of
    from invokeai_gen.server.resolution_errors import ValueResolutionError

    form = replace(plan, nodes=())  # what hidden fields refer to is looked up with the rest of the workflow
    values: dict[Binding, JsonValue | Unset] = {}
    refused = []
    for item in assigned:
        binding = item.planned.binding
        problems = [problem] if (problem := _unusable(item, has_server=client is not None)) else []
        if client is not None and not problems:
            try:
                values |= background.run(resolve(form, {binding: item.value}, core_of(client)))[0]
            except ValueResolutionError as error:
                found = (error, *error.others)
                problems = [each.own_message.removeprefix(f"{each.label!r}: ") for each in found]
        if binding not in values:
            values[binding] = _as_json(item)
        refused += [(item, _reason(plan, *binding, problem)) for problem in problems]
    return values, refused


def _unusable(item: Assignment, *, has_server: bool) -> str:
    """Return why a value cannot be part of a request that is only printed, though its field may accept it."""
    if item.problem:
        return item.problem
    label = f"{item.planned.label} ({item.planned.name})"
    for value in item.value if isinstance(item.value, list) else [item.value]:
        is_file = isinstance(value, Path) or (isinstance(value, str) and os.path.isfile(value))
        if item.planned.field_type in {"ImageField", "VideoField"} and is_file:
            return f"{label} is the file {str(value)!r}, and payload uploads nothing: use the name of one on the server"
        if item.planned.field_type == "ModelIdentifierField" and isinstance(value, str) and not has_server:
            return f"{label} is the name {value!r}: add --server URL to look it up, or give the model as JSON"
    return ""


def _as_json(item: Assignment) -> JsonValue | Unset:
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


def _answers(
    plan: WorkflowPlan, values: Values, client: InvokeAIClient | None
) -> tuple[dict[str, list[JsonValue]], list[Reason]]:
    """Return the server's answers to the questions of generators, and why the others have no answer."""
    from invokeai_gen.core.batch import GENERATOR_FIELD, server_queries, value_of
    from invokeai_gen.server.errors import NotFoundError

    answers, problems = {}, {}
    for query in server_queries(plan, values):
        if client is None:
            problems[query.node_id] = f"a generator needs a server ({query.purpose}): name one with --server URL"
            continue
        try:
            answer = client.ask(query.method, query.path, params=dict(query.params) or None, json=query.json)
            answers[query.node_id] = query.items(answer)
        except NotFoundError:
            settings: JsonValue = value_of(plan, values, query.node_id, GENERATOR_FIELD)
            if "board_id" not in settings:
                raise
            problems[query.node_id] = f"the server has no board with id {settings['board_id']!r}"
    return answers, [_reason(plan, node_id, GENERATOR_FIELD, problem) for node_id, problem in problems.items()]


def _reason(plan: WorkflowPlan, node_id: str, field_name: str, problem: str) -> Reason:
    """Return the reason that a value of a node cannot be sent."""
    from invokeai_gen.compiler import Reason

    node = plan.node(node_id)
    label = next((item.label for item in plan.inputs if item.binding == (node_id, field_name)), field_name)
    return Reason(
        problem=problem,
        node_id=node.id,
        node_type=node.type,
        node_label=node.label,
        field_name=field_name,
        field_label=label,
    )
