"""Models of other servers, replaced by models of this server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.matching import fits
from invokeai_gen.core.values import ModelRef
from invokeai_gen.handle.inputs import IvkWorkflowInput
from invokeai_gen.handle.structured_fields import IvkModelIdentifierField
from invokeai_gen.runtime.matching import find_model
from invokeai_gen.server.inventory import Model
from invokeai_gen.server.resolution_errors import ModelResolutionError

SyncStrategy: TypeAlias = Callable[[ModelRef, Sequence[Model]], Model | None]
"""Returns the installed model to use for a model of another server, or `None`."""


def synced(
    item: IvkWorkflowInput,
    models: Sequence[Model],
    *,
    by_name: bool,
    by_base: bool,
    by_hash: bool,
    strategies: Sequence[SyncStrategy] = (),
) -> Model | None:
    """Return the installed model to use for the one an input names, or `None`; see `WorkflowHandle.sync_dnn_model`."""
    field = item.field
    if not isinstance(field, IvkModelIdentifierField) or item.fed_by is not None or field.is_empty:
        return None
    wanted = ModelRef(
        key=field.key,
        hash=field.hash if by_hash else "",
        name=field.name if by_name else "",
        base=field.base,
        type=field.type,
    )
    limits = model_limits(item.planned)
    fitting = [model for model in models if fits(model, limits)]
    try:
        return find_model(item.label, wanted, limits, models)
    except ModelResolutionError:
        pass
    for strategy in strategies:
        if (found := strategy(wanted, fitting)) is not None:
            return found
    same = [model for model in fitting if by_base and (model.base, model.type) == (field.base, field.type)]
    return min(same, key=lambda model: model.name, default=None)
