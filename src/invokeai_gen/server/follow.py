"""Following batches to their end: by asking the server, and by its events if they pay off.

Everything here runs on the background loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from invokeai_gen.loading import load
from invokeai_gen.server import constants
from invokeai_gen.server.errors import ConnectionFailedError, JobDeletedError, NotFoundError, ServerFaultError
from invokeai_gen.server.http import Transport
from invokeai_gen.server.logs import log
from invokeai_gen.server.run_queue import RunQueue
from invokeai_gen.server.status_watch import NODE_EVENTS, STATUS_EVENT, StatusWatch, is_final

if TYPE_CHECKING:
    from invokeai_gen.server.event_link import EventLink
    from invokeai_gen.server.watch import Watch

_QUEUE_EVENTS: Final = frozenset({"queue_items_canceled", "queue_cleared"})
"""Events that may concern an item without saying how: a reason to ask."""


class Follower:
    """Follows the batches of one client."""

    def __init__(self, transport: Transport, queue: RunQueue) -> None:
        self._transport = transport
        self._queue = queue
        self._watches: dict[str, WeakSet[StatusWatch]] = {}
        """By batch, which has two watches if it was resumed twice. A watch is no longer followed once nothing else refers
        to it, because its job was dropped."""
        self._link: EventLink | None = None
        """Made when events are first needed: its libraries take longer to load than everything else."""
        self._asking: asyncio.Task[None] | None = None
        self._due: float | None = None
        """When everything is asked for next; `None` if nothing is waited for."""
        self._due_changed = asyncio.Event()
        self._pause = constants.FIRST_POLL
        self._short_polls = 0
        self._usual: float | None = None
        """Seconds that the last run took, if they were few: the next one is asked for when it should end."""
        self._is_brief = False
        """Whether the run that is followed should end before events would pay off."""
        self._silent_since: float | None = None

    @property
    def is_connected(self) -> bool:
        """Whether events arrive."""
        return self._link is not None and self._link.state == "on"

    async def watch(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> Watch:
        """Begin to follow a batch with its events. To miss none, call this before the batch is enqueued."""
        watches = await load("invokeai_gen.server.watch")
        watch: Watch = watches.Watch(batch_id, labels, keeps_events=keeps_events)
        self._add(watch)
        if keeps_events or not (self._is_link_off and any(each.is_open and each.left for each in self._all())):
            link = await self._open_link()
            await link.settled()
        watch.missed_events = not self.is_connected
        return watch

    def watch_status(self, batch_id: str) -> StatusWatch:
        """Begin to follow a batch to its end, which does not wait until events arrive."""
        watch = StatusWatch(batch_id)
        is_brief = self._usual is not None and not any(each.is_open for each in self._all())
        self._add(watch, self._usual if is_brief else None)
        self._is_brief = is_brief
        if self._link is not None:
            if is_brief:
                self._link.close()
            else:
                self._link.open()
        return watch

    def _add(self, watch: StatusWatch, first_look: float | None = None) -> None:
        self._is_brief = False
        if not self._waiting:  # short runs, one after the other, never need a connection
            self._short_polls = 0
            self._silent_since = None
        self._watches.setdefault(watch.batch_id, WeakSet()).add(watch)
        if self._asking is None:
            self._asking = asyncio.create_task(self._keep_asking())
        self._pause = constants.FIRST_POLL
        self._ask_within(self._rest() if first_look is None else first_look)

    def forget(self, watch: StatusWatch) -> None:
        """Stop following a batch."""
        watches = self._watches.get(watch.batch_id)
        if watches is not None:
            watches.discard(watch)
        watch.close()
        self._all()

    def _all(self) -> list[StatusWatch]:
        """All watches that are still in use; drops batches without a watch."""
        found = {batch_id: [*watches] for batch_id, watches in self._watches.items()}
        for batch_id in [batch_id for batch_id, watches in found.items() if not watches]:
            del self._watches[batch_id]
        return [watch for watches in found.values() for watch in watches]

    async def close(self) -> None:
        """Stop following everything and close the connection."""
        for watch in self._all():
            watch.fail(ConnectionFailedError("the client was closed while a job was being followed"))
        self._watches.clear()
        if self._link is not None:
            await self._link.closed()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    # -- events --------------------------------------------------------------------------------------------------------

    @property
    def _is_link_off(self) -> bool:
        """Whether there was a connection that was closed because events cost the server too much; see `pacing`."""
        return self._link is not None and self._link.state == "off" and not self._is_brief

    async def _open_link(self) -> EventLink:
        links = await load("invokeai_gen.server.event_link")
        link: EventLink = self._link or links.EventLink(
            self._transport, self._queue.queue_id, self._receive, self._note_link
        )
        self._link = link
        self._is_brief = False
        link.open()
        return link

    def _note_link(self) -> bool:
        """Ask for what happened while there was no connection or, from now on, in place of it.

        Called when the connection is made and before it is left. Return whether anything is waited for.
        """
        if self.is_connected:
            self._note_interruption()
        self.ask_soon()
        return self._waiting > 0

    def _note_interruption(self) -> None:
        for watch in self._all():
            watch.was_interrupted = watch.missed_events = True

    def _receive(self, name: str, data: Any) -> None:
        """Take in an event. One of an unknown form costs no more than a look at the queue."""
        try:
            self._take(name, data)
        except Exception as error:  # noqa: BLE001 - a server may send anything, and the next event may be fine
            log.debug("%s event of an unknown form: %s", name, type(error).__name__)
            self.ask_soon()

    def _take(self, name: str, data: Any) -> None:
        if name in _QUEUE_EVENTS:
            self.ask_soon()
        elif name == STATUS_EVENT or name in NODE_EVENTS:
            for watch in [*self._watches.get(data.get("batch_id"), ())]:
                if watch.has_gap and name == STATUS_EVENT and is_final(str(data.get("status"))):
                    self.ask_soon()  # the item itself says what the lost events were
                else:
                    watch.handle(name, data)
                if name == STATUS_EVENT:
                    self._learn(watch)
                    self._weigh(watch)

    def _learn(self, watch: StatusWatch) -> None:
        if watch.lasted is not None:
            self._usual = watch.lasted if watch.lasted < constants.BRIEF_RUN else None

    def _weigh(self, watch: StatusWatch) -> None:
        if watch.pace is not None and self._link is not None and self._link.weigh(self._all()):
            self.ask_soon()

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask_soon(self) -> None:
        """Ask for everything that is followed: something may have changed that no event reports."""
        self._pause = constants.FIRST_POLL
        self._ask_within(0)

    def _ask_within(self, seconds: float) -> None:
        due = asyncio.get_running_loop().time() + seconds
        if self._due is None or due < self._due:
            self._due = due
            self._due_changed.set()

    @property
    def _waiting(self) -> int:
        """How many batches have not ended."""
        return sum(not watch.done.done() for watch in self._all())

    def _rest(self) -> float:
        """Return the seconds until everything is asked for again."""
        rest = self._pause
        if self.is_connected:
            rest = constants.SAFETY_POLL
        elif self._is_link_off:
            rest = constants.BATCH_POLL
        elif self._link is None or self._is_brief:
            rest = constants.SHORT_POLL
        return rest + constants.POLL_COST * max(0, self._waiting - 1)

    async def _keep_asking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._due):
                    await self._due_changed.wait()
                self._due_changed.clear()
                continue
            self._due = None
            if self.is_connected:
                await asyncio.sleep(constants.EVENT_TIMEOUT)
            for watch in self._all():
                if not watch.done.done() and watch.item_ids is not None:
                    await self._ask(watch)
                del watch  # or it would keep a dropped job alive during the pause
            if not self._waiting:
                continue
            if self._link is not None and not self._is_brief:
                self._pause = min(self._pause * 1.5, constants.MAX_POLL)
            elif self._short_polls >= constants.MAX_SHORT_POLLS:
                await self._open_link()
            self._ask_within(self._rest())

    async def _ask(self, watch: StatusWatch) -> None:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        self._short_polls += 1
        watch.looks += 1
        try:
            unfinished = 0
            # By about now the last run had ended. The item itself, larger than the counts, would say so with one request.
            if not self._is_brief or len(watch.left) > 1 or watch.looks > 2:
                unfinished = (await self._queue.batch_counts(watch.batch_id)).unfinished
            if unfinished < len(watch.left):
                await asyncio.sleep(constants.EVENT_TIMEOUT if self.is_connected else 0)
                if len(watch.left) == 1:
                    watch.catch_up(await self._queue.get(next(iter(watch.left))))
                else:
                    queues = await load("invokeai_gen.server.queue")
                    await queues.find_ended(self._queue, watch, unfinished)
            self._learn(watch)
            self._silent_since = None
            self._weigh(watch)
        except NotFoundError:
            watch.fail(
                JobDeletedError(
                    "the item is no longer in the queue: it was deleted, pruned, or the queue was cleared",
                    item_id=next(iter(watch.left), None),
                )
            )
        except (ConnectionFailedError, ServerFaultError) as error:
            self._silent_since = self._silent_since or asked_at
            self._note_interruption()
            if clock() - self._silent_since > self._transport.unreachable_after:
                watch.fail(error)
        except Exception as error:  # noqa: BLE001 - it ends this job, and the others go on
            watch.fail(error)
