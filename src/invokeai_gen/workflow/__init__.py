"""A workflow file read as the GUI reads it: parsed, migrated, its edges checked, its form in order."""

from invokeai_gen.workflow.document import LoadedWorkflow
from invokeai_gen.workflow.errors import LoadWarning, WorkflowError
from invokeai_gen.workflow.load import WorkflowFile, load_workflow, read_workflow_file

__all__ = ["LoadWarning", "LoadedWorkflow", "WorkflowError", "WorkflowFile", "load_workflow", "read_workflow_file"]
