"""The results of a sweep: of each item, how many items have each status, and what is kept of finished queue items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Generic

from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.request import CALL_SAVED_WORKFLOW
from invokeai_gen.runtime.workflow import O, P
from invokeai_gen.server.errors import JobCanceledError, JobDeletedError, JobError
from invokeai_gen.server.events import InvocationComplete, StatusChanged
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.status_watch import is_final

DELETED: Final = "deleted"
"""Status of an item that is no longer in the queue."""
UNSENT: Final = "unsent"
"""Status of an item that is not in the queue yet: there was no room, or another process was to send it."""

_READ: Final = frozenset({"results", "prepared_source_mapping", "prepared_iteration_paths", "executed_history"})
"""What outputs read of a session that was completed."""

KEPT: Final = 1000
"""Items made of events that are kept; older ones have to be fetched."""
_SEVERAL_TIMES: Final = frozenset({"iterate", CALL_SAVED_WORKFLOW})
"""Types of nodes that make others run several times; events do not have the order of these runs."""


class NoServerError(JobError):
    """No server of the sweep can run an item; the message has the reason of each."""


@dataclass(frozen=True, slots=True)
class SweepResult(Generic[P, O]):
    """One item of a sweep that has ended: its values, and its outputs or why it has none."""

    index: int
    """Its number in the sweep, from 0: point by point in the order of the arguments, the last one changing fastest."""
    run: int
    """Which of the `runs` it was, from 0."""
    params: P
    """The values of this very run: a batch of the workflow holds only the item that this run got."""
    item_id: int | None
    """Id of its queue item; `None` if it was never in a queue."""
    error: JobError | None = None
    """Why it has no outputs; `None` if it was completed."""
    found: O | None = field(default=None, repr=False)
    point: int = field(default=0, repr=False)
    """Which combination of the rows of its axes it is, from 0."""
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """`params` by name as people read them: one item for a batch or generator, and `LABEL: FIELD` for a value of a
    batch node that is not on the form."""
    seconds: float | None = None
    """How long it ran on the server; `None` if it did not run, or is no longer in the queue."""

    def _repr_html_(self) -> str:
        """Return the outputs with their values, or the error and the values, for a notebook."""
        from invokeai_gen.core import notebook

        if self.found is not None:
            return self.found._repr_html_()
        find = type(self.params).__plan__
        plan = find() if find is not None else None
        return notebook.card(f"Item {self.index}: {self.error}", notebook.rows_of(plan, self.values))

    @property
    def status(self) -> str:
        """`completed`, `failed`, `canceled` or `deleted`."""
        if self.error is None:
            return "completed"
        if isinstance(self.error, JobDeletedError):
            return DELETED
        return "canceled" if isinstance(self.error, JobCanceledError) else "failed"

    @property
    def is_ok(self) -> bool:
        """Whether it has outputs."""
        return self.error is None

    @property
    def outputs(self) -> O:
        """The outputs. Raise `error` if the item has none."""
        if self.error is not None:
            raise self.error
        assert self.found is not None
        return self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepCounts:
    """How many items of a sweep have each status."""

    total: int
    unsent: int = 0
    """Not in the queue yet."""
    pending: int = 0
    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    canceled: int = 0
    other: int = 0
    """Deleted from the queue, or with a status that this version does not know."""

    @classmethod
    def of(cls, statuses: Iterable[str]) -> SweepCounts:
        """Return the counts of these statuses."""
        counted = Counter(statuses)
        total = counted.total()
        known = {each.name: counted.pop(each.name, 0) for each in fields(cls) if each.name not in ("total", "other")}
        return cls(total=total, other=counted.total(), **known)

    @property
    def finished(self) -> int:
        """Items that have ended: completed, failed, canceled or deleted."""
        return self.completed + self.failed + self.canceled + self.other


class Tally:
    """The status of each item of a sweep, and the order in which they ended."""

    def __init__(self, total: int) -> None:
        self.statuses = [UNSENT] * total
        self.item_ids: list[int | None] = [None] * total
        self.ended: list[int] = []
        """Numbers of the items in the order in which they ended; one that was sent again can be there twice."""
        self.ended_at: dict[int, int] = {}
        """The last place of each item in that order."""
        self._left = total

    def send(self, index: int, item_id: int) -> None:
        """Note that an item is in the queue, perhaps once more."""
        self._set(index, "pending")
        self.item_ids[index] = item_id

    def update(self, index: int, item_id: int | None, status: str) -> None:
        """Note the new status of an item, unless it is about an earlier attempt."""
        if self.item_ids[index] == item_id and not self.has_ended(index):
            self._set(index, status)

    def delete(self, index: int, item_id: int) -> None:
        """Note that an item that has ended is no longer in the queue. It does not end a second time."""
        if self.item_ids[index] == item_id and self.has_ended(index):
            self.statuses[index] = DELETED

    def reset(self, indexes: Iterable[int]) -> None:
        """Note that items are to be sent again."""
        for index in indexes:
            self._set(index, UNSENT)
            self.item_ids[index] = None

    def withdraw(self, indexes: Iterable[int]) -> None:
        """Note that items will not be sent, except for those that have been."""
        for index in indexes:
            self.update(index, None, "canceled")

    def lost(self, *, deleted: bool) -> list[int]:
        """Return the items that ended without being completed; `deleted` adds those that are no longer in the queue."""
        done = {"completed"} if deleted else {"completed", DELETED}
        return [index for index, status in enumerate(self.statuses) if status not in done and self.has_ended(index)]

    def has_ended(self, index: int) -> bool:
        """Return whether an item has a final status."""
        return self.statuses[index] != UNSENT and is_final(self.statuses[index])

    @property
    def all_ended(self) -> bool:
        """Whether all items have a final status."""
        return not self._left

    def _set(self, index: int, status: str) -> None:
        before = self.has_ended(index)
        self.statuses[index] = status
        after = self.has_ended(index)
        self._left += before - after
        if after:
            self.ended_at[index] = len(self.ended)
            self.ended.append(index)
        else:
            self.ended_at.pop(index, None)


def slim(item: QueueItem) -> QueueItem:
    """Return a completed item with only what outputs read of its session: thousands of whole ones would fill the memory.

    The executed graph stays if only it has the order of iterations, as on servers before 6.14.
    """
    if item.status != "completed":
        return item
    executed = (item.session.get("execution_graph") or {}).get("nodes") or {}
    is_iterated = any(node["type"] == "iterate" for node in executed.values())
    read = _READ | {"execution_graph"} if is_iterated and not item.session.get("prepared_iteration_paths") else _READ
    session = {key: value for key, value in item.session.items() if key in read}
    return QueueItem.of({**{key: value for key, value in item.raw.items() if key != "workflow"}, "session": session})


class EventResults:
    """Builds finished items from the events of their nodes, so that most items need not be fetched.

    A server takes about as long to return a finished item with its session as a small workflow takes to run.
    """

    def __init__(self, plan: WorkflowPlan) -> None:
        self._nodes = frozenset(node.id for node in plan.nodes if node.is_executable)
        self._is_ordered = not any(node.type in _SEVERAL_TIMES for node in plan.nodes)
        self._results: dict[int, dict[str, InvocationComplete]] = {}
        """The results of the nodes of items that have not ended."""
        self._items: dict[int, QueueItem] = {}

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def add(self, event: InvocationComplete) -> None:
        """Handle the result of a node."""
        if self._is_ordered:
            self._results.setdefault(event.item_id, {})[event.prepared_id] = event

    def end(self, event: StatusChanged) -> None:
        """Handle an item's final status; if any node event was missed, the item has to be fetched instead."""
        results = self._results.pop(event.item_id, {})
        if (
            event.status != "completed"
            or not event.raw
            or frozenset(event.node_id for event in results.values()) != self._nodes
        ):
            return
        session: Mapping[str, Any] = {
            "results": {prepared: event.result for prepared, event in results.items()},
            "prepared_source_mapping": {prepared: event.node_id for prepared, event in results.items()},
            "executed_history": [event.node_id for event in results.values()],
        }
        self._items[event.item_id] = QueueItem.of({**event.raw, "session": session})
        if len(self._items) > KEPT:
            del self._items[next(iter(self._items))]

    def take(self, item_id: int) -> QueueItem | None:
        """Return an item whose events were complete, and forget it; `None` if it has to be fetched."""
        return self._items.pop(item_id, None)
