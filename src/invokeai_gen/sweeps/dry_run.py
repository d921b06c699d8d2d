"""What a sweep would send, without sending it: placeholders stand for what only a server knows; nothing is uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from invokeai_gen.core.placeholders import board_placeholder, placeholder
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.runtime.options import check_options
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.constants import DEFAULT_CAPACITY
from invokeai_gen.sweeps.batching import Layout, ResolvedValues
from invokeai_gen.sweeps.layout import lay_out
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.space import Space


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a sweep would send."""

    layout: Layout
    """The items with their numbers and values."""
    enqueues: int
    """How many requests would put them into the queue, if it has the room that queues usually have."""
    request: dict[str, JsonValue]
    """The first of them."""


async def dry_run(plan: WorkflowPlan, space: Space[Any], client: AsyncInvokeAIClient, options: SweepOptions) -> DryRun:
    """Lay out a sweep as `start.start` does. The server is asked only for what batch nodes need.

    Names of models and boards, and files, are not looked up: the request has `<model dreamshaper>`, `<board Cats>` and
    `<upload of in.png>` in their place. Raise `ParamsError` for values that cannot be sent.
    """
    check_options(options, SweepOptions.__annotations__)
    inputs = {planned.name: planned for planned in plan.inputs}
    first = space.params(0)
    resolved = ResolvedValues(
        base={
            planned.binding: placeholder(planned, getattr(first, name))
            for name, planned in inputs.items()
            if planned.fed_by is None and name not in space.names
        },
        columns={
            name: [placeholder(inputs[name], value) for value in values] for name, values in space.columns().items()
        },
        auto_board_id=board_placeholder(options.get("auto_board")),
    )
    layout = await lay_out(plan, space, client, options, resolved)
    blocks = layout.blocks(DEFAULT_CAPACITY)
    return DryRun(layout, len(blocks), layout.request(blocks[0], resolved))
