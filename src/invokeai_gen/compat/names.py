"""Other names of classes: those of the handle-style API that came before this package, in its several versions."""

from enum import StrEnum

from invokeai_gen.handle import (
    IvkBoardField,
    IvkBooleanField,
    IvkBoundingBoxField,
    IvkCollectionField,
    IvkColorField,
    IvkEnumField,
    IvkField,
    IvkFloatField,
    IvkImageField,
    IvkIntegerField,
    IvkLatentsField,
    IvkLoRAField,
    IvkModelIdentifierField,
    IvkSchedulerField,
    IvkStringField,
    IvkVideoField,
    IvkWorkflowInput,
    OutputMapping,
)
from invokeai_gen.server.errors import DecodeError, NotCompletedError
from invokeai_gen.server.events import Event
from invokeai_gen.server.inventory import Image

InkField = IvkField
InkWorkflowInput = IvkWorkflowInput
InkBoardField = IvkBoardField
InkBooleanField = IvkBooleanField
InkBoundingBoxField = IvkBoundingBoxField
InkCollectionField = IvkCollectionField
InkColorField = IvkColorField
InkEnumField = IvkEnumField
InkFloatField = IvkFloatField
InkImageField = IvkImageField
InkIntegerField = IvkIntegerField
InkLatentsField = IvkLatentsField
InkLoRAField = IvkLoRAField
InkModelIdentifierField = IvkModelIdentifierField
InkSchedulerField = IvkSchedulerField
InkStringField = IvkStringField
InkVideoField = IvkVideoField

# InvokeAI has one type for all of these; what an input accepts is in its limits.
InkT5EncoderField = IvkModelIdentifierField
InkCLIPEmbedField = IvkModelIdentifierField
InkVAEModelField = IvkModelIdentifierField

IvkImage = Image
OutputNode = OutputMapping
DebugNode = OutputMapping
SessionEvent = Event
ImageDecodeError = DecodeError
WorkflowNotCompletedError = NotCompletedError


class JobStatus(StrEnum):
    """The statuses of a queue item. Each equals the text that `QueueItem.status` has."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
