"""Typed Python modules from InvokeAI workflows.

The command `invokeai-gen` reads workflows exported from the InvokeAI GUI and writes one Python module for each. What such
a module imports is here, and so is the entrance for workflows that are opened at run time, without generating:
`InvokeAIClient` and `WorkflowDefinition`. Each name is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from invokeai_gen.public_names import HOME_OF
from invokeai_gen.version import __version__

if TYPE_CHECKING:
    from invokeai_gen.client import InvokeAIClient, default_client
    from invokeai_gen.core.checks import Limits
    from invokeai_gen.core.image_values import ImageValuesError, RecallWarning
    from invokeai_gen.core.inputs import Input
    from invokeai_gen.core.params import WorkflowParams, params
    from invokeai_gen.core.params_json import NoLocalFiles
    from invokeai_gen.core.problems import ParamsError
    from invokeai_gen.core.results import NodeResult
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
    from invokeai_gen.errors import InvokeAIGenError
    from invokeai_gen.handle.definition import WorkflowDefinition
    from invokeai_gen.handle.handle import WorkflowHandle
    from invokeai_gen.runtime.async_job import AsyncJob, StreamedOutput
    from invokeai_gen.runtime.job import Job
    from invokeai_gen.runtime.media import ConditioningOutput, ImageOutput, LatentsOutput, MaskOutput, VideoOutput
    from invokeai_gen.runtime.options import RunOptions, SubmitOptions, SweepOptions
    from invokeai_gen.runtime.outputs import WorkflowOutputs
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.errors import (
        ConnectionFailedError,
        JobCanceledError,
        JobError,
        JobFailedError,
        JobTimeoutError,
        RejectedError,
        ServerError,
        SeveralItemsError,
        ValueResolutionError,
    )
    from invokeai_gen.sweeps.async_sweep import AsyncSweep
    from invokeai_gen.sweeps.files.sources import TableError, image_files, read_prompts
    from invokeai_gen.sweeps.results import SweepCounts, SweepResult
    from invokeai_gen.sweeps.sweep import Sweep
    from invokeai_gen.sweeps.workflow import Workflow

__all__ = [
    "AsyncInvokeAIClient",
    "AsyncJob",
    "AsyncSweep",
    "BoardInput",
    "BoardRef",
    "BoundingBox",
    "Color",
    "ColorInput",
    "ConditioningOutput",
    "ConnectionFailedError",
    "ImageInput",
    "ImageOutput",
    "ImageRef",
    "ImageValuesError",
    "Input",
    "InvokeAIClient",
    "InvokeAIGenError",
    "Job",
    "JobCanceledError",
    "JobError",
    "JobFailedError",
    "JobTimeoutError",
    "LatentsOutput",
    "Limits",
    "LoRA",
    "MaskOutput",
    "ModelInput",
    "ModelRef",
    "NoLocalFiles",
    "NodeResult",
    "ParamsError",
    "RecallWarning",
    "RejectedError",
    "RunOptions",
    "ServerError",
    "SeveralItemsError",
    "StreamedOutput",
    "SubmitOptions",
    "Sweep",
    "SweepCounts",
    "SweepOptions",
    "SweepResult",
    "TableError",
    "ValueResolutionError",
    "VideoInput",
    "VideoOutput",
    "VideoRef",
    "Workflow",
    "WorkflowDefinition",
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


def __getattr__(name: str) -> Any:
    if name not in HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
