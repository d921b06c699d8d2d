"""The request that a submission would send, without sending it."""

from __future__ import annotations

from typing import Any

from invokeai_gen.core.batch import Values, batch_data, batch_items, own_batches, server_queries
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.placeholders import board_placeholder, is_created, placeholder, query_placeholder
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.request import build_request
from invokeai_gen.runtime.options import SubmitOptions
from invokeai_gen.runtime.resolve import resolve
from invokeai_gen.runtime.runner import AnyClient, Runner
from invokeai_gen.server.client import core_of


async def preview(
    runner: Runner[Any, Any], params: WorkflowParams, server: AnyClient | None, options: SubmitOptions
) -> dict[str, JsonValue]:
    """Return the request for these values; see `RunnableWorkflow.request`."""
    await runner.check(params, options)
    plan, given = runner.plan, params.values()
    inputs = {planned.binding: planned for planned in plan.inputs}
    values: Values = {binding: placeholder(inputs[binding], value) for binding, value in given.items()}
    if server is not None:
        client, creates_boards = core_of(server), options.get("create_boards", False)
        names = {
            binding: value
            for binding, value in given.items()
            if not is_created(inputs[binding], value, creates_boards=creates_boards)
        }
        looked_up, _ = await resolve(plan, names, client, resolve_models=options.get("resolve_models", "auto"))
        return await runner.request({**values, **looked_up}, client, options)
    if queries := server_queries(plan, values):
        generated = {query.node_id: [query_placeholder(query)] for query in queries}
        data = batch_data(plan, values, batch_items(plan, values, generated))
    else:
        data = await own_batches(plan, values, None)
    return build_request(
        plan,
        values,
        runs=options.get("runs", 1),
        auto_board_id=board_placeholder(options.get("auto_board")),
        data=data,
        prepend=options.get("prepend", False),
    )
