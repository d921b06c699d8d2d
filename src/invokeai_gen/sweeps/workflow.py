"""`Workflow`: a workflow that runs once, or many times from one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invokeai_gen.loading import later
from invokeai_gen.runtime.workflow import O, P, RunnableWorkflow

if TYPE_CHECKING:
    from invokeai_gen.sweeps.many_runs import ManyRuns
else:
    ManyRuns = RunnableWorkflow


@later(
    "invokeai_gen.sweeps.many_runs",
    "ManyRuns",
    "sweep sweep_csv sweep_jsonl read_csv read_jsonl resume_sweep asweep asweep_csv asweep_jsonl aresume_sweep",
)
class Workflow(ManyRuns[P, O]):
    """One workflow with its plan, its class of parameters and its class of outputs."""
