"""Load a workflow file as the GUI does: parse and migrate it, check its edges, read its form."""

from invokeai_gen.workflow.document import LoadedWorkflow as LoadedWorkflow
from invokeai_gen.workflow.json_object import WorkflowError as WorkflowError
from invokeai_gen.workflow.load import WorkflowFile as WorkflowFile
from invokeai_gen.workflow.load import check_is_workflow as check_is_workflow
from invokeai_gen.workflow.load import load_workflow as load_workflow
from invokeai_gen.workflow.load import read_workflow_file as read_workflow_file
