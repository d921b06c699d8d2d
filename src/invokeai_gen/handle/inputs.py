"""The inputs of a handle: the fields of the form with their present values."""

from __future__ import annotations

from collections.abc import Sequence

from invokeai_gen.core import problems
from invokeai_gen.core.field_values import default_of
from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.core.problems import Problem
from invokeai_gen.handle.field import IvkField
from invokeai_gen.handle.value_fields import IvkCollectionField, item_class
from invokeai_gen.js_json import UNSET
from invokeai_gen.texts import shown


class IvkWorkflowInput:
    """One input of a handle: a field of the workflow's form, and its present value."""

    def __init__(self, planned: PlannedInput) -> None:
        self.planned = planned
        """The compiled input: its type, limits, choices and place in the workflow."""
        self.input_index = planned.index
        """Position in the form, counted from 0."""
        self.label = planned.label
        """The label in the GUI: the user's, else the title from the node type. Several inputs may share it."""
        self.user_name = planned.label
        """The label."""
        self.name = planned.name
        """The name of the input in a generated module."""
        self.node_id = planned.node_id
        """Id of the node in the workflow."""
        self.node_name = planned.node_label or planned.node_type
        """The user's label of the node, else its type."""
        self.field_name = planned.field_name
        """Name of the field of the node."""
        self.system_name = f"{planned.node_id}.{planned.field_name}"
        """`"<node id>.<field name>"`, which is unique."""
        self.description = planned.description
        """The description by the workflow's author, else the one of the node type."""
        self.fed_by = planned.fed_by
        """Label of the node that feeds the field, so that it cannot be set; `None` for any other input."""
        self._field = field_for(planned)

    def __repr__(self) -> str:
        return f"<input {self.input_index} {self.label!r}: {self._field!r}>"

    @property
    def field(self) -> IvkField:
        """The field that holds the value. Assigning another field of the same class copies its value.

        Raise `TypeError` for a field of another class, and `ParamsError` for a value that the input does not accept.
        """
        return self._field

    @field.setter
    def field(self, field: IvkField) -> None:
        try:
            self._field.assign(field)
        except TypeError as error:
            raise TypeError(f"{problems.title(self.planned)}: {error}") from None

    @property
    def required(self) -> bool:
        """Whether the node cannot run without a value from the form, as the server's schema says.

        A prompt is not required: for InvokeAI an empty prompt is a value. `is_missing` says whether a value has to be
        given before the workflow can run.
        """
        return self.planned.required and self.planned.fed_by is None

    @property
    def jsonpath(self) -> str:
        """Where the workflow file has the value, as a JSONPath expression."""
        node, field = (_quoted(text) for text in (self.node_id, self.field_name))
        return f"$.nodes[?(@.id=={node})].data.inputs[{field}].value"

    @property
    def is_missing(self) -> bool:
        """Whether a value is required and has been given neither by the workflow nor by the user."""
        return self.fed_by is None and self._field.is_empty and default_of(self.planned) is UNSET


def field_for(planned: PlannedInput) -> IvkField:
    """Return a field with the value in the workflow file, empty if the node does not accept it."""
    value, cls = default_of(planned), item_class(planned.field_type)
    if planned.cardinality == "COLLECTION" or (planned.cardinality != "SINGLE" and not cls.holds_lists):
        cls = IvkCollectionField
    field = cls.from_value(None if value is UNSET else value)
    field._planned = planned
    return field


def label_clash(label: str, items: Sequence[IvkWorkflowInput]) -> Problem:
    """Return the problem of several inputs with the same label; its message names their nodes."""
    nodes = ", ".join(f"{item.node_name!r} ({item.node_id}, index {item.input_index})" for item in items)
    labelled = f"{len(items)} inputs are labelled {shown(label)}, of the nodes {nodes}"
    return Problem(label, f"{labelled}: use get_inputs_by_system_name()", label)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
