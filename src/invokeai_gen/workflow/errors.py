"""Why a workflow file cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

from invokeai_gen.errors import InvokeAIGenError


class WorkflowError(InvokeAIGenError):
    """A file that is no workflow, or one that the GUI refuses to load."""


@dataclass(frozen=True, slots=True)
class LoadWarning:
    """Something the GUI mends, and mentions, while it loads a workflow."""

    message: str

    def __str__(self) -> str:
        return self.message
