"""The workflow of a plan that was opened at run time: the same object as in a generated module."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from invokeai_gen.core.dynamic_params import params_type
from invokeai_gen.core.field_values import default_of
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.plan import WorkflowPlan
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
