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

from invokeai_gen.handle.collection_field import IvkCollectionField
from invokeai_gen.handle.definition import WorkflowDefinition
from invokeai_gen.handle.field import FIELD_CLASSES, IvkField, register_field
from invokeai_gen.handle.handle import WorkflowHandle
from invokeai_gen.handle.index_map import IndexMapError, IndexMapReport, MappedInput, MovedInput
from invokeai_gen.handle.inputs import IvkWorkflowInput
from invokeai_gen.handle.outputs import HandleOutputs, NamedOutputs, OutputMapping
from invokeai_gen.handle.repository import SnapshotWarning, WorkflowRepository
from invokeai_gen.handle.structured_fields import (
    IvkBoundingBoxField,
    IvkCLIPField,
    IvkColorField,
    IvkLoRAField,
    IvkModelIdentifierField,
    IvkStructuredField,
    IvkUNetField,
    IvkVAEField,
)
from invokeai_gen.handle.value_fields import (
    IvkBoardField,
    IvkBooleanField,
    IvkEnumField,
    IvkFloatField,
    IvkImageField,
    IvkIntegerField,
    IvkLatentsField,
    IvkSchedulerField,
    IvkStringField,
    IvkStructureField,
    IvkTensorField,
    IvkValueField,
    IvkVideoField,
)
from invokeai_gen.public_names import find_public as __getattr__  # noqa: F401

if TYPE_CHECKING:  # generated modules and programs from before 0.2 import it from here
    from invokeai_gen import InvokeAIClient as InvokeAIClient

__all__ = [
    "FIELD_CLASSES",
    "HandleOutputs",
    "IndexMapError",
    "IndexMapReport",
    "IvkBoardField",
    "IvkBooleanField",
    "IvkBoundingBoxField",
    "IvkCLIPField",
    "IvkCollectionField",
    "IvkColorField",
    "IvkEnumField",
    "IvkField",
    "IvkFloatField",
    "IvkImageField",
    "IvkIntegerField",
    "IvkLatentsField",
    "IvkLoRAField",
    "IvkModelIdentifierField",
    "IvkSchedulerField",
    "IvkStringField",
    "IvkStructureField",
    "IvkStructuredField",
    "IvkTensorField",
    "IvkUNetField",
    "IvkVAEField",
    "IvkValueField",
    "IvkVideoField",
    "IvkWorkflowInput",
    "MappedInput",
    "MovedInput",
    "NamedOutputs",
    "OutputMapping",
    "SnapshotWarning",
    "WorkflowDefinition",
    "WorkflowHandle",
    "WorkflowRepository",
    "register_field",
]
