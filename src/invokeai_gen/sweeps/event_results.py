"""Finished queue items made of the events of their nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.request import CALL_SAVED_WORKFLOW
from invokeai_gen.server.events import InvocationComplete, StatusChanged
from invokeai_gen.server.records import QueueItem

KEPT: Final = 1000
"""Items that are kept; older ones have to be fetched."""
_SEVERAL_TIMES: Final = frozenset({"iterate", CALL_SAVED_WORKFLOW})
"""Types of nodes that make others run several times; events do not have the order of these runs."""


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
