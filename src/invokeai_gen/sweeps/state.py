"""The items of a sweep and their statuses.

`SweepState` is the base of the two engines that send them, `BaseSweep` what `AsyncSweep` and `Sweep` know without waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Final, Generic, NoReturn

from invokeai_gen.core.plan import JsonValue
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.runtime.workflow import O, P
from invokeai_gen.server import constants
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.client import AsyncInvokeAIClient, ClientFacade, core_of, shared_client
from invokeai_gen.server.errors import JobError, ServerError
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.server.records import QueueItem
from invokeai_gen.sweeps.batching import Layout
from invokeai_gen.sweeps.journal import Journal
from invokeai_gen.sweeps.options import SweepOptions
from invokeai_gen.sweeps.results import DELETED, SweepCounts, Tally, slim

INTERRUPTION_RETRIES: Final = 1
"""How often an item is sent again that was canceled while its server could not be reached, as by a restart."""


class SweepClosedError(InvokeAIGenError):
    """The sweep was closed before all its items had ended."""


def named_client(server: str | AsyncInvokeAIClient | ClientFacade) -> AsyncInvokeAIClient:
    """Return the client of a server that is given by address or client."""
    return shared_client(server) if isinstance(server, str) else core_of(server)


class SweepState:
    """The items of a sweep with their numbers, values and statuses, on the background loop."""

    def __init__(self, layout: Layout, options: SweepOptions, journal: Journal | None) -> None:
        self.layout: Final = layout
        self.tally: Final = Tally(len(layout))
        self.clients: dict[str, AsyncInvokeAIClient] = {}
        """The client of each server that takes part, by its address."""
        self.preparations: dict[str, Preparations] = {}
        """What was uploaded to each server for the sweep."""
        self.errors: dict[int, JobError] = {}
        """Why items could not be sent to any server, or are lost with their server."""
        self.failure: Exception | None = None
        """Why sending or following has stopped before all items have ended."""
        self._options = options
        self._url_of: dict[int, str] = {}
        """The server of each item, if there are several."""
        self._journal = journal
        self._attempts: dict[int, int] = {}
        """How often items were retried automatically."""
        self._changed = asyncio.Event()

    async def wait_for_change(self) -> None:
        """Wait until something has changed."""
        self._changed.clear()
        await self._changed.wait()

    def raise_failure(self) -> None:
        """Raise what has stopped the sweep, if anything has."""
        if self.failure is not None:
            raise self.failure

    def client_of(self, index: int) -> AsyncInvokeAIClient:
        """Return the client of the server that an item is, or was, in the queue of."""
        return self.clients[self._url_of.get(index) or next(iter(self.clients))]

    def note_sent(self, index: int, url: str, item_id: int) -> None:
        """Note that an item is in the queue of one of several servers."""
        self._url_of[index] = url
        self.tally.send(index, item_id)
        self._changed.set()

    async def items(self, indexes: Iterable[int]) -> dict[int, QueueItem]:
        """Return the queue items of these items that still exist, without their graphs (see `slim`)."""
        found: dict[int, QueueItem] = {}
        wanted: dict[AsyncInvokeAIClient, dict[int, int]] = {}
        for index in indexes:
            item_id = self.tally.item_ids[index]
            if (known := self._known_item(index)) is not None:
                found[index] = known
            elif item_id is not None and self.tally.statuses[index] != DELETED:
                wanted.setdefault(self.client_of(index), {})[item_id] = index
        for client, numbers in wanted.items():
            found |= await self._fetch(client, numbers)
        return found

    async def _fetch(
        self, client: AsyncInvokeAIClient, numbers: Mapping[int, int], *, with_sessions: bool = True
    ) -> dict[int, QueueItem]:
        """Return the items of a server that still exist, and note those that do not; `numbers` are theirs by id."""
        found: dict[int, QueueItem] = {}
        ids = [*numbers]
        # A page at a time, so that few whole sessions are in memory at once.
        for start in range(0, len(ids), constants.PAGE):
            for item in await client.queue.items(ids[start : start + constants.PAGE], with_sessions=with_sessions):
                found[numbers[item.item_id]] = slim(item)
        for item_id, index in numbers.items():
            if index not in found:
                self.tally.delete(index, item_id)
        return found

    def _known_item(self, index: int) -> QueueItem | None:
        """Return an item that need not be fetched; `None` for all others."""
        raise NotImplementedError

    def is_cached(self, index: int) -> bool:
        """Return whether `items` needs no request for this item."""
        raise NotImplementedError

    async def again(self, choose: Callable[[], Sequence[int]]) -> int:
        """Send again what could not be sent or followed before, and the items that `choose` then returns.

        Return how many items are sent.
        """
        raise NotImplementedError

    async def cancel(self) -> None:
        """Send nothing more, and cancel what is in the queue and has not ended."""
        raise NotImplementedError

    async def cancel_and_wait(self) -> None:
        """Cancel, and wait until the servers have confirmed it: `CANCEL_TIMEOUT` seconds at most, as a node may take long."""
        await self.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(constants.CANCEL_TIMEOUT):
                while not self.tally.all_ended and self.failure is None:
                    await self.wait_for_change()

    async def cancel_quietly(self) -> None:
        """Cancel and wait, for `CANCEL_TIMEOUT` seconds altogether, whether or not the servers can be reached."""
        with contextlib.suppress(ServerError, TimeoutError):
            async with asyncio.timeout(constants.CANCEL_TIMEOUT):
                await self.cancel_and_wait()

    async def add_server(self, client: AsyncInvokeAIClient) -> None:
        """Let a server take items. Raise `TypeError` unless the sweep is one over several servers."""
        raise TypeError("only a sweep over several servers (servers=) takes other servers")

    async def remove_server(self, url: str) -> None:
        """Give a server no more items; it finishes the one that it runs. Raise `TypeError` as `add_server` does."""
        raise TypeError("only a sweep over several servers (servers=) takes other servers")

    async def close(self) -> None:
        """Stop sending and following; the servers run what they have."""
        raise NotImplementedError

    def _should_retry(self, index: int, status: str, was_interrupted: bool) -> bool:
        """Return whether to send an item again that ended with this status, and count the attempt."""
        allowed = self._options.get("retries", 0) if status == "failed" else 0
        if status == "canceled" and was_interrupted:  # InvokeAI cancels what was in progress when it starts again
            allowed = INTERRUPTION_RETRIES
        attempts = self._attempts.get(index, 0)
        if attempts < allowed:
            self._attempts[index] = attempts + 1
        return attempts < allowed

    async def _noted(self, **entry: JsonValue) -> None:
        """Append an entry to the sweep file, if there is one, off the event loop."""
        if self._journal is not None:
            await unbroken(in_thread(self._journal.note, **entry))

    def _settle(self) -> None:
        """Wake all waiters, and release the sweep file at the end."""
        if self._journal is not None and self.tally.all_ended:
            self._journal.close()
        self._changed.set()

    def _end(self) -> None:
        """Wake all waiters, and release the sweep file: nothing more will be known."""
        if self.failure is None and not self.tally.all_ended:
            self.failure = SweepClosedError("the sweep was closed before all items had ended; retry() continues it")
        self._changed.set()
        if self._journal is not None:
            self._journal.close()


class BaseSweep(Generic[P, O]):
    """The items of a sweep and their statuses, as far as they are known."""

    def __init__(self, state: SweepState) -> None:
        self.plan = state.layout.plan
        """The plan of the workflow."""
        self._state = state

    def __repr__(self) -> str:
        counts = self.counts
        return f"{type(self).__name__}({self.plan.info.name!r}, {counts.finished} of {counts.total} ended)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a sweep cannot be pickled or copied: start it with file=, and continue with resume_sweep(file)"
        )

    def _repr_html_(self) -> str:
        """Return how far the sweep is, for a notebook."""
        from invokeai_gen.core import notebook

        rows = {name: str(count) for name, count in asdict(self.counts).items() if count}
        return notebook.card(f"{self.plan.info.name}, {self.counts.finished} of {self.total} ended", rows)

    def __len__(self) -> int:
        return self.total

    @property
    def total(self) -> int:
        """The number of queue items."""
        return len(self._state.layout)

    @property
    def counts(self) -> SweepCounts:
        """How many items have each status, as far as is known; no request is sent."""
        return SweepCounts.of(self._state.tally.statuses)

    @property
    def is_done(self) -> bool:
        """Whether every item is known to have ended."""
        return self._state.tally.all_ended

    @property
    def varying(self) -> tuple[str, ...]:
        """The inputs whose values change, by Python name."""
        return self._state.layout.space.names

    def params(self, index: int) -> P:
        """Return the values of an item; a batch of the workflow holds only the item's own value."""
        params: P = self._state.layout.params(index)
        return params
