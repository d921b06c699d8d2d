"""Models, boards, images and videos of a server, for an input with a label.

`hidden_values` looks up what hidden fields refer to, as the GUI does when it loads a workflow. Values of the form are
looked up by `resolve`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from invokeai_gen.core.assets import Asset, assets_of, with_assets
from invokeai_gen.core.batch import Values
from invokeai_gen.core.json_writing import model_from_json
from invokeai_gen.core.matching import NoMatchError, match_board, match_model
from invokeai_gen.core.plan import AssetKind, JsonValue, WorkflowPlan
from invokeai_gen.core.values import BoardRef, ModelRef
from invokeai_gen.js_json import UNSET
from invokeai_gen.limits import ModelLimits
from invokeai_gen.runtime.cleanup import QUESTIONS_AT_ONCE
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.run_errors import (
    BoardResolutionError,
    MediaResolutionError,
    ModelResolutionError,
    ValueResolutionError,
)
from invokeai_gen.server.status_errors import ForbiddenError

if TYPE_CHECKING:
    from invokeai_gen.server.boards import Board
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.models import Model

MEMORY: Final = 30.0
"""Seconds for which an answer counts."""
_found: WeakKeyDictionary[AsyncInvokeAIClient, dict[int, tuple[float, WorkflowPlan, Values]]] = WeakKeyDictionary()
"""What was found for each plan, by its identity, and when."""


def find_board(label: str, wanted: BoardRef | str, boards: Sequence[Board]) -> Board:
    """Return the board that is meant; see `match_board`. Raises `BoardResolutionError`."""
    try:
        return match_board(wanted, boards)
    except NoMatchError as error:
        raise BoardResolutionError(label, error.problem, error.candidates) from None


def find_model(label: str, wanted: ModelRef | str, limits: ModelLimits, models: Sequence[Model]) -> Model:
    """Return the model that is meant; see `match_model`. Raises `ModelResolutionError`."""
    try:
        return match_model(wanted, limits, models)
    except NoMatchError as error:
        raise ModelResolutionError(label, error.problem, error.candidates) from None


async def model_on(
    client: AsyncInvokeAIClient, label: str, wanted: ModelRef | str, limits: ModelLimits
) -> dict[str, JsonValue]:
    """Return a model as this server knows it. Raises `ModelResolutionError`; see `find_model`."""
    try:
        found = find_model(label, wanted, limits, await client.models.known())
    except ModelResolutionError:
        found = find_model(label, wanted, limits, await client.models.sync())
    submodel = wanted.submodel_type if isinstance(wanted, ModelRef) else None
    model = {"key": found.key, "hash": found.hash, "name": found.name, "base": found.base, "type": found.type}
    return model if submodel is None else {**model, "submodel_type": submodel}


async def check_media(client: AsyncInvokeAIClient, label: str, kind: AssetKind, name: str, missing: str) -> None:
    """Raise `MediaResolutionError` if an image or video is not on the server, with that text, or not for this account."""
    try:
        await (client.images if kind == "image" else client.videos).get(name)
    except NotFoundError:
        raise MediaResolutionError(label, missing) from None
    except ForbiddenError:
        raise MediaResolutionError(label, f"this account may not use the {kind} {name!r}.") from None


async def hidden_values(plan: WorkflowPlan, client: AsyncInvokeAIClient) -> Values:
    """Return the values of hidden fields that this server needs: models that it knows by another key.

    Raises `ValueResolutionError` for everything that the server does not have, all at once.
    """
    answers = _found.setdefault(client, {})
    asked_at, _, values = answers.get(id(plan), (-MEMORY, plan, {}))
    if time.monotonic() - asked_at < MEMORY:
        return values
    assets = assets_of(plan, {planned.binding: UNSET for planned in plan.inputs})
    found = await look_up(assets, client)
    missing = [answer for answer in found if isinstance(answer, ValueResolutionError)]
    if missing:
        raise missing[0].with_others(missing[1:])
    changed = {
        (asset.binding, asset.place): model for asset, model in zip(assets, found, strict=True) if model is not None
    }
    values = with_assets(plan, {}, changed)
    answers[id(plan)] = time.monotonic(), plan, values
    return values


async def look_up(
    assets: Sequence[Asset], client: AsyncInvokeAIClient
) -> list[JsonValue | ValueResolutionError | None]:
    """Return, for each asset, the model that this server knows by another key, an error if it is missing, or `None`."""
    boards = await client.boards.list(include_archived=True) if any(each.kind == "board" for each in assets) else []

    async def one(asset: Asset) -> JsonValue | None:
        if asset.kind == "model":
            wanted = model_from_json(asset.value)
            found = await model_on(client, asset.label, wanted, asset.models)
            return None if found["key"] == wanted.key else found
        if asset.kind == "board":
            find_board(asset.label, BoardRef(asset.value["board_id"]), boards)
        else:
            name = asset.value[f"{asset.kind}_name"]
            await check_media(
                client, asset.label, asset.kind, name, f"the {asset.kind} {name!r} is not on this server."
            )
        return None

    answers = await gather_limited(one, assets, at_once=QUESTIONS_AT_ONCE)
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, ValueResolutionError):
            raise answer
    return list(answers)
