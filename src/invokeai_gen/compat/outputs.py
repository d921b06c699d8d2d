"""The results of a run with the attributes of the described API, and what its clean-up reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from invokeai_gen.core.results import ConditioningOutput, LatentsOutput
from invokeai_gen.handle import HandleOutputs, NamedOutputs
from invokeai_gen.runtime.job import Job
from invokeai_gen.runtime.media import ImageOutput
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.removal import Removal

if TYPE_CHECKING:
    from invokeai_gen.core.plan import PlannedOutput

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class InkImageOutput(ImageOutput):
    """An image that an output node returned."""

    stage_name: str = ""
    """The name of the output in a generated module."""
    input_index: int | None = None
    """Index of the input that is its board; `None` if its board is not on the form."""
    node_type: str = ""

    @property
    def image_name(self) -> str:
        """The name of the image on the server."""
        return self.name

    @property
    def board_id(self) -> str | None:
        """Id of the board the image is on now; `None` for no board. Asks the server."""
        return self.info().board_id


@dataclass(frozen=True, slots=True)
class InkLatentsOutput(LatentsOutput):
    """Latents that a node returned."""

    @property
    def latents_name(self) -> str:
        """The name of the latents on the server."""
        return self.name


@dataclass(frozen=True, slots=True)
class InkConditioningOutput(ConditioningOutput):
    """Conditioning that a node returned."""

    @property
    def conditioning_name(self) -> str:
        """The name of the conditioning on the server."""
        return self.name


class WorkflowOutput(HandleOutputs):
    """The results of one queue item."""

    @property
    def all_outputs(self) -> NamedOutputs:
        """The outputs of every named node, intermediate images last."""
        return self.get_all_outputs()

    def get_user_outputs(self) -> NamedOutputs:
        """Return the outputs whose board is on the form; for a form without boards, all final results."""
        return self._described(super().get_user_outputs())

    def get_debug_outputs(self) -> NamedOutputs:
        """Return the intermediate images."""
        return self._described(super().get_debug_outputs())

    def get_all_outputs(self) -> NamedOutputs:
        """Return the outputs of every named node, intermediate images last."""
        return self._described(super().get_all_outputs())

    @property
    def latents(self) -> list[InkLatentsOutput]:  # type: ignore[override]
        """Latents that any node returned, each once."""
        return [copied(InkLatentsOutput, latents) for latents in super().latents]

    @property
    def conditioning(self) -> list[InkConditioningOutput]:  # type: ignore[override]
        """Conditioning that any node returned, each once."""
        return [copied(InkConditioningOutput, conditioning) for conditioning in super().conditioning]

    def _described(self, outputs: NamedOutputs) -> NamedOutputs:
        planned = self._plan.outputs if self._plan is not None else ()
        return NamedOutputs({name: described(value, name, planned) for name, value in outputs.items()})


def described(value: Any, name: str, planned: Iterable[PlannedOutput]) -> Any:
    """Return an output with the attributes of the described API. `name` is its name, or the id of its node."""
    if isinstance(value, list):
        return [described(item, name, planned) for item in value]
    if isinstance(value, ImageOutput):
        node = next((output for output in planned if name in (output.name, output.node_id)), None)
        more = {"input_index": node.board_input, "node_type": node.node_type} if node is not None else {}
        return copied(InkImageOutput, value, stage_name=name, **more)
    if isinstance(value, LatentsOutput):
        return copied(InkLatentsOutput, value)
    return copied(InkConditioningOutput, value) if isinstance(value, ConditioningOutput) else value


def copied(kind: type[R], value: Any, **more: Any) -> R:
    """Return a record as an instance of a subclass of its class, which may have more attributes."""
    return kind(**{item.name: getattr(value, item.name) for item in fields(value)}, **more)


class EnqueueBatchResult(Job[WorkflowOutput]):
    """A submission. All of it is in the queue, because a batch that does not fit is not enqueued at all."""

    @property
    def enqueued(self) -> int:
        """Number of queue items; `requested`, how many were asked for, is the same."""
        return len(self.item_ids)

    requested = enqueued


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQueueItem(QueueItem):
    """A queue item that can also be read as the server's JSON: `item["status"]`."""

    def __getitem__(self, key: str) -> Any:
        return self.raw[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key of the server's JSON, or `default`."""
        return self.raw.get(key, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupResult(Removal):
    """What a clean-up deleted and what it did not."""

    @property
    def deleted_count(self) -> int:
        """Number of deleted things; `pruned_count` is the same."""
        return len(self.deleted)

    pruned_count = deleted_count

    @property
    def failed_deletions(self) -> Mapping[str, str]:
        """The reason for each thing that could not be deleted."""
        return self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCleanupResult(CleanupResult):
    """What a clean-up of several handles deleted, by kind."""

    inputs_deleted: int = 0
    outputs_deleted: int = 0
    queue_items_pruned: int = 0


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The saved outputs of several handles."""

    workflow_count: int
    files: list[Path] = field(default_factory=list)

    @property
    def total_images(self) -> int:
        """Number of files."""
        return len(self.files)

    @property
    def total_size_mb(self) -> float:
        """Size of all files, in units of 1,000,000 bytes."""
        return sum(file.stat().st_size for file in self.files) / 1e6


class JobStatus(StrEnum):
    """The statuses of a queue item. Each equals the text that `QueueItem.status` has."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
