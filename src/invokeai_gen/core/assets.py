"""The models, images, videos and boards that a workflow refers to, on its form or hidden in a node.

With a server at hand the GUI looks up all of them when it loads a workflow. A submission does the same, before
anything is sent: `assets_of` says what to look for, `with_assets` puts what was found in place of what the file has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from invokeai_gen.core.batch import Binding, Values, value_of
from invokeai_gen.core.plan import AssetKind, JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.js_json import Unset
from invokeai_gen.limits import ModelLimits

_KEYS: Final[Mapping[AssetKind, str]] = {"image": "image_name", "video": "video_name", "board": "board_id"}
_MODEL_KEYS: Final = frozenset({"key", "name", "base", "type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One model, image, video or board that must exist on the server."""

    kind: AssetKind
    binding: Binding
    """`(node id, field name)` of the field whose value refers to it."""
    place: int | None = None
    """Index in the field's list; `None` for a field with a single value."""
    value: Mapping[str, JsonValue]
    """The reference itself: `{"image_name": …}`, `{"board_id": …}`, or a model with its key, hash, name, base and type."""
    label: str
    """Where the GUI shows it: the label on the form, or `node → field` for a hidden one."""
    planned: PlannedInput | None = None
    """The input on the form; `None` for a hidden field."""

    @property
    def models(self) -> ModelLimits:
        """Which models the field accepts; any for a hidden field."""
        return self.planned.models if self.planned is not None else ModelLimits()


def assets_of(plan: WorkflowPlan, values: Values) -> tuple[Asset, ...]:
    """Return every asset that a run with these values would send, hidden fields included, in the order of the nodes.

    `values` are JSON data by binding, as for `build_request`; fields that are not among them keep the file's own
    value. Fields whose value is never used are left out: those fed by an edge or a batch. So are the entries of `core_metadata`,
    which the server only writes down.
    """
    inputs = {planned.binding: planned for planned in plan.inputs}
    batched = {target for batch in plan.batches for target in batch.targets}
    replaced = {batch.node_id for batch in plan.batches if batch.generator_node_id is not None}
    used = {batch.generator_node_id for batch in plan.batches} | {batch.node_id for batch in plan.batches}
    found: list[Asset] = []
    for node in plan.nodes:
        if node.id in replaced or not (node.is_executable or node.id in used):
            continue
        for field in node.fields:
            binding = (node.id, field.name)
            if field.asset is None or binding in batched:
                continue
            planned = inputs.get(binding)
            label = planned.label if planned is not None else f"{node.label} → {field.label or field.name}"
            found += _assets(field.asset, binding, value_of(plan, values, *binding), label, planned)
    return tuple(found)


def with_assets(plan: WorkflowPlan, values: Values, found: Mapping[tuple[Binding, int | None], JsonValue]) -> Values:
    """Return the values with some assets replaced, by `(binding, place)`: models that another server knows by another key.

    The originals are not changed.
    """
    changed = dict(values)
    for (binding, place), asset in found.items():
        before = value_of(plan, changed, *binding)
        if isinstance(before, list) and place is not None:
            changed[binding] = [*before[:place], _replaced(before[place], asset), *before[place + 1 :]]
        else:
            changed[binding] = _replaced(before, asset)
    return changed


def _replaced(before: JsonValue, asset: JsonValue) -> JsonValue:
    """Return the item with another asset in it; a LoRA keeps its weight."""
    return {**before, "lora": asset} if "lora" in before else asset


def _assets(
    kind: AssetKind, binding: Binding, value: JsonValue | Unset, label: str, planned: PlannedInput | None
) -> Iterator[Asset]:
    """Yield the references in the value of one field."""
    items = enumerate(value) if isinstance(value, list) else [(None, value)]
    for place, item in items:
        reference = reference_of(kind, item)
        if reference is not None:
            yield Asset(kind=kind, binding=binding, place=place, value=reference, label=label, planned=planned)


def reference_of(kind: AssetKind, item: JsonValue | Unset) -> Mapping[str, JsonValue] | None:
    """Return what an item refers to; `None` if it refers to nothing, such as the board `auto`."""
    if not isinstance(item, Mapping):
        return None
    if kind == "model":
        model = item.get("lora", item)
        return model if isinstance(model, Mapping) and model.keys() >= _MODEL_KEYS else None
    name = item.get(_KEYS[kind])
    return {_KEYS[kind]: name} if isinstance(name, str) and name else None
