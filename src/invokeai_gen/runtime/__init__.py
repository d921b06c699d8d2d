"""What generated modules import, and what runs them.

Most names are loaded when they are first used, so that importing this package costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.core.checks import Limits

# Not lazily: the module has the name of the decorator, and would take its place here as soon as someone imports it.
from invokeai_gen.core.params import Input, WorkflowParams, params

if TYPE_CHECKING:
    from invokeai_gen.core.problems import ParamsError
    from invokeai_gen.core.results import NodeResult
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
    from invokeai_gen.runtime.async_job import AsyncJob, StreamedOutput
    from invokeai_gen.runtime.job import Job
    from invokeai_gen.runtime.media import ConditioningOutput, ImageOutput, LatentsOutput, VideoOutput
    from invokeai_gen.runtime.options import RunOptions, SubmitOptions, SweepOptions
    from invokeai_gen.runtime.outputs import WorkflowOutputs
    from invokeai_gen.runtime.workflow import Workflow
    from invokeai_gen.server.client import AsyncInvokeAIClient, InvokeAIClient, default_client
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

_HOMES: Final = {
    "invokeai_gen.runtime.async_job": ("AsyncJob", "StreamedOutput"),
    "invokeai_gen.runtime.job": ("Job",),
    "invokeai_gen.runtime.media": ("ConditioningOutput", "ImageOutput", "LatentsOutput", "VideoOutput"),
    "invokeai_gen.runtime.options": ("RunOptions", "SubmitOptions", "SweepOptions"),
    "invokeai_gen.runtime.outputs": ("WorkflowOutputs",),
    "invokeai_gen.core.problems": ("ParamsError",),
    "invokeai_gen.core.results": ("NodeResult",),
    "invokeai_gen.sweeps.async_sweep": ("AsyncSweep",),
    "invokeai_gen.sweeps.results": ("SweepCounts", "SweepResult"),
    "invokeai_gen.sweeps.files.sources": ("TableError", "image_files", "read_prompts"),
    "invokeai_gen.sweeps.sweep": ("Sweep",),
    "invokeai_gen.core.values": (
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
    "invokeai_gen.runtime.workflow": ("Workflow",),
    "invokeai_gen.server.client": ("AsyncInvokeAIClient", "InvokeAIClient", "default_client"),
    "invokeai_gen.server.errors": (
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
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

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
    "Input",
    "InvokeAIClient",
    "Job",
    "JobCanceledError",
    "JobError",
    "JobFailedError",
    "JobTimeoutError",
    "LatentsOutput",
    "Limits",
    "LoRA",
    "ModelInput",
    "ModelRef",
    "NodeResult",
    "ParamsError",
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
    "WorkflowOutputs",
    "WorkflowParams",
    "default_client",
    "image_files",
    "params",
    "read_prompts",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
