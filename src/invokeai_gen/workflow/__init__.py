"""A workflow file read as the GUI reads it: parsed, migrated, its edges checked, its form in order."""

from invokeai_gen.workflow.document import Workflow
from invokeai_gen.workflow.errors import Warning, WorkflowError
from invokeai_gen.workflow.load import WorkflowFile, load_workflow, read_workflow_file

__all__ = ["Warning", "Workflow", "WorkflowError", "WorkflowFile", "load_workflow", "read_workflow_file"]
