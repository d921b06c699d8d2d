"""What is known of the items of a sweep, whoever sends them: `SweepState`, the base of those who do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.runtime.deadline import CANCEL_TIMEOUT
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import ServerError
from invokeai_gen.server.records import QueueItem
from invokeai_gen.sweeps.batching import Cell, Group, Numbering
from invokeai_gen.sweeps.results import Tally
from invokeai_gen.sweeps.space import Space


class SweepClosedError(InvokeAIGenError):
    """A sweep that was closed before its end is not followed any more."""


class SweepState:
    """What is known of the items of a sweep, on the background loop."""

    def __init__(self, space: Space[Any], groups: Sequence[Group], runs: int) -> None:
        self.numbering = Numbering(space, groups, runs)
        self.tally = Tally(len(self.numbering.cells))
        self.failure: Exception | None = None
        """Why sending or following has stopped before its end."""
        self._changed = asyncio.Event()

    async def wait_for_change(self, timeout: float | None = None) -> None:
        """Waits until something has changed, or for `timeout` seconds."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout)

    def raise_failure(self) -> None:
        """Raises what has stopped it, if anything."""
        if self.failure is not None:
            raise self.failure

    def cell(self, index: int) -> Cell:
        """Run, point and combination of the item with that number."""
        return self.numbering.cells[index]

    def client_of(self, index: int) -> AsyncInvokeAIClient:
        """The client of the server that has the item."""
        raise NotImplementedError

    async def items(self, indexes: Iterable[int]) -> dict[int, QueueItem]:
        """The queue items of these items of the sweep, as far as they are still there, and as `slim` leaves them."""
        raise NotImplementedError

    def is_cached(self, index: int) -> bool:
        """Whether `items` need not ask for this item."""
        raise NotImplementedError

    async def again(self, *, deleted: bool = False) -> int:
        """Sends once more what is lost (see `Tally.lost`), and what could not be sent or followed before.

        Returns how many items are sent.
        """
        raise NotImplementedError

    async def cancel(self) -> None:
        """Sends nothing more, and cancels what is in the queue and has not ended."""
        raise NotImplementedError

    async def cancel_quietly(self) -> None:
        """Cancels, for as long as an interrupt waits for it."""
        with contextlib.suppress(ServerError, TimeoutError):
            await asyncio.wait_for(self.cancel(), CANCEL_TIMEOUT)

    async def close(self) -> None:
        """Sends nothing more and stops following; the server goes on with what it has."""
        raise NotImplementedError

    def _end(self) -> None:
        """Tells whoever waits that nothing more will be known."""
        if self.failure is None and not self.tally.all_ended:
            self.failure = SweepClosedError("the sweep was closed before its end; `retry` goes on with it")
        self._changed.set()
