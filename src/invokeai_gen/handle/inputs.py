"""The inputs of a handle: the fields of the form with their present values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from invokeai_gen.core import problems
from invokeai_gen.core.dynamic_params import params_type
from invokeai_gen.core.field_values import default_of
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import PlannedInput, WorkflowPlan
from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.handle.field import IvkField
from invokeai_gen.handle.field_of_input import field_for
from invokeai_gen.js_json import UNSET


class IvkWorkflowInput:
    """One input of a handle: a field of the workflow's form, and its present value."""

    def __init__(self, planned: PlannedInput) -> None:
        self.planned = planned
        """The compiled input: its type, limits, choices and place in the workflow."""
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
    def input_index(self) -> int:
        """Position in the form, counted from 0."""
        return self.planned.index

    @property
    def label(self) -> str:
        """The label in the GUI: the user's, else the title from the node type."""
        return self.planned.label

    @property
    def name(self) -> str:
        """The name of the input in a generated module."""
        return self.planned.name

    @property
    def user_name(self) -> str:
        """The label; several inputs may share it."""
        return self.planned.label

    @property
    def system_name(self) -> str:
        """`"<node id>.<field name>"`, which is unique."""
        return f"{self.node_id}.{self.field_name}"

    @property
    def node_name(self) -> str:
        """The user's label of the node, else its type."""
        return self.planned.node_label or self.planned.node_type

    @property
    def node_id(self) -> str:
        """Id of the node in the workflow."""
        return self.planned.node_id

    @property
    def field_name(self) -> str:
        """Name of the field of the node."""
        return self.planned.field_name

    @property
    def description(self) -> str:
        """The description by the workflow's author, else that of the node type."""
        return self.planned.description

    @property
    def required(self) -> bool:
        """Whether the node cannot run without a value from the form, as the server's schema says.

        A prompt is not required: for InvokeAI an empty prompt is a value. `is_missing` says whether a value has to be
        given before the workflow can run.
        """
        return self.planned.required and self.planned.fed_by is None

    @property
    def fed_by(self) -> str | None:
        """Label of the node that feeds the field, so that it cannot be set; `None` for any other input."""
        return self.planned.fed_by

    @property
    def jsonpath(self) -> str:
        """Where the workflow file has the value, as a JSONPath expression."""
        node, field = (_quoted(text) for text in (self.node_id, self.field_name))
        return f"$.nodes[?(@.id=={node})].data.inputs[{field}].value"

    @property
    def is_missing(self) -> bool:
        """Whether a value is required and has been given neither by the workflow nor by the user."""
        return self.fed_by is None and self._field.is_empty and default_of(self.planned) is UNSET


class WorkflowInputs:
    """The inputs of one handle, in the order of the form."""

    def __init__(self, plan: WorkflowPlan) -> None:
        self._inputs = tuple(IvkWorkflowInput(planned) for planned in sorted(plan.inputs, key=lambda item: item.index))
        self._params_type = params_type(plan)

    def __iter__(self) -> Iterator[IvkWorkflowInput]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def params_type(self) -> type[WorkflowParams]:
        """The class of `params`."""
        return self._params_type

    def at(self, index: int) -> IvkWorkflowInput:
        """Return the input of that index. Raise `ParamsError`, which is a `ValueError`."""
        for item in self._inputs:
            if type(index) is int and item.input_index == index:
                return item
        raise ParamsError([problems.unknown_index(index, [item.planned for item in self._inputs])])

    def by_system_name(self) -> dict[str, IvkWorkflowInput]:
        """Return all inputs by `"<node id>.<field name>"`."""
        return {item.system_name: item for item in self._inputs}

    def by_user_name(self) -> dict[str, IvkWorkflowInput]:
        """Return all inputs by label. Raise `ParamsError` if inputs share a label; the message names their nodes."""
        found: dict[str, list[IvkWorkflowInput]] = {}
        for item in self._inputs:
            found.setdefault(item.user_name, []).append(item)
        shared = [Problem(name, _clash(name, items), name) for name, items in found.items() if len(items) > 1]
        if shared:
            raise ParamsError(shared)
        return {name: items[0] for name, items in found.items()}

    def params(self) -> WorkflowParams:
        """Return the values as the `Params` of a generated module. Raise `ParamsError` with everything that is wrong."""
        given: dict[str, Any] = {
            item.name: item.field.to_value() for item in self._inputs if item.fed_by is None and not item.is_missing
        }
        return self._params_type(**given)

    def problems(self) -> dict[int, list[str]]:
        """Return what is wrong with the values, by index."""
        try:
            self.params()
        except ParamsError as error:
            index = {item.name: item.input_index for item in self._inputs}
            found: dict[int, list[str]] = {}
            for problem in error.problems:
                found.setdefault(index[problem.name], []).append(problem.message)
            return found
        return {}


def _clash(name: str, items: Sequence[IvkWorkflowInput]) -> str:
    nodes = ", ".join(f"{item.node_name!r} ({item.node_id}, index {item.input_index})" for item in items)
    labelled = f"{len(items)} inputs are labelled {problems.shown(name)}, of the nodes {nodes}"
    return f"{labelled}: use get_inputs_by_system_name()"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
