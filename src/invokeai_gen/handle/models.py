"""Models of other servers, replaced by what this server has."""

from __future__ import annotations

from collections.abc import Sequence

from invokeai_gen.core.field_values import model_limits
from invokeai_gen.core.values import ModelRef
from invokeai_gen.handle.inputs import IvkWorkflowInput
from invokeai_gen.handle.structured_fields import IvkModelIdentifierField
from invokeai_gen.runtime.resolve import find_model
from invokeai_gen.server.errors import ModelResolutionError
from invokeai_gen.server.records import Model


def synced(
    item: IvkWorkflowInput, models: Sequence[Model], *, by_name: bool, by_base: bool, by_hash: bool
) -> Model | None:
    """The installed model that stands for the one an input names, found in the way a submission would find it.

    `by_hash` and `by_name` say whether those may be used; the key always is. `by_base` takes, where nothing else is
    found, the first model (by name) of the same base and type. `None` where there is none.
    """
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
    same = [model for model in models if (model.base, model.type) == (field.base, field.type)] if by_base else []
    candidates = [wanted, *(ModelRef(key=model.key) for model in sorted(same, key=lambda model: model.name))]
    for candidate in candidates:
        try:
            return find_model(item.label, candidate, limits, models)
        except ModelResolutionError:
            continue
    return None
