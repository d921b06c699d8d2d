"""Find an input of a workflow by its index in the form, its Python name or its label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invokeai_gen.core import problems
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.texts import shown

if TYPE_CHECKING:
    from invokeai_gen.core.plan import PlannedInput, WorkflowPlan


def find_input(plan: WorkflowPlan, name: str) -> PlannedInput:
    """Return the input with that index, Python name or label, tried in this order; `sky-color` is `sky_color`, too.

    Raises `ParamsError` for an unknown name, with similar ones; for a label of several inputs, with their names and
    indices; and for an input that is fed by an edge, with the node at its other end.
    """
    if name.isascii() and name.isdigit() and len(name) < 10:
        for planned in plan.inputs:
            if planned.index == int(name):
                return _settable(planned)
        raise ParamsError([problems.unknown_index(int(name), plan.inputs)])
    named = {planned.name: planned for planned in plan.inputs}
    if name in named:
        return _settable(named[name])
    labelled = [planned for planned in plan.inputs if planned.label == name]
    if len(labelled) > 1:
        names = ", ".join(f"{planned.name} (index {planned.index})" for planned in labelled)
        message = f"{len(labelled)} inputs are labelled {shown(name)}: use a name or an index: {names}"
        raise ParamsError([problems.Problem(name, message)])
    if labelled:
        return _settable(labelled[0])
    if (spelled := name.replace("-", "_")) in named:
        return _settable(named[spelled])
    raise ParamsError([problems.unsettable(name, named)])


def _settable(planned: PlannedInput) -> PlannedInput:
    if planned.fed_by is not None:
        raise ParamsError([problems.unsettable(planned.name, {planned.name: planned})])
    return planned
