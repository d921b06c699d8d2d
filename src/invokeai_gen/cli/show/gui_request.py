"""The request that the GUI would send for a workflow with given values, and why it would refuse to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from invokeai_gen.cli.assignments import Assignment
from invokeai_gen.cli.named_workflow import NamedWorkflow
from invokeai_gen.compiler import Reason, reasons_of
from invokeai_gen.core.assets import assets_of, with_assets
from invokeai_gen.core.batch import GENERATOR_FIELD, Binding, Values, batch_data, batch_items, server_queries, value_of
from invokeai_gen.core.json_writing import request_value, to_json
from invokeai_gen.core.plan import AssetKind, JsonValue, WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.request import build_request
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.runtime.called import renewed
from invokeai_gen.runtime.matching import look_up
from invokeai_gen.runtime.resolve import resolve
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.run_errors import ValueResolutionError

Problem: TypeAlias = tuple[Path | None, str]
"""What is wrong, and the file of `--params` that has it; `None` for the workflow and the command line."""


async def gui_request(
    found: NamedWorkflow,
    assigned: Sequence[Assignment],
    client: AsyncInvokeAIClient | None,
    *,
    runs: int,
    auto_board: str | None,
    validate: bool,
) -> tuple[dict[str, JsonValue] | None, list[Problem], list[str]]:
    """Return the request for a workflow that was compiled now, with these values in its form; problems; and warnings.

    If there are problems, which keep the GUI from sending it, the request is `None`. The warnings say what the GUI would
    leave empty because this server lacks it. What only a server knows is asked of `client`; without one it is a problem.
    `validate=False` returns a request that the GUI would refuse, too. Raise `ValueResolutionError` and `ParamsError` for
    a called workflow that cannot be used.
    """
    assert found.compiled is not None and found.schema is not None
    values, refused = await _json_values(found.plan, assigned, client)
    plan = found.plan
    warnings: list[str] = []
    if client is not None:
        plan, values, warnings = await _as_loaded(plan, values, client)
    answers, unanswered = await _answers(plan, values, client)
    # A request cannot be made without these answers, so they come before what the GUI would refuse.
    problems: list[Problem] = [(None, str(reason)) for reason in unanswered]
    items = None
    if not unanswered:
        try:
            items = batch_items(plan, values, answers)
        except ParamsError as error:
            problems.append((None, str(error)))
    if validate:
        problems += [(item.source, str(reason)) for item, reason in refused]
        reported = {item.planned.binding for item, _ in refused}
        sources = {item.planned.binding: item.source for item in assigned}
        for reason in reasons_of(found.compiled.workflow, plan, found.schema, values, items):
            binding = (reason.node_id, reason.field_name)
            if binding not in reported:
                problems.append((sources.get(binding), str(reason)))
    if problems:
        return None, problems, warnings
    data = batch_data(plan, values, items or {})
    return build_request(plan, values, runs=runs, auto_board_id=auto_board, data=data), [], warnings


async def _json_values(
    plan: WorkflowPlan, assigned: Iterable[Assignment], client: AsyncInvokeAIClient | None
) -> tuple[Values, list[tuple[Assignment, Reason]]]:
    """Return the values as the request carries them, and what is wrong with the others.

    Models, boards and images are looked up if there is a server to ask.
    """
    form = replace(plan, nodes=())  # what hidden fields refer to is looked up with the rest of the workflow
    values: dict[Binding, JsonValue | Unset] = {}
    refused = []
    for item in assigned:
        binding = item.planned.binding
        problems = [problem] if (problem := _unusable(item, has_server=client is not None)) else []
        if client is not None and not problems:
            try:
                values |= (await resolve(form, {binding: item.value}, client))[0]
            except ValueResolutionError as error:
                problems = [each.problem for each in (error, *error.others)]
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
    if item.problem:
        return UNSET if item.value is None else to_json(item.value)

    def named(kind: AssetKind, value: Any) -> JsonValue:
        is_name = isinstance(value, str) and kind != "model"
        return {"board_id" if kind == "board" else f"{kind}_name": value} if is_name else to_json(value)

    return request_value(item.planned, item.value, named)


async def _as_loaded(
    plan: WorkflowPlan, values: Values, client: AsyncInvokeAIClient
) -> tuple[WorkflowPlan, Values, list[str]]:
    """Return the plan and the values as the GUI has them after loading on this server, and its warnings.

    Models are found by key, then hash, then name, base and type. What is missing becomes empty, as in the GUI; if the
    field is required, that is a reason not to invoke the workflow. `values` themselves have been looked up already.
    """
    # The board of a generator is looked up when its images are asked for.
    assets = [
        asset
        for asset in assets_of(plan, values)
        if asset.binding not in values and asset.binding[1] != GENERATOR_FIELD
    ]
    answers = list(zip(assets, await look_up(assets, client), strict=True))
    missing = [(asset, error) for asset, error in answers if isinstance(error, ValueResolutionError)]
    found = {
        (asset.binding, asset.place): answer
        for asset, answer in answers
        if answer is not None and not isinstance(answer, ValueResolutionError)
    }
    changed = dict(with_assets(plan, values, found))
    for binding in {asset.binding for asset, _ in missing}:
        gone = {asset.place for asset, _ in missing if asset.binding == binding}
        items: JsonValue = value_of(plan, changed, *binding)
        changed[binding] = UNSET if None in gone else [item for place, item in enumerate(items) if place not in gone]
    warnings = [f"{error} It is left empty, as in the GUI." for _, error in missing]
    return await renewed(plan, changed, client), changed, warnings


async def _answers(
    plan: WorkflowPlan, values: Values, client: AsyncInvokeAIClient | None
) -> tuple[dict[str, list[JsonValue]], list[Reason]]:
    """Return the server's answers to the questions of generators, and why the others have no answer."""
    answers, problems = {}, {}
    for query in server_queries(plan, values):
        if client is None:
            problems[query.node_id] = f"a generator needs a server ({query.purpose}): name one with --server URL"
            continue
        try:
            answer = await client.ask(query.method, query.path, params=dict(query.params) or None, json=query.json)
            answers[query.node_id] = query.items(answer)
        except NotFoundError:
            settings: JsonValue = value_of(plan, values, query.node_id, GENERATOR_FIELD)
            if "board_id" not in settings:
                raise
            problems[query.node_id] = f"the server has no board with id {settings['board_id']!r}"
    return answers, [_reason(plan, node_id, GENERATOR_FIELD, problem) for node_id, problem in problems.items()]


def _reason(plan: WorkflowPlan, node_id: str, field_name: str, problem: str) -> Reason:
    """Return the reason that a value of a node cannot be sent."""
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
