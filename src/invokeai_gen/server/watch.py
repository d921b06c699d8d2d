"""One batch that is being followed: everything that happens to its items, for a caller who needs more than its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Final

from invokeai_gen.server import constants
from invokeai_gen.server.events import (
    InvocationError,
    InvocationProgress,
    JobEvent,
    StatusChanged,
    events_so_far,
    parse_event,
    status_of,
)
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.status_watch import STATUS_EVENT, StatusWatch

_ENDS: Final = frozenset({STATUS_EVENT, "invocation_complete"})


class Watch(StatusWatch):
    """One batch that is being followed with its events."""

    def __init__(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> None:
        super().__init__(batch_id)
        self.keeps_events = keeps_events
        """Off for batches with too many items to keep all their events. Then only the results of nodes are reported, and
        dropped once a subscriber has them."""
        self.process_id = os.getpid()
        """A fork of this process cannot wait for `done`, which belongs to a loop that does not run there."""
        self.labels = labels
        self._history: list[JobEvent] = []
        self._seen: set[tuple[type, int, str]] = set()
        """The nodes that were reported, and how: an event that was read from an item may still arrive."""
        self._queues: set[asyncio.Queue[JobEvent | None]] = set()

    def subscribe(self) -> asyncio.Queue[JobEvent | None]:
        """Return a queue of all events from the first on, except outdated progress; `None` ends it."""
        queue: asyncio.Queue[JobEvent | None] = asyncio.Queue()
        for event in self._history:
            queue.put_nowait(event)
        if not self.is_open:
            queue.put_nowait(None)
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[JobEvent | None]) -> None:
        """End a subscription."""
        self._queues.discard(queue)

    def handle(self, name: str, data: Mapping[str, Any]) -> None:
        """Take in an event from the server. Raises `ShapeError` for one of an unknown form."""
        if self.keeps_events or name in _ENDS:
            event = parse_event(name, data, self.labels)
            if event is not None:
                self.add(event)

    def take_status(self, data: Mapping[str, Any]) -> None:
        """Take in the status in a queue item."""
        self.add(status_of(data))

    def catch_up(self, item: QueueItem) -> None:
        """Report what is known from an item, but was not received: its status, and its nodes if events are kept."""
        if not self.keeps_events:
            self.take_status(item.raw)
            return
        for event in events_so_far(item, self.labels):
            self.add(event)

    def replay(self, item: QueueItem) -> None:
        """Follow this item only, and put what happened to it before this watch began in front of what came since."""
        received, self._history = self._history, []
        self.statuses.clear()
        self._seen.clear()
        for event in [*events_so_far(item, self.labels), *received]:
            if event.item_id == item.item_id:
                self.add(event)
        self.expect((item.item_id,))

    def take_over(self, before: StatusWatch, item_ids: tuple[int, ...]) -> None:
        """Go on with the items of a watch that began before this one, with what it knew of their events."""
        for event in before._history if isinstance(before, Watch) else ():
            self.add(event)
        self.expect(item_ids)

    def add(self, event: JobEvent) -> None:
        """Take in an event, sent by the server or found by polling."""
        if isinstance(event, StatusChanged):
            if not self._note(event.item_id, event.status):
                return
        elif self._is_foreign(event.item_id):
            return
        elif self.keeps_events and not isinstance(event, InvocationProgress):
            node = type(event), event.item_id, event.prepared_id
            if node in self._seen:
                return
            self._seen.add(node)
        if isinstance(event, InvocationProgress):
            self._history = [
                old for old in self._history
                if not (isinstance(old, InvocationProgress) and old.prepared_id == event.prepared_id)
            ]  # fmt: skip
        if self.keeps_events or isinstance(event, StatusChanged) or not self._queues:
            self._history.append(event)
        for queue in self._queues:
            queue.put_nowait(event)
        if isinstance(event, StatusChanged):
            self._settle()
        elif isinstance(event, InvocationError) and self.done.done():
            self.close()

    def close(self) -> None:
        """End all subscriptions; further events are ignored."""
        if self.is_open:
            super().close()
            for queue in self._queues:
                queue.put_nowait(None)

    def _end(self) -> None:
        if "failed" in self.statuses.values():
            # InvokeAI reports that an item failed before it reports which node did.
            asyncio.get_running_loop().call_later(constants.EVENT_TIMEOUT, self.close)
        else:
            self.close()
