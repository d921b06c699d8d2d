"""The handle-style API as it was described before there was a generator, on top of `invokeai_gen`.

Programs written for that description run with their imports changed to this package:

    from invokeai_gen.compat import InvokeAIClient, WorkflowDefinition

    client = InvokeAIClient.from_url("http://localhost:9090")
    handle = client.create_workflow(WorkflowDefinition.from_file("portrait.json"))
    handle.set_input("Positive Prompt", "a fox")
    handle.submit_sync(board_id="samples")
    handle.wait_for_completion_sync(timeout=600)
    for output in handle.get_outputs().get_user_outputs():
        print(output.stage_name, output.image_name)

It only adds names: its classes are the ones of `invokeai_gen`, or subclasses with further methods and keywords. New programs
do better with `invokeai_gen` itself, which has one name for each thing. `docs/compat.md` lists every difference.
"""

from invokeai_gen.compat.client import (
    BoardHandle,
    BoardRepository,
    InvokeAIClient,
    WorkflowDefinition,
    WorkflowRepository,
)
from invokeai_gen.compat.handle import WorkflowHandle
from invokeai_gen.compat.names import (
    DebugNode,
    ImageDecodeError,
    InkBoardField,
    InkBooleanField,
    InkBoundingBoxField,
    InkCLIPEmbedField,
    InkCollectionField,
    InkColorField,
    InkEnumField,
    InkField,
    InkFloatField,
    InkImageField,
    InkIntegerField,
    InkLatentsField,
    InkLoRAField,
    InkModelIdentifierField,
    InkSchedulerField,
    InkStringField,
    InkT5EncoderField,
    InkVAEModelField,
    InkVideoField,
    InkWorkflowInput,
    IvkImage,
    JobStatus,
    OutputNode,
    SessionEvent,
    WorkflowNotCompletedError,
)
from invokeai_gen.compat.outputs import (
    BatchCleanupResult,
    BatchResult,
    CleanupResult,
    EnqueueBatchResult,
    InkConditioningOutput,
    InkImageOutput,
    InkLatentsOutput,
    SessionQueueItem,
    WorkflowOutput,
)
from invokeai_gen.handle import IvkField, IvkWorkflowInput

__all__ = [
    "BatchCleanupResult",
    "BatchResult",
    "BoardHandle",
    "BoardRepository",
    "CleanupResult",
    "DebugNode",
    "EnqueueBatchResult",
    "ImageDecodeError",
    "InkBoardField",
    "InkBooleanField",
    "InkBoundingBoxField",
    "InkCLIPEmbedField",
    "InkCollectionField",
    "InkColorField",
    "InkConditioningOutput",
    "InkEnumField",
    "InkField",
    "InkFloatField",
    "InkImageField",
    "InkImageOutput",
    "InkIntegerField",
    "InkLatentsField",
    "InkLatentsOutput",
    "InkLoRAField",
    "InkModelIdentifierField",
    "InkSchedulerField",
    "InkStringField",
    "InkT5EncoderField",
    "InkVAEModelField",
    "InkVideoField",
    "InkWorkflowInput",
    "InvokeAIClient",
    "IvkField",
    "IvkImage",
    "IvkWorkflowInput",
    "JobStatus",
    "OutputNode",
    "SessionEvent",
    "SessionQueueItem",
    "WorkflowDefinition",
    "WorkflowHandle",
    "WorkflowNotCompletedError",
    "WorkflowOutput",
    "WorkflowRepository",
]
