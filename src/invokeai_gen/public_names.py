"""Where each public name of the package lives, so that importing one loads no other."""

from collections.abc import Mapping
from typing import Final

_HOMES: Final = {
    "client": (
        "InvokeAIClient",
        "default_client",
    ),
    "core.checks": ("Limits",),
    "core.image_values": (
        "ImageValuesError",
        "RecallWarning",
    ),
    "core.inputs": ("Input",),
    "core.params": (
        "WorkflowParams",
        "params",
    ),
    "core.params_json": ("NoLocalFiles",),
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
    "errors": ("InvokeAIGenError",),
    "handle.definition": ("WorkflowDefinition",),
    "handle.handle": ("WorkflowHandle",),
    "runtime.async_job": (
        "AsyncJob",
        "StreamedOutput",
    ),
    "runtime.job": ("Job",),
    "runtime.media": (
        "ConditioningOutput",
        "ImageOutput",
        "LatentsOutput",
        "MaskOutput",
        "VideoOutput",
    ),
    "runtime.options": (
        "RunOptions",
        "SubmitOptions",
        "SweepOptions",
    ),
    "runtime.outputs": ("WorkflowOutputs",),
    "server.client": ("AsyncInvokeAIClient",),
    "server.errors": (
        "ConnectionFailedError",
        "JobCanceledError",
        "JobError",
        "JobFailedError",
        "JobTimeoutError",
        "RejectedError",
        "ServerError",
        "SeveralItemsError",
        "ValueResolutionError",
    ),
    "sweeps.async_sweep": ("AsyncSweep",),
    "sweeps.files.sources": (
        "TableError",
        "image_files",
        "read_prompts",
    ),
    "sweeps.results": (
        "SweepCounts",
        "SweepResult",
    ),
    "sweeps.sweep": ("Sweep",),
    "sweeps.workflow": ("Workflow",),
    "version": ("__version__",),
}
HOME_OF: Final[Mapping[str, str]] = {name: f"invokeai_gen.{home}" for home, names in _HOMES.items() for name in names}
"""The module of each public name."""
