"""What the GUI does with a server at hand when it loads a workflow: look up its assets, and renew called workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invokeai_gen.core.batch import Values
    from invokeai_gen.core.plan import JsonValue, WorkflowPlan
    from invokeai_gen.server.client import AsyncInvokeAIClient


async def as_loaded(
    plan: WorkflowPlan, values: Values, client: AsyncInvokeAIClient
) -> tuple[WorkflowPlan, Values, list[str]]:
    """Return the plan and the values as the GUI has them after loading on this server, and its warnings.

    Models are found by key, then hash, then name, base and type. What is missing becomes empty, as in the GUI; if the
    field is required, that is a reason not to invoke the workflow. `values` themselves have been looked up already.
    Raise `ValueResolutionError` for a called workflow that does not exist.
    """
    from invokeai_gen.core.assets import assets_of, with_assets
    from invokeai_gen.core.batch import GENERATOR_FIELD, value_of
    from invokeai_gen.js_json import UNSET
    from invokeai_gen.runtime.assets import look_up
    from invokeai_gen.runtime.called import renewed
    from invokeai_gen.server.resolution_errors import ValueResolutionError

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
