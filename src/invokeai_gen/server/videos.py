"""The videos on a server. InvokeAI has them since 6.14."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from datetime import datetime

from invokeai_gen.server.answers import ignored
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.facades import Facade, facade, iterating
from invokeai_gen.server.media import FileContent, MediaCategory, StoredMedia, as_names
from invokeai_gen.server.records import ServerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Video(ServerRecord):
    """A video on the server, without its frames."""

    video_name: str
    width: int
    height: int
    duration: float = 0.0
    """Seconds."""
    fps: float | None = None
    is_intermediate: bool = False
    starred: bool = False
    session_id: str | None = None
    board_id: str | None = None
    created_at: datetime | None = None


class AsyncVideos(StoredMedia[Video]):
    """The videos of one server. InvokeAI has them since 6.14."""

    _kind = "video"
    _format = "mp4"
    _record = Video

    async def list(
        self,
        *,
        board_id: str | None = None,
        category: MediaCategory | None = None,
        is_intermediate: bool | None = None,
        starred_first: bool = True,
    ) -> AsyncGenerator[Video, None]:
        """Yield all videos, newest first; starred ones before the others unless switched off.

        `board_id` may be `"none"` for videos on no board. Videos may be deleted while the list is read: which ones it
        has is known at the beginning.
        """
        filters = {
            "board_id": board_id,
            "categories": category,
            "is_intermediate": is_intermediate,
            "starred_first": starred_first,
        }
        for name in await self._names(filters):
            try:
                video = await self.get(name)
            except NotFoundError:  # deleted meanwhile
                continue
            yield video

    async def upload(self, data: FileContent, name: str | None = None, *, board_id: str | None = None) -> Video:
        """Upload a video file, given as bytes or as a path.

        If the answer is lost, the video is looked for among the newest ones. Raises `UnsupportedMediaError` for
        anything but a video, and `UploadUncertainError`.
        """
        params = {"video_category": "user", "is_intermediate": False, "board_id": board_id}
        return await self._upload(data, name, params)

    async def move(self, names: str | Iterable[str], board_id: str | None) -> None:
        """Move videos to a board; `None` or `"none"` takes them off their boards."""
        method, body = ("DELETE", {}) if board_id in (None, "none") else ("POST", {"board_id": board_id})

        async def move_one(name: str) -> None:
            await self._transport.send(
                method, "/api/v1/videos/board", json={**body, "video_name": name}, repeatable=True, read=ignored
            )

        await asyncio.gather(*map(move_one, as_names(names)))


class Videos(Facade[AsyncVideos]):
    """The videos of one server. InvokeAI has them since 6.14."""

    get = facade(AsyncVideos.get)
    upload = facade(AsyncVideos.upload)
    read = facade(AsyncVideos.read)
    thumbnail = facade(AsyncVideos.thumbnail)
    download = facade(AsyncVideos.download)
    metadata = facade(AsyncVideos.metadata)
    star = facade(AsyncVideos.star)
    move = facade(AsyncVideos.move)
    delete = facade(AsyncVideos.delete)
    list = iterating(AsyncVideos.list)
