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

from invokeai_gen import handle as _handle
from invokeai_gen.compat.client import BoardHandle as BoardHandle
from invokeai_gen.compat.client import BoardRepository as BoardRepository
from invokeai_gen.compat.client import InvokeAIClient as InvokeAIClient
from invokeai_gen.compat.client import WorkflowDefinition as WorkflowDefinition
from invokeai_gen.compat.client import WorkflowRepository as WorkflowRepository
from invokeai_gen.compat.handle import WorkflowHandle as WorkflowHandle
from invokeai_gen.compat.outputs import BatchCleanupResult as BatchCleanupResult
from invokeai_gen.compat.outputs import BatchResult as BatchResult
from invokeai_gen.compat.outputs import CleanupResult as CleanupResult
from invokeai_gen.compat.outputs import EnqueueBatchResult as EnqueueBatchResult
from invokeai_gen.compat.outputs import InkConditioningOutput as InkConditioningOutput
from invokeai_gen.compat.outputs import InkImageOutput as InkImageOutput
from invokeai_gen.compat.outputs import InkLatentsOutput as InkLatentsOutput
from invokeai_gen.compat.outputs import JobStatus as JobStatus
from invokeai_gen.compat.outputs import SessionQueueItem as SessionQueueItem
from invokeai_gen.compat.outputs import WorkflowOutput as WorkflowOutput
from invokeai_gen.handle import IvkField as IvkField
from invokeai_gen.handle import IvkWorkflowInput as IvkWorkflowInput
from invokeai_gen.server import errors as _errors
from invokeai_gen.server import run_errors as _run_errors
from invokeai_gen.server.events import Event
from invokeai_gen.server.images import Image

# Names of the described API, in its several versions.
InkField = _handle.IvkField
InkWorkflowInput = _handle.IvkWorkflowInput
InkBoardField = _handle.IvkBoardField
InkBooleanField = _handle.IvkBooleanField
InkBoundingBoxField = _handle.IvkBoundingBoxField
InkCollectionField = _handle.IvkCollectionField
InkColorField = _handle.IvkColorField
InkEnumField = _handle.IvkEnumField
InkFloatField = _handle.IvkFloatField
InkImageField = _handle.IvkImageField
InkIntegerField = _handle.IvkIntegerField
InkLatentsField = _handle.IvkLatentsField
InkLoRAField = _handle.IvkLoRAField
InkModelIdentifierField = _handle.IvkModelIdentifierField
InkSchedulerField = _handle.IvkSchedulerField
InkStringField = _handle.IvkStringField
InkVideoField = _handle.IvkVideoField

# InvokeAI has one type for all of these; what an input accepts is in its limits.
InkT5EncoderField = _handle.IvkModelIdentifierField
InkCLIPEmbedField = _handle.IvkModelIdentifierField
InkVAEModelField = _handle.IvkModelIdentifierField

IvkImage = Image
SessionEvent = Event
OutputNode = _handle.OutputMapping
DebugNode = _handle.OutputMapping
ImageDecodeError = _errors.DecodeError
WorkflowNotCompletedError = _run_errors.NotCompletedError
