"""Where each public name of the package lives, so that importing one loads no other."""

import importlib
from collections.abc import Mapping
from typing import Any, Final

_HOMES: Final = {
    "client": (
        "InvokeAIClient",
        "default_client",
    ),
    "codegen.datamodel": ("ValueTypesError",),
    "codegen.folder": ("OutputFolderError",),
    "compiler.readiness": ("NotReadyError",),
    "core.checks": ("Limits",),
    "core.file_pattern": (
        "FileClashError",
        "FilePatternError",
    ),
    "core.generators": ("GeneratorError",),
    "core.image_values": (
        "ImageValuesError",
        "RecallWarning",
    ),
    "core.inputs": ("Input",),
    "core.output_values": (
        "ConditioningOutput",
        "LatentsOutput",
        "MaskOutput",
    ),
    "core.params": (
        "WorkflowParams",
        "params",
    ),
    "core.params_json": ("NoLocalFiles",),
    "core.plan": (
        "NotAPlanError",
        "PlanFormatError",
    ),
    "core.problems": ("ParamsError",),
    "core.results": ("NodeResult",),
    "core.signatures": ("lazy_hints",),
    "core.values": (
        "BoardInput",
        "BoardRef",
        "BoundingBox",
        "Color",
        "ColorInput",
        "ImageInput",
        "ImageRef",
        "LoRA",
        "ModelInput",
        "ModelRef",
        "VideoInput",
        "VideoRef",
    ),
    "errors": ("InvokeAIGenError", "MissingExtraError"),
    "handle.definition": ("WorkflowDefinition",),
    "handle.handle": ("WorkflowHandle",),
    "handle.index_map": ("IndexMapError",),
    "handle.repository": ("SnapshotWarning",),
    "runtime.async_job": (
        "AsyncJob",
        "StreamedOutput",
    ),
    "runtime.job": ("Job",),
    "runtime.media": (
        "ImageOutput",
        "VideoOutput",
    ),
    "runtime.options": (
        "RunOptions",
        "SubmitOptions",
    ),
    "runtime.outputs": ("WorkflowOutputs",),
    "runtime.workflow": ("PlanFileError",),
    "schema.openapi": ("SchemaError",),
    "server.client": (
        "AsyncInvokeAIClient",
        "ClientOptions",
    ),
    "server.errors": (
        "BadRequestError",
        "CleanupError",
        "ConnectionFailedError",
        "DecodeError",
        "DownloadError",
        "EnqueueClippedError",
        "EnqueueError",
        "EnqueueUncertainError",
        "ForbiddenError",
        "InstallError",
        "InvalidHeaderError",
        "InvalidTokenError",
        "InvalidUrlError",
        "JobCanceledError",
        "JobDeletedError",
        "JobError",
        "JobFailedError",
        "JobTimeoutError",
        "MissingOutputError",
        "NotCompletedError",
        "NotFoundError",
        "NotInvokeAIError",
        "RedactedJobError",
        "RejectedError",
        "RequestTimeoutError",
        "ServerError",
        "ServerFaultError",
        "SeveralItemsError",
        "StatusError",
        "TooManyRequestsError",
        "UnauthorizedError",
        "UnexpectedAnswerError",
        "UnknownStatusError",
        "UnreachableError",
        "UnsupportedByServerError",
        "UnsupportedMediaError",
        "UploadUncertainError",
    ),
    "server.events": (
        "Event",
        "InvocationComplete",
        "InvocationError",
        "InvocationProgress",
        "InvocationStarted",
        "JobEvent",
        "NodeEvent",
        "Preview",
        "StatusChanged",
    ),
    "server.resolution_errors": (
        "BoardResolutionError",
        "MediaResolutionError",
        "ModelResolutionError",
        "ValueResolutionError",
    ),
    "sweeps.async_sweep": ("AsyncSweep",),
    "sweeps.dynamic_prompts": ("DynamicPrompts",),
    "sweeps.files.contact_sheet": ("ContactSheetError",),
    "sweeps.files.manifest": ("ManifestError",),
    "sweeps.files.sources": (
        "TableError",
        "image_files",
        "read_prompts",
    ),
    "sweeps.journal": ("SweepFileError",),
    "sweeps.options": ("SweepOptions",),
    "sweeps.results": (
        "NoServerError",
        "SweepCounts",
        "SweepResult",
    ),
    "sweeps.state": ("SweepClosedError",),
    "sweeps.sweep": ("Sweep",),
    "sweeps.workflow": ("Workflow",),
    "version": ("__version__",),
    "workflow.errors": ("WorkflowError",),
}
HOME_OF: Final[Mapping[str, str]] = {name: f"invokeai_gen.{home}" for home, names in _HOMES.items() for name in names}
"""The module of each public name."""


def find_public(name: str) -> Any:
    """Return the object with a public name. Raise `AttributeError` for any other name, as a module's `__getattr__` does."""
    if name not in HOME_OF:
        raise AttributeError(f"invokeai_gen has no attribute {name!r}")
    return getattr(importlib.import_module(HOME_OF[name]), name)
