"""The event connection of a client, kept open while events are wanted. Everything here runs on the background loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from logging import DEBUG, WARNING
from typing import Any, Literal, TypeAlias

from invokeai_gen.loading import load
from invokeai_gen.server import constants
from invokeai_gen.server.http import Transport
from invokeai_gen.server.logs import log
from invokeai_gen.server.status_watch import StatusWatch

State: TypeAlias = Literal["off", "connecting", "on", "waiting"]


class EventLink:
    """An event connection, which is always in one of four states.

    * `off`: no events are wanted. `open` leads to `connecting`, and `close` leads here from everywhere.
    * `connecting`: then comes `on`, or `waiting` if the server cannot be reached.
    * `on`: events arrive. If the connection is lost, `waiting` comes next.
    * `waiting`: a pause, longer after each failure, then `connecting`. `open` ends it at once if the server has accepted
      a connection before: it may have been restarted.

    `receive` gets each event. `note_change` is called before the connection is `on`, and before it is `waiting`; it
    returns whether anything waits for events.
    """

    def __init__(
        self,
        transport: Transport,
        queue_id: str,
        receive: Callable[[str, Any], None],
        note_change: Callable[[], bool],
    ) -> None:
        self.state: State = "off"
        self._transport = transport
        self._queue_id = queue_id
        self._receive = receive
        self._note_change = note_change
        self._was_on = False
        self._is_loss_reported = False
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        """The present one and those that still close their connections."""

    def open(self) -> None:
        """Make the connection, and keep it until `close`."""
        if self.state == "off" or (self.state == "waiting" and self._was_on):
            self.close()
            self._enter("connecting")
            self._task = asyncio.create_task(self._stay_open())
            self._tasks.add(self._task)
            self._task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Begin to close the connection."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._enter("off")

    async def settled(self) -> None:
        """Wait until it is known whether a connection that is being made succeeds."""
        await self._settled.wait()

    async def closed(self) -> None:
        """Close the connection, and wait for that."""
        self.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _enter(self, state: State) -> None:
        self.state = state
        if state == "connecting":
            self._settled.clear()
        else:
            self._settled.set()

    async def _stay_open(self) -> None:
        pause = constants.FIRST_RECONNECT
        while True:
            reason = "the server closed it"
            try:
                await self._connection()
            except Exception as error:  # noqa: BLE001 - whatever it was, polling takes over
                reason = type(error).__name__
            if self._task is not asyncio.current_task():
                return  # closed meanwhile, and a failure to shut down came in place of the cancellation
            if self.state == "on":
                pause = constants.FIRST_RECONNECT
            self._report_loss(reason)
            self._enter("waiting")
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, constants.MAX_RECONNECT)
            self._enter("connecting")

    async def _connection(self) -> None:
        """Make one connection, and return when it ends. Raises if it cannot be made."""
        connections = await load("invokeai_gen.server.event_connection")
        async with connections.event_connection(self._transport, "queue", self._queue_id) as events:
            self._note_connection()
            async for name, data in events:
                self._receive(name, data)

    def _note_connection(self) -> None:
        if self._is_loss_reported:
            log.info("the event connection to %s is back", self._transport.url)
        self._note_change()
        self._was_on = True
        self._enter("on")

    def _report_loss(self, reason: str) -> None:
        is_waited_for = self._note_change()
        log.log(
            WARNING if is_waited_for and not self._is_loss_reported else DEBUG,  # a warning the first time only
            "no event connection to %s (%s): jobs are followed by polling until it is back; their nodes are reported "
            "when they have ended, and progress is missing",
            self._transport.url,
            reason,
        )
        self._is_loss_reported |= is_waited_for

    def weigh(self, watches: Sequence[StatusWatch]) -> bool:
        """Open or close the connection, by the pace of the batch that is running; return whether it was closed.

        Events are always needed if a batch cannot do without, and if so many run that asking for each costs more.
        """
        followed = [each for each in watches if each.is_open]
        running = [(next(iter(each.left)), len(each.left), each.pace) for each in followed if each.pace and each.left]
        is_needed = True
        if 1 <= len(running) <= constants.MAX_POLLED_BATCHES:
            _, left, pace = min(running, key=lambda each: each[0])
            pace.note(left)
            is_needed = not pace.needs_no_events or any(each.pace is None for each in followed)
        if is_needed and self.state == "off":
            self.open()
        elif not is_needed and self.state != "off":
            self.close()
            return True
        return False
