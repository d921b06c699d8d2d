"""Load a workflow file as the GUI does: parse and migrate it, check its edges, read its form."""

from invokeai_gen.workflow.document import LoadedWorkflow
from invokeai_gen.workflow.json_object import WorkflowError
from invokeai_gen.workflow.load import WorkflowFile, check_is_workflow, load_workflow, read_workflow_file

__all__ = [
    "LoadedWorkflow",
    "WorkflowError",
    "WorkflowFile",
    "check_is_workflow",
    "load_workflow",
    "read_workflow_file",
]
