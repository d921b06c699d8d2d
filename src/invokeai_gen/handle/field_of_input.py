"""The field of an input of a workflow: its class, and the value it starts with."""

from __future__ import annotations

from invokeai_gen.core.field_values import default_of
from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.handle.collection_field import IvkCollectionField
from invokeai_gen.handle.field import IvkField
from invokeai_gen.handle.value_fields import item_class
from invokeai_gen.js_json import UNSET


def field_class(planned: PlannedInput) -> type[IvkField]:
    """Return the class of field for an input: the one of its schema type, or `IvkCollectionField`."""
    cls = item_class(planned.field_type)
    if planned.cardinality == "SINGLE" or (planned.cardinality == "SINGLE_OR_COLLECTION" and cls.holds_lists):
        return cls
    return IvkCollectionField


def field_for(planned: PlannedInput) -> IvkField:
    """Return a field with the value in the workflow file, empty if the file has none that the node accepts."""
    value = default_of(planned)
    field = field_class(planned).from_value(None if value is UNSET else value)
    field._planned = planned
    return field
