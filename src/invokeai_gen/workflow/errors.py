"""The error for a workflow file that cannot be used, and the warning for one that the GUI repairs."""

from __future__ import annotations

from dataclasses import dataclass

from invokeai_gen.errors import InvokeAIGenError


class WorkflowError(InvokeAIGenError):
    """Raised for a file that is not a workflow, or that the GUI refuses to load."""


@dataclass(frozen=True, slots=True)
class LoadWarning:
    """Something that the GUI repairs and reports while it loads a workflow."""

    message: str

    def __str__(self) -> str:
        return self.message
