"""Following batches to their end: over one Socket.IO connection for all of them, by asking where that is not to be had.

Everything here runs on the background loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from invokeai_gen.server.errors import (
    ConnectionFailedError,
    ForbiddenError,
    JobDeletedError,
    NotFoundError,
    ServerFaultError,
    UnauthorizedError,
)
from invokeai_gen.server.events import (
    NODE_EVENTS,
    QUEUE_EVENTS,
    STATUS_EVENT,
    InvocationError,
    InvocationProgress,
    JobEvent,
    StatusChanged,
    is_final,
    parse_event,
    status_of,
)
from invokeai_gen.server.http import Transport
from invokeai_gen.server.logs import SILENT
from invokeai_gen.server.queue import PAGE, AsyncQueue

log = logging.getLogger("invokeai_gen")

FIRST_POLL: Final = 0.1
SLOWEST_POLL: Final = 1.0
SAFETY_POLL: Final = 10.0
"""Seconds between questions while the events arrive: for what an event may have missed."""
POLL_COST: Final = 0.02
"""Seconds added to the pause for each batch that is followed, so that many of them do not flood the server."""
EVENT_TIMEOUT: Final = 0.25
"""Seconds that events which are still on their way have to arrive after an item is known to have ended."""
UNREACHABLE_AFTER: Final = 60.0
"""Seconds without any answer after which a server counts as gone."""
SOCKET_TIMEOUT: Final = 5
"""Seconds until an event connection must stand and the server must have confirmed the subscription."""
RECONNECT_FIRST: Final = 0.5
RECONNECT_SLOWEST: Final = 15.0


_ENDS: Final = frozenset({STATUS_EVENT, "invocation_complete"})


class Watch:
    """One batch that is being followed."""

    def __init__(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> None:
        self.batch_id = batch_id
        self.keeps_events = keeps_events
        """Off for batches whose items are too many to keep everything they tell: nodes then tell only that they are
        complete, and this is forgotten as soon as somebody has heard it."""
        self.item_ids: tuple[int, ...] | None = None
        """Known once the enqueue is answered; events may come before."""
        self._ids: frozenset[int] = frozenset()
        self.statuses: dict[int, str] = {}
        """The latest status of each item that has told one."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._labels = labels
        self._history: list[JobEvent] = []
        self._queues: set[asyncio.Queue[JobEvent | None]] = set()
        self._left: dict[int, None] = {}
        """The items that have not ended, in order."""
        self._is_closed = False

    def subscribe(self) -> asyncio.Queue[JobEvent | None]:
        """A queue of all events from the first on, but for progress that is out of date; `None` ends it."""
        queue: asyncio.Queue[JobEvent | None] = asyncio.Queue()
        for event in self._history:
            queue.put_nowait(event)
        if self._is_closed:
            queue.put_nowait(None)
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[JobEvent | None]) -> None:
        """Ends a subscription."""
        self._queues.discard(queue)

    def expect(self, item_ids: tuple[int, ...]) -> None:
        """Says which items the batch has."""
        self.item_ids, self._ids = item_ids, frozenset(item_ids)
        self._left = {item_id: None for item_id in item_ids if not self._has_ended(item_id)}
        self._settle()

    def handle(self, name: str, data: Mapping[str, Any]) -> None:
        """Takes an event from the server."""
        if not self.keeps_events and name not in _ENDS:
            return
        event = parse_event(name, data, self._labels)
        if event is not None:
            self.add(event)

    def replay(self, item_id: int, events: Iterable[JobEvent]) -> None:
        """Put what happened to an item before this watch began in front of what was received since."""
        received, self._history = self._history, []
        self.statuses.clear()
        known: set[tuple[type, str]] = set()
        for event in events:
            if not isinstance(event, StatusChanged):
                known.add((type(event), event.prepared_id))
            self.add(event)
        for event in received:
            is_new = isinstance(event, StatusChanged) or (type(event), event.prepared_id) not in known
            if event.item_id == item_id and is_new:
                self.add(event)

    def add(self, event: JobEvent) -> None:
        """Takes an event, whether the server sent it or a question found it out."""
        if self._is_closed or (self._ids and event.item_id not in self._ids):  # other items of the batch
            return
        if isinstance(event, StatusChanged):
            if self._has_ended(event.item_id) or self.statuses.get(event.item_id) == event.status:
                return
            self.statuses[event.item_id] = event.status
            if event.is_final:
                self._left.pop(event.item_id, None)
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

    def fail(self, error: Exception) -> None:
        """Gives up: whoever waits gets this error."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()
        self.close()

    def close(self) -> None:
        """Ends all subscriptions; no event is taken any more."""
        if not self._is_closed:
            self._is_closed = True
            for queue in self._queues:
                queue.put_nowait(None)

    def unfinished(self) -> list[int]:
        """The items that have not ended, as far as is known."""
        return [*self._left]

    def _has_ended(self, item_id: int) -> bool:
        return is_final(self.statuses.get(item_id, "pending"))

    def _settle(self) -> None:
        if self.done.done() or self.item_ids is None or self._left:
            return
        self.done.set_result(None)
        if "failed" in self.statuses.values():
            # InvokeAI tells that an item failed before it tells which node did.
            asyncio.get_running_loop().call_later(EVENT_TIMEOUT, self.close)
        else:
            self.close()


class Follower:
    """Follows the batches of one client."""

    def __init__(self, transport: Transport, queue: AsyncQueue) -> None:
        self._transport = transport
        self._queue = queue
        self._watches: dict[str, set[Watch]] = {}
        """By batch; one that was resumed twice is watched twice."""
        self._connected = False
        self._tried = asyncio.Event()
        """Set once the first attempt to connect has ended, well or not."""
        self._wake = asyncio.Event()
        self._ask_now = False
        self._tasks: list[asyncio.Task[None]] = []
        self._silent_since: float | None = None

    @property
    def is_connected(self) -> bool:
        """Whether events arrive."""
        return self._connected

    async def watch(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> Watch:
        """Begins to follow a batch; to miss no event, before it is enqueued."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._keep_asking())]
        watch = Watch(batch_id, labels, keeps_events=keeps_events)
        self._watches.setdefault(batch_id, set()).add(watch)
        await self._tried.wait()
        self._wake.set()
        return watch

    def forget(self, watch: Watch) -> None:
        """Stops following a batch."""
        watches = self._watches.get(watch.batch_id, set())
        watches.discard(watch)
        if not watches:
            self._watches.pop(watch.batch_id, None)
        watch.close()

    def _all(self) -> list[Watch]:
        return [watch for watches in self._watches.values() for watch in watches]

    async def close(self) -> None:
        """Stops following everything and closes the connection."""
        for watch in self._all():
            watch.fail(ConnectionFailedError("the client was closed while a job was being followed"))
        self._watches.clear()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tried.clear()

    # -- events ----------------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        pause = RECONNECT_FIRST
        while True:
            try:
                await self._connection()
                pause = RECONNECT_FIRST
            except Exception as error:  # noqa: BLE001 - whatever it was, asking takes over
                log.debug("no event connection: %s", type(error).__name__)
            finally:
                self._connected = False
                self._tried.set()
            self._ask_soon()
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, RECONNECT_SLOWEST)

    async def _connection(self) -> None:
        """One connection from its beginning to its end; raises where it does not come about."""
        import aiohttp
        import socketio  # type: ignore[import-untyped]

        gone = asyncio.Event()

        async def leave(*_reason: Any) -> None:
            gone.set()

        parts = urlsplit(self._transport.url)
        token = self._transport.token
        watched = aiohttp.TraceConfig()
        watched.on_request_redirect.append(_stay_here)
        async with aiohttp.ClientSession(trust_env=True, trace_configs=[watched]) as session:
            client = socketio.AsyncClient(
                reconnection=False, logger=SILENT, engineio_logger=SILENT, handle_sigint=False, http_session=session
            )
            client.on("*", self._receive)
            client.on("disconnect", leave)
            try:
                async with asyncio.timeout(SOCKET_TIMEOUT):
                    await client.connect(
                        f"{parts.scheme}://{parts.netloc}",
                        headers=self._transport.headers,
                        auth={"token": token} if token else None,
                        transports=["websocket"],
                        socketio_path=f"{parts.path}/ws/socket.io",
                        wait_timeout=SOCKET_TIMEOUT,
                    )
                    # Waits until the server has worked on it, so that no event of what is enqueued next is lost.
                    await client.call("subscribe_queue", {"queue_id": self._queue.queue_id}, timeout=SOCKET_TIMEOUT)
                self._connected = True
                self._tried.set()
                self._ask_soon()
                await gone.wait()
            finally:
                await client.shutdown()

    async def _receive(self, name: str, data: Any = None) -> None:
        try:
            self._take(name, data)
        except (AttributeError, KeyError, TypeError) as error:
            log.debug("%s event of an unknown shape: %s", name, type(error).__name__)
            self._ask_soon()

    def _take(self, name: str, data: Any) -> None:
        if name in QUEUE_EVENTS:
            self._ask_soon()
        elif name == STATUS_EVENT or name in NODE_EVENTS:
            for watch in self._watches.get(data.get("batch_id"), ()):
                watch.handle(name, data)

    # -- questions -------------------------------------------------------------------------------------------------

    def _ask_soon(self) -> None:
        self._ask_now = True
        self._wake.set()

    async def _keep_asking(self) -> None:
        clock = asyncio.get_running_loop().time
        pause, asked_at = FIRST_POLL, clock()
        while True:
            waiting = [watch for watch in self._all() if not watch.done.done()]
            limit: float | None = None
            if waiting:
                limit = max(
                    asked_at + (SAFETY_POLL if self._connected else pause) + POLL_COST * len(waiting) - clock(), 0
                )
            try:
                await asyncio.wait_for(self._wake.wait(), limit)
                pause = FIRST_POLL
                self._wake.clear()
                if not self._ask_now:
                    continue
                self._ask_now = False
            except TimeoutError:
                pause = min(pause * 1.5, SLOWEST_POLL)
            if self._connected:
                await asyncio.sleep(EVENT_TIMEOUT)
            for watch in self._all():
                if not watch.done.done() and watch.item_ids is not None:
                    await self._ask(watch)
            asked_at = clock()

    async def _ask(self, watch: Watch) -> None:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        try:
            counts = await self._queue.batch_counts(watch.batch_id)
            unfinished = counts.pending + counts.in_progress + counts.waiting
            if unfinished < len(watch.unfinished()):
                await asyncio.sleep(EVENT_TIMEOUT if self._connected else 0)
                await self._find_ended(watch, unfinished)
            self._silent_since = None
        except NotFoundError:
            watch.fail(
                JobDeletedError(
                    "the item is no longer in the queue: it was deleted, pruned, or the queue was cleared",
                    item_id=watch.unfinished()[0],
                )
            )
        except (UnauthorizedError, ForbiddenError) as error:
            watch.fail(error)
        except (ConnectionFailedError, ServerFaultError) as error:
            self._silent_since = self._silent_since or asked_at
            if clock() - self._silent_since > UNREACHABLE_AFTER:
                watch.fail(error)
        except Exception as error:  # noqa: BLE001 - whoever waits shall hear of it, and the others go on
            watch.fail(error)

    async def _find_ended(self, watch: Watch, unfinished: int) -> None:
        """Asks for items in the order in which they run, until no more than `unfinished` have not ended.

        Raises `NotFoundError` where one is no longer in the queue.
        """
        left = watch.unfinished()
        if len(left) == 1:
            watch.add(status_of((await self._queue.get(left[0])).raw))
            return
        for start in range(0, len(left), PAGE):
            if len(watch.unfinished()) <= unfinished:
                return
            asked = left[start : start + PAGE]
            found = await self._queue.items(asked, with_sessions=False)
            for item in found:
                watch.add(status_of(item.raw))
            if gone := set(asked).difference(item.item_id for item in found):
                raise NotFoundError("POST", "items_by_ids", 404, f"no queue item {min(gone)}")


async def _stay_here(*_about: object) -> None:
    """Another host would be told the token as soon as its event connection stands."""
    raise ConnectionFailedError("event connections do not follow redirects")
