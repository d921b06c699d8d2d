"""Deleting what a run has put on the server: its uploads, its results, the boards created for it; nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from invokeai_gen.core.results import media_names
from invokeai_gen.server import constants
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.server.errors import NotFoundError, ServerError, StatusError
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.removal import Removal
from invokeai_gen.server.status_watch import is_final
from invokeai_gen.server.uploads import Uploads

if TYPE_CHECKING:
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.images import Image
    from invokeai_gen.server.videos import Video

QUESTIONS_AT_ONCE: Final = 8


@dataclass(slots=True)
class Preparations:
    """What was uploaded to the server and created there before a run could begin."""

    uploads: Uploads = field(default_factory=Uploads)
    boards: list[str] = field(default_factory=list)
    """Ids of the boards that were created because none had their name."""

    def branch(self) -> Preparations:
        """Return preparations that know these uploads, but do not delete them when they are undone. See `add`."""
        uploads = self.uploads
        return Preparations(uploads=replace(uploads, images=[], videos=[], known={**uploads.known}, merged=[]))

    def add(self, more: Preparations) -> None:
        """Add what a `branch` has made."""
        self.uploads.images += more.uploads.images
        self.uploads.videos += more.uploads.videos
        self.uploads.known |= more.uploads.known
        if more.uploads.images or more.uploads.videos:
            more.uploads.known = {}  # a sweep over several servers has a branch for each item: thousands of copies
            self.uploads.merged.append(more.uploads)
        self.boards += more.boards

    async def undo(self, client: AsyncInvokeAIClient, error: BaseException) -> None:
        """Delete all of it after an error that stopped the run; note on the error what could not be deleted."""
        try:
            async with asyncio.timeout(constants.UNDO_TIMEOUT):
                removal = await self.uploads.remove(client) + await remove_boards(client, self, ())
        except (ServerError, TimeoutError) as trouble:
            names = [*self.uploads.images, *self.uploads.videos, *self.boards]
            removal = Removal(failed=dict.fromkeys(names, str(trouble) or "the server is too slow"))
        note_what_is_left(error, removal)


def note_what_is_left(error: BaseException, removal: Removal) -> None:
    """Add to an error a note for each thing that could not be deleted after it."""
    for name, reason in removal.failed.items():
        error.add_note(f"clean-up: {name} is still there: {reason}")


async def remove_outputs(
    client: AsyncInvokeAIClient,
    items: Iterable[QueueItem],
    *,
    delete_images: bool,
    delete_from_board: bool,
    check_other_items: bool,
) -> Removal:
    """Delete the images and videos that these items made, or only take the images off their boards.

    See `WorkflowOutputs.cleanup_outputs` for what is kept.
    """
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
    images, videos = ours.values()
    if delete_images and check_other_items:
        used = await referring_items(client, {*images, *videos}, items)
        kept |= {name: f"queue item {item_id} also refers to it" for name, item_id in used.items()}
        images, videos = ([name for name in names if name not in used] for names in (images, videos))
    removal = Removal(failed=failed, kept=kept)
    if delete_images:
        return removal + await client.images.delete(images) + await client.videos.delete(videos)
    if delete_from_board and images:
        await client.images.move(images, None)
    where = "taken off its board" if delete_from_board else "was not to be deleted"
    return removal + Removal(kept=dict.fromkeys(images, where) | dict.fromkeys(videos, "was not to be deleted"))


async def referring_items(
    client: AsyncInvokeAIClient, names: Collection[str], items: Collection[QueueItem]
) -> dict[str, int]:
    """Return which of these images and videos other queue items refer to, with the newest such item.

    A later run can have got a result from the server's node cache, and one that has not ended can need it as an input.
    Only items that have not ended, or ended after the first of `items` began, are looked at.
    """
    own = {item.item_id for item in items}
    if not names or not own:
        return {}
    began = min((item.timings.started for item in items if item.timings.started), default=None)
    newest_first = [item_id for item_id in reversed(await client.queue.item_ids()) if item_id not in own]
    found: dict[str, int] = {}
    for start in range(0, len(newest_first), constants.PAGE):
        page = newest_first[start : start + constants.PAGE]
        briefs = await client.queue.items(page, with_sessions=False)
        ends = {brief.item_id: brief.timings.completed for brief in briefs}
        later = [item_id for item_id, ended in ends.items() if ended is None or began is None or ended >= began]
        for item in await client.queue.items(later) if later else ():
            for _, name in media_names(item.session.get("results") if is_final(item.status) else item.session):
                if name in names:
                    found[name] = max(item.item_id, found.get(name, 0))
        if not later and page[-1] < min(own):
            break
    return found


async def remove_boards(client: AsyncInvokeAIClient, preparations: Preparations, items: Iterable[QueueItem]) -> Removal:
    """Delete the boards that were created for a run, unless they hold images of others.

    Images of the run itself stay, on no board.
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
    """Return every image and video in the results of these items, with its kind (`image_name` or `video_name`)."""
    return {name: kind for item in items for kind, name in media_names(item.session.get("results") or {})}


def reason_to_keep(media: Image | Video, sessions: Container[str | None]) -> str | None:
    """Return why a result must not be deleted; `None` if it may be.

    An image from the server's node cache carries the session that made it first; an upload carries no session.
    """
    if media.session_id not in sessions:
        return "not made by this run"
    return "starred" if media.starred else None
