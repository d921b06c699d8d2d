"""The workflow of a plan that was opened at run time: the same object as in a generated module."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import field
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from invokeai_gen.core.field_values import default_of, input_of, runtime_type, shape_of
from invokeai_gen.core.params import WorkflowParams, params
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.values import Input
from invokeai_gen.js_json import UNSET
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.sweeps.workflow import Workflow


def workflow_of(
    plan: WorkflowPlan, values: Mapping[str, Any] = MappingProxyType({})
) -> Workflow[WorkflowParams, WorkflowOutputs]:
    """Return the workflow of a plan whose inputs have names, as its generated module would define it.

    `values` take the place of the defaults in the workflow file, by Python name.
    """
    defaults = {planned.name: default_of(planned) for planned in plan.inputs if planned.fed_by is None}
    known = {name: value for name, value in {**defaults, **values}.items() if value is not UNSET}
    return Workflow(plan, params=params_type(plan, known), outputs=WorkflowOutputs)


def params_type(plan: WorkflowPlan, defaults: Mapping[str, Any] = MappingProxyType({})) -> type[WorkflowParams]:
    """Return a class with an attribute for each input of a plan whose inputs have names.

    Unlike in a generated module, only the inputs in `defaults` have a default: a handle passes every value that the
    workflow has.
    """
    annotations: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    for planned in plan.inputs:
        if planned.fed_by is not None:
            annotations[planned.name], fixed[planned.name] = ClassVar[Input], input_of(planned)
        else:
            kind: Any = runtime_type(shape_of(planned))
            annotations[planned.name] = Annotated[kind, input_of(planned)]
            if planned.name in defaults:
                fixed[planned.name] = field(default_factory=partial(copy, defaults[planned.name]))
    # Without a docstring, dataclass would make a long one.
    fixed |= {"__annotations__": annotations, "__doc__": "The inputs of the workflow."}
    made: type[WorkflowParams] = type("Params", (WorkflowParams,), fixed)
    made.__plan__ = lambda: plan
    return params(made)
