"""Workflows opened at run time, without generating a module: list the inputs, set values, run.

    from invokeai_gen import InvokeAIClient, WorkflowDefinition

    client = InvokeAIClient.from_url("http://localhost:9090")
    handle = client.create_workflow(WorkflowDefinition.from_file("portrait.json"))
    handle.get_input_value(0).value = "a fox"
    handle.submit_sync()
    handle.wait_for_completion_sync()
    handle.download_outputs("images")

A handle and the generated module of a workflow share every rule: names, checks, and the request that is sent.
"""

from typing import TYPE_CHECKING

from invokeai_gen.handle.definition import WorkflowDefinition as WorkflowDefinition
from invokeai_gen.handle.field import FIELD_CLASSES as FIELD_CLASSES
from invokeai_gen.handle.field import IvkField as IvkField
from invokeai_gen.handle.field import register_field as register_field
from invokeai_gen.handle.handle import WorkflowHandle as WorkflowHandle
from invokeai_gen.handle.index_map import IndexMapError as IndexMapError
from invokeai_gen.handle.index_map import IndexMapReport as IndexMapReport
from invokeai_gen.handle.index_map import MappedInput as MappedInput
from invokeai_gen.handle.index_map import MovedInput as MovedInput
from invokeai_gen.handle.inputs import IvkWorkflowInput as IvkWorkflowInput
from invokeai_gen.handle.outputs import HandleOutputs as HandleOutputs
from invokeai_gen.handle.outputs import NamedOutputs as NamedOutputs
from invokeai_gen.handle.outputs import OutputMapping as OutputMapping
from invokeai_gen.handle.repository import SnapshotWarning as SnapshotWarning
from invokeai_gen.handle.repository import WorkflowRepository as WorkflowRepository
from invokeai_gen.handle.structured_fields import IvkBoundingBoxField as IvkBoundingBoxField
from invokeai_gen.handle.structured_fields import IvkCLIPField as IvkCLIPField
from invokeai_gen.handle.structured_fields import IvkColorField as IvkColorField
from invokeai_gen.handle.structured_fields import IvkLoRAField as IvkLoRAField
from invokeai_gen.handle.structured_fields import IvkModelIdentifierField as IvkModelIdentifierField
from invokeai_gen.handle.structured_fields import IvkStructuredField as IvkStructuredField
from invokeai_gen.handle.structured_fields import IvkUNetField as IvkUNetField
from invokeai_gen.handle.structured_fields import IvkVAEField as IvkVAEField
from invokeai_gen.handle.value_fields import IvkBoardField as IvkBoardField
from invokeai_gen.handle.value_fields import IvkBooleanField as IvkBooleanField
from invokeai_gen.handle.value_fields import IvkCollectionField as IvkCollectionField
from invokeai_gen.handle.value_fields import IvkEnumField as IvkEnumField
from invokeai_gen.handle.value_fields import IvkFloatField as IvkFloatField
from invokeai_gen.handle.value_fields import IvkImageField as IvkImageField
from invokeai_gen.handle.value_fields import IvkIntegerField as IvkIntegerField
from invokeai_gen.handle.value_fields import IvkLatentsField as IvkLatentsField
from invokeai_gen.handle.value_fields import IvkSchedulerField as IvkSchedulerField
from invokeai_gen.handle.value_fields import IvkStringField as IvkStringField
from invokeai_gen.handle.value_fields import IvkStructureField as IvkStructureField
from invokeai_gen.handle.value_fields import IvkTensorField as IvkTensorField
from invokeai_gen.handle.value_fields import IvkValueField as IvkValueField
from invokeai_gen.handle.value_fields import IvkVideoField as IvkVideoField
from invokeai_gen.public_names import find_public as __getattr__  # noqa: F401

if TYPE_CHECKING:  # generated modules and programs from before 0.2 import it from here
    from invokeai_gen import InvokeAIClient as InvokeAIClient
