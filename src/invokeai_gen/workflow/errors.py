"""The error for a workflow file that cannot be used."""

from __future__ import annotations

from invokeai_gen.errors import InvokeAIGenError


class WorkflowError(InvokeAIGenError):
    """Raised for a file that is not a workflow, or that the GUI refuses to load."""
