"""`Report`: the result of generating one workflow, or one file that all modules share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from invokeai_gen.codegen.changes import Change

Status: TypeAlias = Literal["new", "changed", "unchanged", "removed", "left", "failed"]
Reason: TypeAlias = Literal[
    "workflow", "schema", "names", "version", "generator", "edited", "missing", "shared", "gone"
]

REASONS: Final[dict[Reason, str]] = {
    "workflow": "the workflow changed",
    "schema": "the server's node types changed",
    "names": "its names were chosen again",
    "version": "another version of invokeai-gen wrote it",
    "generator": "this invokeai-gen writes it differently",
    "edited": "it was edited or damaged",
    "missing": "it is missing",
    "shared": "the modules that share it changed",
    "gone": "it was made from none of these workflows",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of generating the module of one workflow file, or one file that all modules share."""

    file: str = ""
    """Name of the generated file in the output folder; empty if the workflow cannot be used."""
    source: str = ""
    """The workflow file; empty for a shared file, and for a module whose workflow is gone."""
    status: Status
    """`left`: a module whose workflow is gone, which stays. `failed`: a workflow that cannot be used."""
    reason: Reason | None = None
    """Why the file is not what was on disk; `None` for `unchanged` and `failed`."""
    changes: tuple[Change, ...] = ()
    """What callers of the module would notice."""
    errors: tuple[str, ...] = ()
    """Why the workflow cannot be used, one line each."""
    warnings: tuple[str, ...] = ()
    """What the GUI would warn of."""

    @property
    def is_module(self) -> bool:
        """Whether this is about a module that has a workflow."""
        return bool(self.file and self.source)

    @property
    def is_fresh(self) -> bool:
        """Whether the file is exactly as it was on disk."""
        return self.status in ("unchanged", "left")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data, each change with its text."""
        changes = [{**asdict(change), "text": str(change)} for change in self.changes]
        return {**asdict(self), "changes": changes}
