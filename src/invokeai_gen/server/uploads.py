"""Uploading inputs, each file once: what a client has uploaded, and which runs still use it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

from invokeai_gen.server.background import bridge, disown, in_thread
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.removal import Removal

if TYPE_CHECKING:
    from invokeai_gen.server.client import AsyncInvokeAIClient

MediaKind: TypeAlias = Literal["image", "video"]
STILL_USED: Final = "another run uses it"


@dataclass(slots=True, weakref_slot=True, eq=False)
class Uploads:
    """The inputs of a run that were uploaded, by this run or an earlier one, and not deleted since."""

    images: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    known: dict[tuple[MediaKind, str], str] = field(default_factory=dict)
    """Names of files that need not be uploaded again, by the SHA-256 of their content."""
    on_add: Callable[[MediaKind, str, str], None] | None = None
    """Called with kind, SHA-256 and name of each upload, in a thread."""
    on_remove: Callable[[list[str]], None] | None = None
    """Called with the names of those that were deleted again, in a thread."""
    merged: list[Uploads] = field(default_factory=list)
    """Uploads of branches, whose files this run uses too."""
    owner: object = None
    """Equal for the uploads of one sweep, however often its file is opened."""

    def keep(self, kind: MediaKind, digest: str, name: str) -> None:
        """Record an upload of an earlier process."""
        (self.images if kind == "image" else self.videos).append(name)
        self.known[kind, digest] = name

    async def add(self, kind: MediaKind, digest: str, name: str) -> None:
        """Record an upload."""
        self.keep(kind, digest, name)
        if self.on_add is not None:
            await in_thread(self.on_add, kind, digest, name)

    async def remove(self, client: AsyncInvokeAIClient) -> Removal:
        """Delete the files that no other run of this client uses; the rest is named in `kept`."""
        ours = {*self.images, *self.videos}
        used = await bridge(_release(client, ours, self))
        images = [name for name in self.images if name not in used]
        videos = [name for name in self.videos if name not in used]
        removal = await client.images.delete(images) + await client.videos.delete(videos)
        self.images = [name for name in images if name in removal.failed]
        self.videos = [name for name in videos if name in removal.failed]
        gone = ours.difference(self.images, self.videos)
        self.known = {key: name for key, name in self.known.items() if name not in gone}
        if gone and self.on_remove is not None:
            await in_thread(self.on_remove, sorted(gone))
        return removal + Removal(kept=dict.fromkeys(sorted(used), STILL_USED))


class _Memory:
    """What one client has uploaded. Everything here runs on the background loop, so that no two runs race."""

    def __init__(self) -> None:
        self.names: dict[tuple[MediaKind, str], str] = {}
        self.users: dict[str, WeakSet[Uploads]] = {}
        self.sending: dict[tuple[MediaKind, str], asyncio.Future[str]] = {}

    def use(self, name: str, uploads: Uploads) -> None:
        self.users.setdefault(name, WeakSet()).add(uploads)

    def forget(self, name: str) -> None:
        self.users.pop(name, None)
        self.names = {key: known for key, known in self.names.items() if known != name}

    def send(self, key: tuple[MediaKind, str], send: Callable[[], Awaitable[str]]) -> None:
        """Begin an upload. It ends by itself, and the next run may use what it has uploaded."""

        def end(task: asyncio.Future[str]) -> None:
            self.sending.pop(key, None)
            if not task.cancelled() and task.exception() is None:
                self.names[key] = task.result()

        self.sending[key] = asyncio.ensure_future(send())
        self.sending[key].add_done_callback(end)


_memories: WeakKeyDictionary[AsyncInvokeAIClient, _Memory] = WeakKeyDictionary()


def _after_fork() -> None:
    """Forget the uploads under way: they go on in the parent, and would never end here."""
    for memory in _memories.values():
        disown(memory.sending)
        memory.sending = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


async def upload_once(
    client: AsyncInvokeAIClient,
    uploads: Uploads,
    kind: MediaKind,
    digest: str,
    send: Callable[[], Awaitable[str]],
    policy: Literal["once", "always"],
) -> str:
    """Return the name of a file on the server; `send` uploads it unless this client did so before and it still exists.

    `policy="always"` uploads it in any case.
    """
    if (known := uploads.known.get((kind, digest))) is not None:
        return known
    name = await bridge(_uploaded(client, uploads, (kind, digest), send, policy))
    await uploads.add(kind, digest, name)
    return name


async def _uploaded(
    client: AsyncInvokeAIClient,
    uploads: Uploads,
    key: tuple[MediaKind, str],
    send: Callable[[], Awaitable[str]],
    policy: Literal["once", "always"],
) -> str:
    memory = _memories.setdefault(client, _Memory())
    if policy == "always":
        name = await send()
        memory.use(name, uploads)
        return name
    if (known := memory.names.get(key)) is not None:
        memory.use(known, uploads)  # before the server is asked, so that no clean-up deletes it meanwhile
        try:
            await (client.images if key[0] == "image" else client.videos).get(known)
        except NotFoundError:
            memory.forget(known)
        else:
            return known
    if key not in memory.sending:
        memory.send(key, send)
    name = await asyncio.shield(memory.sending[key])
    memory.use(name, uploads)
    return name


async def _release(client: AsyncInvokeAIClient, names: Iterable[str], uploads: Uploads) -> set[str]:
    """End the use of these files by a run; return those that another run still uses, and forget the others."""
    memory = _memories.setdefault(client, _Memory())
    used: set[str] = set()
    for name in names:
        users = memory.users.get(name, WeakSet())
        for each in (uploads, *uploads.merged):
            users.discard(each)
        if any(each.owner is None or each.owner != uploads.owner for each in users):
            used.add(name)
        else:
            memory.forget(name)
    return used
