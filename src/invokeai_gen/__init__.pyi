"""The public names as type checkers and editors read them. At run time `public_names` reads here where each one lives."""

from invokeai_gen.client import InvokeAIClient, default_client
from invokeai_gen.codegen.datamodel import ValueTypesError
from invokeai_gen.codegen.folder import OutputFolderError
from invokeai_gen.compiler.readiness import NotReadyError
from invokeai_gen.core.checks import Limits
from invokeai_gen.core.file_pattern import FileClashError, FilePatternError
from invokeai_gen.core.generators import GeneratorError
from invokeai_gen.core.image_values import ImageValuesError, RecallWarning
from invokeai_gen.core.inputs import Input
from invokeai_gen.core.params import WorkflowParams, params
from invokeai_gen.core.params_json import NoLocalFiles
from invokeai_gen.core.plan import NotAPlanError, PlanFormatError
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.results import ConditioningOutput, LatentsOutput, MaskOutput, NodeResult
from invokeai_gen.core.signatures import lazy_hints
from invokeai_gen.core.values import (
    BoardInput,
    BoardRef,
    BoundingBox,
    Color,
    ColorInput,
    ImageInput,
    ImageRef,
    LoRA,
    ModelInput,
    ModelRef,
    VideoInput,
    VideoRef,
)
from invokeai_gen.errors import InvokeAIGenError, MissingExtraError
from invokeai_gen.handle.definition import WorkflowDefinition
from invokeai_gen.handle.handle import WorkflowHandle
from invokeai_gen.handle.index_map import IndexMapError
from invokeai_gen.handle.repository import SnapshotWarning
from invokeai_gen.runtime.async_job import AsyncJob, StreamedOutput
from invokeai_gen.runtime.job import Job
from invokeai_gen.runtime.media import ImageOutput, VideoOutput
from invokeai_gen.runtime.options import RunOptions, SubmitOptions
from invokeai_gen.runtime.outputs import WorkflowOutputs
from invokeai_gen.runtime.workflow import PlanFileError
from invokeai_gen.schema.openapi import SchemaError
from invokeai_gen.server.client import AsyncInvokeAIClient, ClientOptions
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    DecodeError,
    InvalidHeaderError,
    InvalidTokenError,
    InvalidUrlError,
    JobCanceledError,
    JobDeletedError,
    JobError,
    JobTimeoutError,
    MissingOutputError,
    NotFoundError,
    NotInvokeAIError,
    RequestTimeoutError,
    ServerError,
    ServerFaultError,
    StatusError,
    UnexpectedAnswerError,
    UnreachableError,
)
from invokeai_gen.server.events import (
    Event,
    InvocationComplete,
    InvocationError,
    InvocationProgress,
    InvocationStarted,
    JobEvent,
    NodeEvent,
    Preview,
    StatusChanged,
)
from invokeai_gen.server.resolution_errors import (
    BoardResolutionError,
    MediaResolutionError,
    ModelResolutionError,
    ValueResolutionError,
)
from invokeai_gen.server.run_errors import (
    CleanupError,
    DownloadError,
    EnqueueClippedError,
    EnqueueError,
    EnqueueUncertainError,
    InstallError,
    JobFailedError,
    NotCompletedError,
    RedactedJobError,
    SeveralItemsError,
    UnknownStatusError,
    UploadUncertainError,
)
from invokeai_gen.server.status_errors import (
    BadRequestError,
    ForbiddenError,
    RejectedError,
    TooManyRequestsError,
    UnauthorizedError,
    UnsupportedByServerError,
    UnsupportedMediaError,
)
from invokeai_gen.sweeps.async_sweep import AsyncSweep
from invokeai_gen.sweeps.dynamic_prompts import DynamicPrompts
from invokeai_gen.sweeps.files.contact_sheet import ContactSheetError
from invokeai_gen.sweeps.files.manifest import ManifestError
from invokeai_gen.sweeps.files.sources import TableError, image_files, read_prompts
from invokeai_gen.sweeps.journal import SweepFileError
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.results import NoServerError, SweepCounts, SweepResult
from invokeai_gen.sweeps.state import SweepClosedError
from invokeai_gen.sweeps.sweep import Sweep
from invokeai_gen.sweeps.workflow import Workflow
from invokeai_gen.version import __version__ as __version__
from invokeai_gen.workflow.errors import WorkflowError

__all__ = [
    "AsyncInvokeAIClient",
    "AsyncJob",
    "AsyncSweep",
    "BadRequestError",
    "BoardInput",
    "BoardRef",
    "BoardResolutionError",
    "BoundingBox",
    "CleanupError",
    "ClientOptions",
    "Color",
    "ColorInput",
    "ConditioningOutput",
    "ConnectionFailedError",
    "ContactSheetError",
    "DecodeError",
    "DownloadError",
    "DynamicPrompts",
    "EnqueueClippedError",
    "EnqueueError",
    "EnqueueUncertainError",
    "Event",
    "FileClashError",
    "FilePatternError",
    "ForbiddenError",
    "GeneratorError",
    "ImageInput",
    "ImageOutput",
    "ImageRef",
    "ImageValuesError",
    "IndexMapError",
    "Input",
    "InstallError",
    "InvalidHeaderError",
    "InvalidTokenError",
    "InvalidUrlError",
    "InvocationComplete",
    "InvocationError",
    "InvocationProgress",
    "InvocationStarted",
    "InvokeAIClient",
    "InvokeAIGenError",
    "Job",
    "JobCanceledError",
    "JobDeletedError",
    "JobError",
    "JobEvent",
    "JobFailedError",
    "JobTimeoutError",
    "LatentsOutput",
    "Limits",
    "LoRA",
    "ManifestError",
    "MaskOutput",
    "MediaResolutionError",
    "MissingExtraError",
    "MissingOutputError",
    "ModelInput",
    "ModelRef",
    "ModelResolutionError",
    "NoLocalFiles",
    "NoServerError",
    "NodeEvent",
    "NodeResult",
    "NotAPlanError",
    "NotCompletedError",
    "NotFoundError",
    "NotInvokeAIError",
    "NotReadyError",
    "OutputFolderError",
    "ParamsError",
    "PlanFileError",
    "PlanFormatError",
    "Preview",
    "RecallWarning",
    "RedactedJobError",
    "RejectedError",
    "RequestTimeoutError",
    "RunOptions",
    "SchemaError",
    "ServerError",
    "ServerFaultError",
    "SeveralItemsError",
    "SnapshotWarning",
    "StatusChanged",
    "StatusError",
    "StreamedOutput",
    "SubmitOptions",
    "Sweep",
    "SweepClosedError",
    "SweepCounts",
    "SweepFileError",
    "SweepOptions",
    "SweepResult",
    "TableError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnexpectedAnswerError",
    "UnknownStatusError",
    "UnreachableError",
    "UnsupportedByServerError",
    "UnsupportedMediaError",
    "UploadUncertainError",
    "ValueResolutionError",
    "ValueTypesError",
    "VideoInput",
    "VideoOutput",
    "VideoRef",
    "Workflow",
    "WorkflowDefinition",
    "WorkflowError",
    "WorkflowHandle",
    "WorkflowOutputs",
    "WorkflowParams",
    "__version__",
    "default_client",
    "image_files",
    "lazy_hints",
    "params",
    "read_prompts",
]
