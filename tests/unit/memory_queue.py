"""A client whose queue, images and boards are in memory; its items end when a test says so."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from invokeai_gen import AsyncInvokeAIClient
from invokeai_gen.server.boards import Board
from invokeai_gen.server.errors import ConnectionFailedError, NotFoundError
from invokeai_gen.server.events import StatusChanged
from invokeai_gen.server.images import Image
from invokeai_gen.server.records import Enqueued, QueueCounts, QueueItem
from invokeai_gen.server.removal import Removal
from invokeai_gen.server.run_queue import batch_size
from invokeai_gen.server.status_watch import StatusWatch
from invokeai_gen.server.watch import Watch

GUARD = 60.0
"""Seconds until a test that hangs fails."""


class FakeQueue:
    """A queue whose items end when the test says so."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.told_limit = limit
        self.batches: dict[str, list[int]] = {}
        self.status: dict[int, str] = {}
        self.asked: Counter[str] = Counter()
        self.faults: dict[str, list[Exception | None]] = {}
        """What the next questions of a kind raise, if anything."""
        self.gates: dict[str, asyncio.Event] = {}
        """What holds up all questions of a kind."""
        self.ids = itertools.count(1)
        self.sent: list[Any] = []

    async def _asked(self, kind: str) -> None:
        self.asked[kind] += 1
        await asyncio.sleep(0)
        if kind in self.gates:
            await self.gates[kind].wait()

    def _fault(self, kind: str) -> None:
        if (faults := self.faults.get(kind)) and (fault := faults.pop(0)) is not None:
            raise fault

    async def enqueue(self, request: Mapping[str, Any], *, may_clip: bool) -> Enqueued:
        assert may_clip or self.limit > batch_size(request["batch"])
        return await asyncio.shield(asyncio.ensure_future(self._take(request["batch"])))  # a server goes on regardless

    async def _take(self, batch: Mapping[str, Any]) -> Enqueued:
        self.sent.append(batch)
        await self._asked("enqueue")
        room = self.limit - [*self.status.values()].count("pending")
        ids = [next(self.ids) for _ in range(min(room, batch_size(batch)))]
        self.batches.setdefault(batch["batch_id"], []).extend(ids)
        self.status |= dict.fromkeys(ids, "pending")
        self._fault("enqueue")
        return Enqueued(batch_id=batch["batch_id"], item_ids=tuple(ids))

    async def find_batch(self, batch_id: str, *, patience: float = 0.0) -> list[int]:
        await self._asked("find")
        return self.batches.get(batch_id, [])

    async def items(self, ids: Iterable[int], *, with_sessions: bool = True) -> list[QueueItem]:
        found = [
            {"item_id": item_id, "status": self.status[item_id], "batch_id": batch_id, "session": {"errors": {}}}
            for batch_id, members in self.batches.items()
            for item_id in members
            if item_id in set(ids)
        ]
        await self._asked("items")
        self._fault("items")
        return [QueueItem.of(data) for data in found]

    async def get(self, item_id: int) -> QueueItem:
        (item,) = await self.items([item_id])
        return item

    async def capacity(self) -> int:
        return self.told_limit

    async def counts(self) -> QueueCounts:
        await self._asked("counts")
        return QueueCounts.of({"pending": [*self.status.values()].count("pending")})

    async def cancel_batches(self, batch_ids: Iterable[str]) -> int:
        await self._asked("cancel")
        self._fault("cancel")
        ids = [item_id for batch_id in batch_ids for item_id in self.batches.get(batch_id, [])]
        self.status |= {item_id: "canceled" for item_id in ids if self.status[item_id] == "pending"}
        return len(ids)


class FakeImages:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.ids = itertools.count()

    async def upload(self, data: bytes, file_name: str) -> Image:
        name = f"{next(self.ids)}-{file_name}"
        self.names.add(name)
        return Image.of({"image_name": name, "width": 1, "height": 1})

    async def get(self, name: str) -> Image:
        if name not in self.names:
            raise NotFoundError("GET", name, 404, "Not Found")
        return Image.of({"image_name": name, "width": 1, "height": 1})

    async def delete(self, names: Iterable[str]) -> Removal:
        self.names.difference_update(names)
        return Removal(deleted=tuple(names))


class FakeBoards:
    def __init__(self) -> None:
        self.is_away = False

    async def list(self, *, include_archived: bool = False) -> list[Board]:
        if self.is_away:
            raise ConnectionFailedError("away")
        return [Board.of({"board_id": "b1", "board_name": "Cats", "image_count": 0, "archived": False})]


class FakeClient(AsyncInvokeAIClient):
    """A client of a queue in memory."""

    def __init__(self, limit: int = 10_000, url: str = "http://fake.invalid") -> None:
        super().__init__(url)
        self.fake = FakeQueue(limit)
        self.fake_boards = FakeBoards()
        self.fake_images = FakeImages()
        vars(self).update(
            queue=self.fake, run_queue=self.fake, boards=self.fake_boards, images=self.fake_images, videos=FakeImages()
        )
        self.watches: WeakValueDictionary[str, Watch] = WeakValueDictionary()
        """Held weakly, as by a real client."""

    async def follow(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> Watch:
        watch = self.watches[batch_id] = Watch(batch_id, labels, keeps_events=keeps_events)
        return watch

    async def forget(self, watch: StatusWatch) -> None:
        watch.close()

    def finish(self, *item_ids: int, status: str = "completed") -> None:
        """Ends items; all that wait unless given."""
        for batch_id, members in self.fake.batches.items():
            for item_id in members:
                if item_id in item_ids or (not item_ids and self.fake.status[item_id] == "pending"):
                    self.fake.status[item_id] = status
                    if (watch := self.watches.get(batch_id)) is not None:
                        watch.add(StatusChanged(item_id=item_id, batch_id=batch_id, status=status))


in_threads = 0
"""Calls that run in threads now."""
to_thread = asyncio.to_thread


async def counted(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`asyncio.to_thread`, for which `settle` waits."""
    global in_threads
    in_threads += 1
    try:
        return await to_thread(call, *args, **kwargs)
    finally:
        in_threads -= 1


async def settle() -> None:
    """Lets everything go on that can."""
    is_busy = True
    while is_busy:
        is_busy = False
        for _ in range(100):
            await asyncio.sleep(0)
            is_busy = is_busy or in_threads > 0
