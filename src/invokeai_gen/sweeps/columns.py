"""Many values for each input, looked up and uploaded for a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from invokeai_gen.core.batch import Binding
from invokeai_gen.core.plan import JsonValue, WorkflowPlan
from invokeai_gen.js_json import Unset
from invokeai_gen.runtime.assets import hidden_values
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.options import ResolveModels, UploadPolicy
from invokeai_gen.runtime.resolve import Resolver
from invokeai_gen.server.client import AsyncInvokeAIClient


async def resolve_columns(
    plan: WorkflowPlan,
    columns: Mapping[Binding, Sequence[Any]],
    client: AsyncInvokeAIClient,
    preparations: Preparations,
    *,
    resolve_models: ResolveModels = "auto",
    create_boards: bool = False,
    upload: UploadPolicy = "once",
    with_hidden: bool = True,
) -> dict[Binding, list[JsonValue | Unset]]:
    """Return any number of values for each input as JSON; for the rest see `resolve`.

    What `preparations` contains is not uploaded again, and what is made is added to it. Models, images and boards of
    hidden fields are looked up too, and returned if they have another key here, unless `with_hidden` is off.
    """
    resolver = Resolver(client, resolve_models, create_boards, upload, preparations)
    inputs = {planned.binding: planned for planned in plan.inputs}
    keyed = {binding: [_key(value, place) for place, value in enumerate(each)] for binding, each in columns.items()}
    distinct = {
        (binding, key): (inputs[binding], value)
        for binding, each in columns.items()
        for key, value in zip(keyed[binding], each, strict=True)
    }
    hidden = (lambda: hidden_values(plan, client)) if with_hidden and resolve_models == "auto" else None
    answers, more = await resolver.resolve(list(distinct.values()), hidden)
    found = dict(zip(distinct, answers, strict=True))
    given = {binding: [found[binding, key] for key in keys] for binding, keys in keyed.items()}
    return {binding: [value] for binding, value in more.items()} | given


def _key(value: Any, place: int) -> object:
    """Return a key that is equal for values that need to be looked up only once: a sweep can have many."""
    return (type(value), value) if isinstance(value, (str, int, float, Path)) else place
