"""The `Params` of a workflow that was opened at run time: the same class as in a generated module."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import field
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from invokeai_gen.core.field_values import input_of, runtime_type, shape_of
from invokeai_gen.core.inputs import Input
from invokeai_gen.core.params import WorkflowParams, params
from invokeai_gen.core.plan import WorkflowPlan


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
    fixed |= {
        "__annotations__": annotations,
        "__doc__": "The inputs of the workflow.",
    }  # dataclass would make a long one
    made: type[WorkflowParams] = type("Params", (WorkflowParams,), fixed)
    made.__plan__ = lambda: plan
    return params(made)
