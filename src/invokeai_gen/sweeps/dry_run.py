"""What a sweep would send, without sending it: placeholders stand for what only a server knows; nothing is uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.placeholders import board_placeholder, placeholder
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.runtime.options import check_options
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.constants import DEFAULT_CAPACITY
from invokeai_gen.sweeps.batching import ResolvedValues, blocks_of, request_of
from invokeai_gen.sweeps.layout import lay_out
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.space import Space
from invokeai_gen.sweeps.start import SweepStarter
from invokeai_gen.sweeps.state import SweepState

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a sweep would send."""

    total: int
    """How many queue items it would have."""
    enqueues: int
    """How many requests would put them into the queue, if it has the room that queues usually have."""
    request: dict[str, JsonValue]
    """The first of them."""
    state: SweepState
    """The items with their numbers and values."""


async def dry_run(
    starter: SweepStarter[P, O], space: Space[P], client: AsyncInvokeAIClient, options: SweepOptions
) -> DryRun:
    """Lay out a sweep as `SweepStarter.start` does. The server is asked only for what batch nodes need of it.

    Names of models and boards, and files, are not looked up: the request has `<model dreamshaper>`, `<board Cats>` and
    `<upload of in.png>` in their place. Raise `ParamsError` for values that cannot be sent.
    """
    check_options(options, SweepOptions.__annotations__)
    inputs = {planned.name: planned for planned in starter.plan.inputs}
    resolved = ResolvedValues(
        base={
            planned.binding: placeholder(planned, getattr(space.params(0), name))
            for name, planned in inputs.items()
            if planned.fed_by is None and name not in space.names
        },
        columns={
            name: [placeholder(inputs[name], value) for value in values] for name, values in space.columns().items()
        },
        auto_board_id=board_placeholder(options.get("auto_board")),
    )
    layout = await lay_out(starter.plan, space, client, options, resolved)
    blocks = blocks_of(space, layout.groups, layout.runs, DEFAULT_CAPACITY)
    request = request_of(starter.plan, space, layout, resolved, blocks[0])
    state = SweepState(starter.plan, space, layout.groups, layout.runs)
    return DryRun(len(state.numbering.cells), len(blocks), request, state)
