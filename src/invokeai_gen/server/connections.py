"""What a client has open: connections and followed jobs, closed at the latest when the process ends."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from invokeai_gen.server import background
from invokeai_gen.server.constants import EXIT_TIMEOUT

if TYPE_CHECKING:
    from invokeai_gen.server.follow import Follower
    from invokeai_gen.server.http import Transport
    from invokeai_gen.server.status_watch import StatusWatch
    from invokeai_gen.server.watch import Watch

_open: set[Connections] = set()
"""The connections of all clients in use. Those still open at the end of the process are closed then."""


class Connections:
    """What one client has open, apart from it so that it can be closed after the client is gone."""

    def __init__(self, transport: Transport, queue_id: str) -> None:
        self.transport = transport
        self._queue_id = queue_id
        self._follower: Follower | None = None
        _open.add(self)

    @property
    def are_open(self) -> bool:
        """Whether there is anything to close."""
        return self._follower is not None or self.transport.is_open

    @property
    def is_silent(self) -> bool:
        """Whether the server failed to answer when it was last asked about what is followed."""
        return self._follower is not None and self._follower._silent_since is not None

    async def follow(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool) -> Watch:
        """Begin to follow a batch with its events."""
        return await self.follower().watch(batch_id, labels, keeps_events=keeps_events)

    async def follow_status(self, batch_id: str) -> StatusWatch:
        """Begin to follow a batch to its end."""
        return self.follower().watch_status(batch_id)

    def follower(self) -> Follower:
        """Return what follows all batches of the client."""
        if self._follower is None:
            from invokeai_gen.server.follow import Follower
            from invokeai_gen.server.run_queue import RunQueue

            self._follower = Follower(self.transport, RunQueue(self.transport, self._queue_id))
        return self._follower

    async def forget(self, watch: StatusWatch) -> None:
        """Stop following a batch."""
        if self._follower is not None:
            self._follower.forget(watch)

    async def ask_soon(self) -> None:
        """Ask for everything that is followed."""
        if self._follower is not None:
            self._follower.ask_soon()

    async def close(self) -> None:
        """Close everything; the next request opens new connections."""
        follower, self._follower = self._follower, None
        if follower is not None:
            await follower.close()
        await self.transport.close()

    def abandon(self) -> None:
        """Close soon, without waiting: called when Python collects the client, on any thread."""
        _open.discard(self)
        if self.are_open:
            import asyncio

            asyncio.run_coroutine_threadsafe(self.close(), background.loop())

    def leave_to_parent(self) -> None:
        """Forget what is open without closing it: in a forked child it still belongs to the parent."""
        background.disown((self._follower, self.transport.abandon()))
        self._follower = None


def _after_fork() -> None:
    for connections in _open:
        connections.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _close_all() -> None:
    """Leave no connection open, so that neither side complains."""
    left = [each for each in _open if each.are_open]
    if left:
        import asyncio
        import concurrent.futures

        closing = [asyncio.run_coroutine_threadsafe(each.close(), background.loop()) for each in left]
        concurrent.futures.wait(closing, EXIT_TIMEOUT)
