"""What a sweep would send, without sending it: notes stand for what only a server knows, and nothing is uploaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from invokeai_gen.core.field_values import to_json
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import JsonValue, PlannedInput
from invokeai_gen.core.values import BoardRef, ImageRef, LoRA, VideoRef
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.runtime.options import SweepOptions
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.runner import check_options
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.queue import DEFAULT_CAPACITY
from invokeai_gen.sweeps.batching import ResolvedValues, blocks_of, request_of
from invokeai_gen.sweeps.space import Space
from invokeai_gen.sweeps.start import SweepStarter

P = TypeVar("P", bound=WorkflowParams)
O = TypeVar("O", bound=WorkflowOutputs)

_MEDIA_KEYS: Final = {"ImageField": "image_name", "VideoField": "video_name"}


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a sweep would send."""

    total: int
    """How many queue items it would have."""
    enqueues: int
    """How many requests would put them into the queue, if it has the room that queues usually have."""
    request: dict[str, JsonValue]
    """The first of them."""


async def dry_run(
    starter: SweepStarter[P, O], space: Space[P], client: AsyncInvokeAIClient, options: SweepOptions
) -> DryRun:
    """Lays out a sweep as `SweepStarter.start` does. The server is asked only for what batch nodes need of it.

    Names of models and boards, and files, are not looked up: they stand in the request as `<model dreamshaper>`,
    `<board Cats>` and `<upload of in.png>`. Raises `ParamsError` for what cannot be sent.
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
            name: [placeholder(inputs[name], row[place]) for row in axis.rows]
            for axis in space.axes
            for place, name in enumerate(axis.names)
        },
        auto_board_id=_auto_board(options),
    )
    layout = await starter.lay_out(space, client, options, resolved)
    blocks = blocks_of(space, layout.groups, layout.runs, DEFAULT_CAPACITY)
    request = request_of(starter.plan, space, layout, resolved, blocks[0])
    return DryRun(sum(len(block.cells) for block in blocks), len(blocks), request)


def placeholder(planned: PlannedInput, value: Any) -> JsonValue | Unset:
    """A value as the request would have it, with a note for each name or file that only a server makes something of."""
    kind = planned.field_type
    if value is None or isinstance(value, Unset):
        return UNSET
    if isinstance(value, list):
        return [placeholder(planned, item) for item in value]
    if isinstance(value, Mapping):
        return to_json(value)
    if kind in _MEDIA_KEYS and not isinstance(value, (ImageRef, VideoRef)):
        return {_MEDIA_KEYS[kind]: _media(value)}
    if kind == "BoardField" and isinstance(value, str):
        return value if value in ("auto", "none") else {"board_id": f"<board {value}>"}
    if kind == "ModelIdentifierField" and isinstance(value, str):
        return _model(value)
    if isinstance(value, LoRA) and isinstance(value.lora, str):
        return {"lora": _model(value.lora), "weight": value.weight}
    return to_json(value, kind)


def _model(name: str) -> JsonValue:
    return {"key": f"<model {name}>", "name": name}


def _media(value: Any) -> str:
    if isinstance(value, str) and not os.path.isfile(value):
        return value
    what = os.fspath(value) if isinstance(value, (str, Path)) else "an image in memory"
    return f"<upload of {what}>"


def _auto_board(options: SweepOptions) -> str | None:
    board = options.get("auto_board")
    if board is None or board in ("auto", "none"):
        return None
    return board.id if isinstance(board, BoardRef) else f"<board {board}>"
