"""Deleting what a run has put on the server: its uploads, its results, the boards made for it. Never anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from invokeai_gen.core.results import media_names
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.server.errors import NotFoundError, ServerError, StatusError
from invokeai_gen.server.records import Image, QueueItem, Removal, Video

if TYPE_CHECKING:
    from invokeai_gen.server.client import AsyncInvokeAIClient

MediaKind: TypeAlias = Literal["image", "video"]
CleanupTarget: TypeAlias = Literal["inputs", "outputs", "boards", "queue_items"]
QUESTIONS_AT_ONCE: Final = 8
UNDO_TIMEOUT: Final = 4.0
"""Seconds that deleting what a failed run had prepared may take."""


def cleanup_targets(given: Iterable[CleanupTarget]) -> frozenset[CleanupTarget]:
    """The targets themselves. Raises `ValueError` for anything else, such as a text in place of a tuple."""
    known = get_args(CleanupTarget)
    unknown = [repr(given)] if isinstance(given, str) else [repr(name) for name in given if name not in known]
    if unknown:
        raise ValueError(f"cleanup takes a tuple of {', '.join(map(repr, known))}, not {', '.join(unknown)}")
    return frozenset(given)


@dataclass(slots=True)
class Uploads:
    """What a run has uploaded as its inputs, and has not deleted again."""

    images: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    known: dict[tuple[MediaKind, str], str] = field(default_factory=dict)
    """Names of files that need not be uploaded again, by the SHA-256 of what is in them."""
    on_add: Callable[[MediaKind, str, str], None] | None = None
    """Is told kind, SHA-256 and name of each upload."""
    on_remove: Callable[[list[str]], None] | None = None
    """Is told the names of those that were deleted again."""

    def add(self, kind: MediaKind, digest: str, name: str) -> None:
        """Notes an upload."""
        (self.images if kind == "image" else self.videos).append(name)
        self.known[kind, digest] = name
        if self.on_add is not None:
            self.on_add(kind, digest, name)

    async def remove(self, client: AsyncInvokeAIClient) -> Removal:
        """Deletes all of it."""
        ours = {*self.images, *self.videos}
        removal = await client.images.delete(self.images) + await client.videos.delete(self.videos)
        self.images = [name for name in self.images if name in removal.failed]
        self.videos = [name for name in self.videos if name in removal.failed]
        gone = ours.difference(self.images, self.videos)
        self.known = {key: name for key, name in self.known.items() if name not in gone}
        if gone and self.on_remove is not None:
            self.on_remove(sorted(gone))
        return removal


@dataclass(slots=True)
class Preparations:
    """What had to be made on the server before a run could begin."""

    uploads: Uploads = field(default_factory=Uploads)
    boards: list[str] = field(default_factory=list)
    """Ids of the boards that were made because none had their name."""

    def branch(self) -> Preparations:
        """For what else is to be made: it knows these uploads, but undoing it does not delete them. See `add`."""
        uploads = self.uploads
        known = Uploads(known={**uploads.known}, on_add=uploads.on_add, on_remove=uploads.on_remove)
        return Preparations(uploads=known)

    def add(self, more: Preparations) -> None:
        """Takes in what else was made, of a `branch`."""
        self.uploads.images += more.uploads.images
        self.uploads.videos += more.uploads.videos
        self.uploads.known |= more.uploads.known
        self.boards += more.boards

    async def undo(self, client: AsyncInvokeAIClient, error: BaseException) -> None:
        """Deletes all of it, for a run that does not come about; what is left is noted on the error that stopped it."""
        try:
            async with asyncio.timeout(UNDO_TIMEOUT):
                removal = await self.uploads.remove(client) + await remove_boards(client, self, ())
        except (ServerError, TimeoutError) as trouble:
            names = [*self.uploads.images, *self.uploads.videos, *self.boards]
            removal = Removal(failed=dict.fromkeys(names, str(trouble) or "the server is too slow"))
        note_what_is_left(error, removal)


def note_what_is_left(error: BaseException, removal: Removal) -> None:
    """Adds to an error what could not be deleted after it."""
    for name, reason in removal.failed.items():
        error.add_note(f"clean-up: {name} is still there: {reason}")


async def remove_outputs(
    client: AsyncInvokeAIClient, items: Iterable[QueueItem], *, delete_images: bool, delete_from_board: bool
) -> Removal:
    """Deletes the images and videos that these items made, or only takes the images off their boards."""
    items = list(items)
    sessions = {item.session_id for item in items}
    media = made_media(items)

    async def ask(name: str) -> Image | Video:
        return await (client.images if media[name] == "image_name" else client.videos).get(name)

    answers = await gather_limited(ask, media, at_once=QUESTIONS_AT_ONCE)
    kept: dict[str, str] = {}
    failed: dict[str, str] = {}
    ours: dict[str, list[str]] = {"image_name": [], "video_name": []}
    for name, answer in zip(media, answers, strict=True):
        if isinstance(answer, StatusError):
            failed[name] = "not on the server" if isinstance(answer, NotFoundError) else str(answer)
        elif isinstance(answer, Exception):
            raise answer
        elif (reason := reason_to_keep(answer, sessions)) is not None:
            kept[name] = reason
        else:
            ours[media[name]].append(name)
    removal = Removal(failed=failed, kept=kept)
    images, videos = ours.values()
    if delete_images:
        return removal + await client.images.delete(images) + await client.videos.delete(videos)
    if delete_from_board and images:
        await client.images.move(images, None)
    where = "taken off its board" if delete_from_board else "was not to be deleted"
    return removal + Removal(kept=dict.fromkeys(images, where) | dict.fromkeys(videos, "was not to be deleted"))


async def remove_boards(client: AsyncInvokeAIClient, preparations: Preparations, items: Iterable[QueueItem]) -> Removal:
    """Deletes the boards that were made for a run, unless someone else has put something on them since.

    Images of the run itself that are still there stay, on no board.
    """
    own = {*made_media(items), *preparations.uploads.images}
    removal = Removal()
    for board_id in [*preparations.boards]:
        try:
            others = set(await client.boards.image_names(board_id)) - own
            if others:
                removal += Removal(kept={board_id: f"holds {len(others)} images that this run did not make"})
                continue
            await client.boards.delete(board_id)
        except StatusError as error:
            reason = "not on the server" if isinstance(error, NotFoundError) else str(error)
            removal += Removal(failed={board_id: reason})
        else:
            preparations.boards.remove(board_id)
            removal += Removal(deleted=(board_id,))
    return removal


def made_media(items: Iterable[QueueItem]) -> Mapping[str, str]:
    """Every image and video in the results of these items, with its kind (`image_name` or `video_name`)."""
    return {name: kind for item in items for kind, name in media_names(item.session.get("results") or {})}


def reason_to_keep(media: Image | Video, sessions: Container[str | None]) -> str | None:
    """Why a result is not to be deleted; `None` where nothing speaks against it.

    What the server's node cache hands out again has the session that made it first; an upload has that of no item.
    """
    if media.session_id not in sessions:
        return "not made by this run"
    return "starred" if media.starred else None
