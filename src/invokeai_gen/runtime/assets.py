"""The models, images and boards that hidden fields of a workflow refer to, looked up before it is submitted.

With a server at hand the GUI looks them up when it loads a workflow. Values of the form are looked up by `resolve`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from invokeai_gen.core.assets import Asset, assets_of, with_assets
from invokeai_gen.core.batch import Values
from invokeai_gen.core.json_writing import model_from_json
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.core.values import BoardRef
from invokeai_gen.js_json import UNSET
from invokeai_gen.runtime.cleanup import QUESTIONS_AT_ONCE
from invokeai_gen.runtime.matching import check_media, find_board, model_on
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.server.resolution_errors import ValueResolutionError

MEMORY: Final = 30.0
"""Seconds for which an answer counts."""
_found: WeakKeyDictionary[AsyncInvokeAIClient, dict[int, tuple[float, WorkflowPlan, Values]]] = WeakKeyDictionary()
"""What was found for each plan, by its identity, and when."""


async def hidden_values(plan: WorkflowPlan, client: AsyncInvokeAIClient) -> Values:
    """Return the values of hidden fields that this server needs: models that it knows by another key.

    Raises `ValueResolutionError` for everything that the server does not have, all at once.
    """
    answers = _found.setdefault(client, {})
    asked_at, _, values = answers.get(id(plan), (-MEMORY, plan, {}))
    if time.monotonic() - asked_at < MEMORY:
        return values
    assets = assets_of(plan, {planned.binding: UNSET for planned in plan.inputs})
    values = with_assets(plan, {}, await _looked_up(assets, client)) if assets else {}
    answers[id(plan)] = time.monotonic(), plan, values
    return values


async def _looked_up(
    assets: tuple[Asset, ...], client: AsyncInvokeAIClient
) -> Mapping[tuple[tuple[str, str], int | None], JsonValue]:
    """Return a model in place of each that this server knows by another key."""
    found: dict[tuple[tuple[str, str], int | None], JsonValue] = {}
    missing: list[ValueResolutionError] = []
    for asset, answer in zip(assets, await look_up(assets, client), strict=True):
        if isinstance(answer, ValueResolutionError):
            missing.append(answer)
        elif answer is not None:
            found[asset.binding, asset.place] = answer
    if missing:
        raise missing[0].with_others(missing[1:])
    return found


async def look_up(
    assets: Sequence[Asset], client: AsyncInvokeAIClient
) -> list[JsonValue | ValueResolutionError | None]:
    """Return, for each asset, the model that this server knows by another key, an error if it is missing, or `None`."""
    boards = await client.boards.list(include_archived=True) if any(each.kind == "board" for each in assets) else []

    async def one(asset: Asset) -> JsonValue | None:
        if asset.kind == "model":
            return await _model(asset, client)
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


async def _model(asset: Asset, client: AsyncInvokeAIClient) -> JsonValue | None:
    wanted = model_from_json(asset.value)
    found = await model_on(client, asset.label, wanted, asset.models)
    return None if found["key"] == wanted.key else found
