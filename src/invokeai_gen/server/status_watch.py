"""One batch whose end is waited for. `Watch` knows the events of its nodes, too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.server.answers import at, integer, text
from invokeai_gen.server.records import parse_time

if TYPE_CHECKING:
    from invokeai_gen.server.pacing import Pace
    from invokeai_gen.server.records import QueueItem

STATUS_EVENT: Final = "queue_item_status_changed"
NODE_EVENTS: Final = frozenset({"invocation_started", "invocation_progress", "invocation_complete", "invocation_error"})


def is_final(status: str) -> bool:
    """Return whether an item with that status will not change any more. An unknown status counts as final."""
    return status not in ("pending", "in_progress", "waiting")


class StatusWatch:
    """One batch that is being followed to its end."""

    def __init__(self, batch_id: str) -> None:
        self.batch_id = batch_id
        self.keeps_events = False
        """Whether the events of the nodes are kept."""
        self.pace: Pace | None = None
        """Set for a batch that can do without events while they cost the server too much."""
        self.item_ids: tuple[int, ...] | None = None
        """Known once the enqueue is answered; events may come earlier."""
        self.ended: dict[int, QueueItem] = {}
        """Items that were fetched to learn how they ended."""
        self._ids: frozenset[int] = frozenset()
        self.statuses: dict[int, str] = {}
        """The latest known status of each item."""
        self.looks = 0
        """How often the server was asked about it."""
        self.lasted: float | None = None
        """Seconds from the enqueue to the end of its only item, by the clock of the server; `None` until that has
        completed."""
        self.was_interrupted = False
        """Whether the server could not be reached for a while, so that it may have been started again."""
        self.missed_events = False
        """Whether events may have been lost: the connection was, or there was none at the beginning."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left: dict[int, None] = {}
        """The items that are not known to have ended, in order."""
        self.is_open = True
        """Whether anything may still happen to it."""

    def expect(self, item_ids: tuple[int, ...]) -> None:
        """Set which items the batch has."""
        self.item_ids, self._ids = item_ids, frozenset(item_ids)
        self.left = {item_id: None for item_id in item_ids if not is_final(self.statuses.get(item_id, "pending"))}
        self._settle()

    def handle(self, name: str, data: Mapping[str, Any]) -> None:
        """Take in an event from the server. Raises `ShapeError` for one of an unknown form."""
        if name == STATUS_EVENT:
            self.take_status(data)

    def take_status(self, data: Mapping[str, Any]) -> None:
        """Take in the status in an event or in a queue item: both have the same keys."""
        status = at("status", text)(data)
        if self._note(at("item_id", integer)(data), status):
            if status == "completed":
                created, completed = (parse_time(data.get(key)) for key in ("created_at", "completed_at"))
                if created is not None and completed is not None:
                    self.lasted = (completed - created).total_seconds()
            self._settle()

    def catch_up(self, item: QueueItem) -> None:
        """Take in what an item says."""
        if is_final(item.status):
            self.ended[item.item_id] = item
        self.take_status(item.raw)

    def fail(self, error: Exception) -> None:
        """Give up: everything that waits for the batch raises this error."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()
        self.close()

    def close(self) -> None:
        """Ignore everything from now on."""
        self.is_open = False

    @property
    def has_gap(self) -> bool:
        """Whether lost events are to be read from the items when these have ended."""
        return self.missed_events and self.keeps_events and self.item_ids is not None

    def _is_foreign(self, item_id: int) -> bool:
        """Whether an item is not to be followed: it is another one of the batch, or the watch is closed."""
        return not self.is_open or bool(self._ids and item_id not in self._ids)

    def _note(self, item_id: int, status: str) -> bool:
        """Note the status of an item; return whether that is news."""
        known = self.statuses.get(item_id, "")
        if self._is_foreign(item_id) or known == status or (known and is_final(known)):
            return False
        self.statuses[item_id] = status
        if is_final(status):
            self.left.pop(item_id, None)
        return True

    def _settle(self) -> None:
        """End the watch if all items have ended."""
        if not (self.done.done() or self.item_ids is None or self.left):
            self.done.set_result(None)
            self._end()

    def _end(self) -> None:
        self.close()
