"""The workflows that a workflow calls, fetched from the server's library as they are at this moment."""

from __future__ import annotations

from collections.abc import Mapping

from invokeai_gen.core.batch import Binding
from invokeai_gen.core.called_workflows import calls_of, with_called
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.js_json import Unset
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import NotFoundError, ValueResolutionError


async def renewed(
    plan: WorkflowPlan, values: Mapping[Binding, JsonValue | Unset], client: AsyncInvokeAIClient
) -> WorkflowPlan:
    """Return the plan with the inputs that the called workflows have on this server; most plans come back unchanged.

    Raises `ValueResolutionError` for a workflow that is not in the library, and what `with_called` raises.
    """
    called: dict[str, JsonValue] = {}
    missing = []
    for call in calls_of(plan, values):
        if call.workflow_id in called:
            continue
        try:
            called[call.workflow_id] = (await client.workflows.get(call.workflow_id)).workflow or {}
        except NotFoundError:
            missing.append(
                ValueResolutionError(call.label, f"the server has no workflow with id {call.workflow_id!r}.")
            )
    if missing:
        raise missing[0].with_others(missing[1:])
    return with_called(plan, values, called) if called else plan
