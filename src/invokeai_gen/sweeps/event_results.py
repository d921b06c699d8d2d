"""What events tell of the items of a sweep, so that most of them need not be asked for.

A server takes about as long to tell a finished item with its session as a small workflow takes to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.request import CALL_SAVED_WORKFLOW
from invokeai_gen.server.events import InvocationComplete, StatusChanged
from invokeai_gen.server.records import QueueItem

KEPT: Final = 1000
"""Items that are kept for whoever wants them; older ones have to be asked for."""
_SEVERAL_TIMES: Final = frozenset({"iterate", CALL_SAVED_WORKFLOW})
"""Types of nodes that make others run several times, of which events do not tell in which order they belong."""


class EventResults:
    """Puts finished items together from the events of their nodes."""

    def __init__(self, plan: WorkflowPlan) -> None:
        self._nodes = frozenset(node.id for node in plan.nodes if node.is_executable)
        self._can_tell = not any(node.type in _SEVERAL_TIMES for node in plan.nodes)
        self._heard: dict[int, dict[str, InvocationComplete]] = {}
        """Of items that have not ended: what each execution of a node gave."""
        self._items: dict[int, QueueItem] = {}

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def hear(self, event: InvocationComplete) -> None:
        """Takes the result of a node."""
        if self._can_tell:
            self._heard.setdefault(event.item_id, {})[event.prepared_id] = event

    def end(self, event: StatusChanged) -> None:
        """Takes the end of an item. One of which not every node was heard has to be asked for."""
        heard = self._heard.pop(event.item_id, {})
        if event.status != "completed" or not event.raw or frozenset(told.node_id for told in heard.values()) != self._nodes:
            return
        session: Mapping[str, Any] = {
            "results": {prepared: told.result for prepared, told in heard.items()},
            "prepared_source_mapping": {prepared: told.node_id for prepared, told in heard.items()},
            "executed_history": [told.node_id for told in heard.values()],
        }
        self._items[event.item_id] = QueueItem.of({**event.raw, "session": session})
        if len(self._items) > KEPT:
            del self._items[next(iter(self._items))]

    def take(self, item_id: int) -> QueueItem | None:
        """An item of which everything was heard; it is given once."""
        return self._items.pop(item_id, None)
