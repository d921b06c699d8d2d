"""One batch that is being followed: what is known of its items, and who waits for more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.server import constants
from invokeai_gen.server.events import (
    STATUS_EVENT,
    InvocationError,
    InvocationProgress,
    JobEvent,
    StatusChanged,
    is_final,
    parse_event,
)

if TYPE_CHECKING:
    from invokeai_gen.server.pacing import Pace

_ENDS: Final = frozenset({STATUS_EVENT, "invocation_complete"})


class Watch:
    """One batch that is being followed."""

    def __init__(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> None:
        self.batch_id = batch_id
        self.keeps_events = keeps_events
        """Off for batches with too many items to keep all their events: of the nodes then only results are reported, and
        they are forgotten as soon as they were delivered to a subscriber."""
        self.pace: Pace | None = None
        """Set for a batch that can do without events while they cost the server too much."""
        self.item_ids: tuple[int, ...] | None = None
        """Known once the enqueue is answered; events may come earlier."""
        self._ids: frozenset[int] = frozenset()
        self.statuses: dict[int, str] = {}
        """The latest known status of each item."""
        self.was_interrupted = False
        """Whether the server could not be reached for a while, so that it may have been started again."""
        self.missed_events = False
        """Whether events may have been lost: the connection was, or there was none at the beginning."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.process_id = os.getpid()
        """A fork of this process cannot wait for `done`, which belongs to a loop that does not run there."""
        self.labels = labels
        self._history: list[JobEvent] = []
        self._seen: set[tuple[type, int, str]] = set()
        """The nodes that were reported, and how: an event that was read from an item may still arrive."""
        self._queues: set[asyncio.Queue[JobEvent | None]] = set()
        self._left: dict[int, None] = {}
        """The items that have not ended, in order."""
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether anything may still happen to it."""
        return not self._is_closed

    @property
    def has_gap(self) -> bool:
        """Whether lost events are to be read from the items when these have ended."""
        return self.missed_events and self.keeps_events and self.item_ids is not None

    @property
    def history(self) -> list[JobEvent]:
        """All events so far, except outdated progress."""
        return [*self._history]

    def subscribe(self) -> asyncio.Queue[JobEvent | None]:
        """Return a queue of all events from the first on, except outdated progress; `None` ends it."""
        queue: asyncio.Queue[JobEvent | None] = asyncio.Queue()
        for event in self._history:
            queue.put_nowait(event)
        if self._is_closed:
            queue.put_nowait(None)
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[JobEvent | None]) -> None:
        """End a subscription."""
        self._queues.discard(queue)

    def expect(self, item_ids: tuple[int, ...]) -> None:
        """Set which items the batch has."""
        self.item_ids, self._ids = item_ids, frozenset(item_ids)
        self._left = {item_id: None for item_id in item_ids if not self._has_ended(item_id)}
        self._settle()

    def handle(self, name: str, data: Mapping[str, Any]) -> None:
        """Take in an event from the server. Raises `ShapeError` for one of an unknown form."""
        if not self.keeps_events and name not in _ENDS:
            return
        event = parse_event(name, data, self.labels)
        if event is not None:
            self.add(event)

    def replay(self, item_id: int, events: Iterable[JobEvent]) -> None:
        """Put what happened to an item before this watch began in front of what was received since."""
        received, self._history = self._history, []
        self.statuses.clear()
        self._seen.clear()
        for event in [*events, *(event for event in received if event.item_id == item_id)]:
            self.add(event)

    def add(self, event: JobEvent) -> None:
        """Take in an event, sent by the server or found by polling."""
        if self._is_closed or (self._ids and event.item_id not in self._ids):  # other items of the batch
            return
        if isinstance(event, StatusChanged):
            if self._has_ended(event.item_id) or self.statuses.get(event.item_id) == event.status:
                return
            self.statuses[event.item_id] = event.status
            if event.is_final:
                self._left.pop(event.item_id, None)
        elif isinstance(event, InvocationProgress):
            self._history = [
                old for old in self._history
                if not (isinstance(old, InvocationProgress) and old.prepared_id == event.prepared_id)
            ]  # fmt: skip
        elif self.keeps_events:
            node = type(event), event.item_id, event.prepared_id
            if node in self._seen:
                return
            self._seen.add(node)
        if self.keeps_events or isinstance(event, StatusChanged) or not self._queues:
            self._history.append(event)
        for queue in self._queues:
            queue.put_nowait(event)
        if isinstance(event, StatusChanged):
            self._settle()
        elif isinstance(event, InvocationError) and self.done.done():
            self.close()

    def fail(self, error: Exception) -> None:
        """Give up: everything that waits for the batch raises this error."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()
        self.close()

    def close(self) -> None:
        """End all subscriptions; further events are ignored."""
        if not self._is_closed:
            self._is_closed = True
            for queue in self._queues:
                queue.put_nowait(None)

    def unfinished(self) -> list[int]:
        """Return the items that are not known to have ended, in order."""
        return [*self._left]

    @property
    def left(self) -> int:
        """How many items are not known to have ended."""
        return len(self._left)

    @property
    def next_item(self) -> int:
        """The first item that is not known to have ended. Raises `StopIteration` if all have."""
        return next(iter(self._left))

    def _has_ended(self, item_id: int) -> bool:
        return is_final(self.statuses.get(item_id, "pending"))

    def _settle(self) -> None:
        if self.done.done() or self.item_ids is None or self._left:
            return
        self.done.set_result(None)
        if "failed" in self.statuses.values():
            # InvokeAI reports that an item failed before it reports which node did.
            asyncio.get_running_loop().call_later(constants.EVENT_TIMEOUT, self.close)
        else:
            self.close()
