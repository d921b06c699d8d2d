"""Following batches to their end: over one Socket.IO connection for all of them, by polling without it.

Everything here runs on the background loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from logging import DEBUG, WARNING
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from invokeai_gen.loading import load
from invokeai_gen.server import constants
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    ForbiddenError,
    JobDeletedError,
    NotFoundError,
    ServerFaultError,
    UnauthorizedError,
)
from invokeai_gen.server.http import Transport
from invokeai_gen.server.logs import log
from invokeai_gen.server.run_queue import RunQueue
from invokeai_gen.server.status_watch import NODE_EVENTS, STATUS_EVENT, StatusWatch, is_final

if TYPE_CHECKING:
    from invokeai_gen.server.watch import Watch

_QUEUE_EVENTS: Final = frozenset({"queue_items_canceled", "queue_cleared"})
"""Events that may concern an item without saying how: a reason to ask."""


class Follower:
    """Follows the batches of one client."""

    def __init__(self, transport: Transport, queue: RunQueue) -> None:
        self._transport = transport
        self._queue = queue
        self._watches: dict[str, WeakSet[StatusWatch]] = {}
        """By batch; one that was resumed twice is watched twice. A watch that nothing else refers to any more, because
        its job was dropped, is no longer followed."""
        self._connected = False
        self._was_connected = False
        self._is_loss_reported = False
        self._needed = asyncio.Event()
        """Set once events are worth their connection, which takes longer to load than all else: not for a single run that
        has ended at the first look."""
        self._wanted = asyncio.Event()
        """Cleared while events would cost the server more than they are worth; see `pacing`."""
        self._wanted.set()
        self._has_left = False
        """Whether the connection was closed because no events are wanted."""
        self._tried = asyncio.Event()
        """Set while no attempt to connect is under way that could still succeed soon."""
        self._reconnect = asyncio.Event()
        self._wake = asyncio.Event()
        self._ask_now = False
        self._tasks: list[asyncio.Task[None]] = []
        self._silent_since: float | None = None

    @property
    def is_connected(self) -> bool:
        """Whether events arrive."""
        return self._connected

    async def watch(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> Watch:
        """Begin to follow a batch with its events. To miss none, call this before the batch is enqueued."""
        watches = await load("invokeai_gen.server.watch")
        watch: Watch = watches.Watch(batch_id, labels, keeps_events=keeps_events)
        self._needed.set()
        self._add(watch, needs_events=keeps_events)
        await self._tried.wait()
        watch.missed_events = not self._connected
        self._wake.set()
        return watch

    def watch_status(self, batch_id: str) -> StatusWatch:
        """Begin to follow a batch to its end, which does not wait until events arrive."""
        watch = StatusWatch(batch_id)
        if self._tasks:
            self._needed.set()
        self._add(watch, needs_events=True)
        self._wake.set()
        return watch

    def _add(self, watch: StatusWatch, *, needs_events: bool) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._keep_asking())]
        elif (
            self._was_connected
            and not self._connected
            and (needs_events or self._wanted.is_set() or not any(each.is_open and each.left for each in self._all()))
        ):
            # The server was restarted, perhaps: its events are worth an attempt before the pause is over.
            self._tried.clear()
            self._wanted.set()
            self._reconnect.set()
        self._watches.setdefault(watch.batch_id, WeakSet()).add(watch)

    def forget(self, watch: StatusWatch) -> None:
        """Stop following a batch."""
        watches = self._watches.get(watch.batch_id)
        if watches is not None:
            watches.discard(watch)
        watch.close()
        self._all()

    def _note_interruption(self) -> None:
        for watch in self._all():
            watch.was_interrupted = watch.missed_events = True

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
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tried.clear()

    # -- events --------------------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        pause = constants.FIRST_RECONNECT
        await self._needed.wait()
        while True:
            await self._wanted.wait()
            reason = "the server closed it"
            try:
                await self._connection()
                pause = constants.FIRST_RECONNECT
            except Exception as error:  # noqa: BLE001 - whatever it was, polling takes over
                reason = type(error).__name__
            finally:
                if self._connected:
                    self._note_interruption()
                self._connected = False
                if not self._has_left:
                    self._tried.set()
            if self._has_left:
                self._has_left = False
                self.ask_soon()
                continue
            is_waited_for = any(not watch.done.done() for watch in self._all())
            log.log(
                WARNING if is_waited_for and not self._is_loss_reported else DEBUG,  # a warning the first time only
                "no event connection to %s (%s): jobs are followed by polling until it is back; their nodes are reported "
                "when they have ended, and progress is missing",
                self._transport.url,
                reason,
            )
            self._is_loss_reported |= is_waited_for
            self.ask_soon()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):
                    await self._reconnect.wait()
            self._reconnect.clear()
            pause = min(pause * 2, constants.MAX_RECONNECT)

    async def _connection(self) -> None:
        """One connection from its beginning to its end. Raises if it cannot be made."""
        connections = await load("invokeai_gen.server.event_connection")
        async with connections.event_connection(self._transport, "queue", self._queue.queue_id) as events:
            if self._is_loss_reported:
                log.info("the event connection to %s is back", self._transport.url)
            self._note_connection()
            async for name, data in events:
                self._receive(name, data)
                if not self._wanted.is_set():
                    self._connected, self._has_left = False, True
                    return

    def _note_connection(self) -> None:
        self._connected = self._was_connected = True
        self._tried.set()
        self.ask_soon()

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
                    self._weigh(watch)

    def _weigh(self, watch: StatusWatch) -> None:
        """Decide whether events are wanted, if the batch could do without, by the pace of the one that runs now."""
        if watch.pace is None:
            return
        watched = [each for each in self._all() if each.is_open]
        polled = [(each.next_item, each.left, each.pace) for each in watched if each.pace is not None and each.left]
        self._wanted.set()
        if 1 <= len(polled) <= constants.MAX_POLLED_BATCHES:
            _, left, pace = min(polled, key=lambda each: each[0])
            pace.note(left)
            if pace.needs_no_events and all(each.pace is not None for each in watched):
                self._wanted.clear()

    # -- polling -------------------------------------------------------------------------------------------------------

    def ask_soon(self) -> None:
        """Ask for everything that is followed: something may have changed that no event reports."""
        self._ask_now = True
        self._wake.set()

    async def _keep_asking(self) -> None:
        clock = asyncio.get_running_loop().time
        pause, asked_at = constants.FIRST_POLL, clock()
        while True:
            waiting = [watch for watch in self._all() if not watch.done.done()]
            limit: float | None = None
            if waiting:
                rest = constants.SAFETY_POLL if self._connected else pause
                if not self._wanted.is_set():
                    rest = constants.BATCH_POLL
                limit = max(asked_at + rest + constants.POLL_COST * len(waiting) - clock(), 0)
            del waiting  # or it would keep dropped jobs alive during the pause
            try:
                async with asyncio.timeout(limit):
                    await self._wake.wait()
                pause = constants.FIRST_POLL
                self._wake.clear()
                if not self._ask_now:
                    continue
                self._ask_now = False
            except TimeoutError:
                pause = min(pause * 1.5, constants.MAX_POLL)
            if self._connected:
                await asyncio.sleep(constants.EVENT_TIMEOUT)
            for watch in self._all():
                if not watch.done.done() and watch.item_ids is not None:
                    await self._ask(watch)
                    if not watch.done.done():
                        self._needed.set()
                del watch
            asked_at = clock()

    async def _ask(self, watch: StatusWatch) -> None:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        try:
            counts = await self._queue.batch_counts(watch.batch_id)
            unfinished = counts.pending + counts.in_progress + counts.waiting
            if unfinished < watch.left:
                await asyncio.sleep(constants.EVENT_TIMEOUT if self._connected else 0)
                if watch.left == 1:
                    watch.catch_up(await self._queue.get(watch.next_item))
                else:
                    ended_items = await load("invokeai_gen.server.ended_items")
                    await ended_items.find(self._queue, watch, unfinished)
            self._silent_since = None
            self._weigh(watch)
        except NotFoundError:
            watch.fail(
                JobDeletedError(
                    "the item is no longer in the queue: it was deleted, pruned, or the queue was cleared",
                    item_id=next(iter(watch.unfinished()), None),
                )
            )
        except (UnauthorizedError, ForbiddenError) as error:
            watch.fail(error)
        except (ConnectionFailedError, ServerFaultError) as error:
            self._silent_since = self._silent_since or asked_at
            self._note_interruption()
            if clock() - self._silent_since > self._transport.unreachable_after:
                watch.fail(error)
        except Exception as error:  # noqa: BLE001 - it ends this job, and the others go on
            watch.fail(error)
