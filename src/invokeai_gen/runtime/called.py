"""The workflows that a workflow calls, fetched from the server's library as they are at this moment."""

from __future__ import annotations

from collections.abc import Container, Mapping

from invokeai_gen.core.batch import Binding
from invokeai_gen.core.called_workflows import calls_of, with_called
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.js_json import Unset, normalized
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.run_errors import ValueResolutionError


async def renewed(
    plan: WorkflowPlan, values: Mapping[Binding, JsonValue | Unset], client: AsyncInvokeAIClient
) -> WorkflowPlan:
    """Return the plan with the inputs that the called workflows have on this server; most plans come back unchanged.

    Raise what `fetch_called` and `with_called` raise.
    """
    called = await fetch_called(plan, values, client)
    return with_called(plan, values, called) if called else plan


async def fetch_called(
    plan: WorkflowPlan,
    values: Mapping[Binding, JsonValue | Unset],
    client: AsyncInvokeAIClient,
    known: Container[str] = (),
) -> dict[str, JsonValue]:
    """Return the workflows that are called with these values, by id; those in `known` are left out.

    Raise `ValueResolutionError` for workflows that are not in the server's library.
    """
    called: dict[str, JsonValue] = {}
    missing = []
    for call in calls_of(plan, values):
        if call.workflow_id in called or call.workflow_id in known:
            continue
        try:
            called[call.workflow_id] = normalized((await client.workflows.get(call.workflow_id)).workflow or {})
        except NotFoundError:
            missing.append(
                ValueResolutionError(call.label, f"the server has no workflow with id {call.workflow_id!r}.")
            )
    if missing:
        raise missing[0].with_others(missing[1:])
    return called
