"""The videos on a server. InvokeAI has them since 6.14."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Any

from invokeai_gen.server.answers import ignored, mapping, optional
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.facades import facade, iterate
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.inventory import Video
from invokeai_gen.server.media import (
    FileContent,
    MediaCategory,
    as_names,
    delete_media,
    file_target,
    media_names,
    opened,
    upload_once,
)
from invokeai_gen.server.removal import Removal
from invokeai_gen.server.transfers import download, read_file


class AsyncVideos:
    """The videos of one server. InvokeAI has them since 6.14."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self, name: str) -> Video:
        """Return the video of that name. Raises `NotFoundError`."""
        return await self._transport.get(_path(name), read=Video.of)

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
        for name in await media_names(self._transport, "video", filters):
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
        async with opened(data, name, "video.mp4") as (content, file_name):
            file = (file_name, content, "video/mp4")
            return await upload_once(self._transport, "/api/v1/videos/", file, params, Video.of)

    async def read(self, name: str) -> bytes:
        """Return the video file. Raises `NotFoundError`."""
        return await read_file(self._transport, f"{_path(name)}/full")

    async def thumbnail(self, name: str) -> bytes:
        """Return a picture of the video as a WebP file. Raises `NotFoundError`."""
        return await read_file(self._transport, f"{_path(name)}/thumbnail")

    async def download(self, name: str, target: str | os.PathLike[str]) -> int:
        """Stream the video file to `target`, which appears when it is complete, and return its size in bytes.

        An existing file is replaced. Raises `NotFoundError`, and `IsADirectoryError` for a folder.
        """
        return await download(self._transport, f"{_path(name)}/full", file_target(target))

    async def metadata(self, name: str) -> dict[str, Any]:
        """Return what the server keeps about how the video was made; empty if nothing."""
        return await self._transport.get(f"{_path(name)}/metadata", read=optional(mapping)) or {}

    async def star(self, names: str | Iterable[str], *, starred: bool = True) -> None:
        """Star videos, or take their stars away."""
        verb, body = "star" if starred else "unstar", {"video_names": as_names(names)}
        await self._transport.send("POST", f"/api/v1/videos/{verb}", json=body, repeatable=True, read=ignored)

    async def move(self, names: str | Iterable[str], board_id: str | None) -> None:
        """Move videos to a board; `None` or `"none"` takes them off their boards."""
        method, body = ("DELETE", {}) if board_id in (None, "none") else ("POST", {"board_id": board_id})

        async def move_one(name: str) -> None:
            await self._transport.send(
                method, "/api/v1/videos/board", json={**body, "video_name": name}, repeatable=True, read=ignored
            )

        await asyncio.gather(*map(move_one, as_names(names)))

    async def delete(self, names: str | Iterable[str]) -> Removal:
        """Delete videos. Those that do not exist or could not be deleted are named in `failed`."""
        return await delete_media(self._transport, "video", as_names(names))


class Videos:
    """The videos of one server. InvokeAI has them since 6.14."""

    def __init__(self, core: AsyncVideos) -> None:
        self._core = core

    get = facade(AsyncVideos.get)
    upload = facade(AsyncVideos.upload)
    read = facade(AsyncVideos.read)
    thumbnail = facade(AsyncVideos.thumbnail)
    download = facade(AsyncVideos.download)
    metadata = facade(AsyncVideos.metadata)
    star = facade(AsyncVideos.star)
    move = facade(AsyncVideos.move)
    delete = facade(AsyncVideos.delete)

    def list(
        self,
        *,
        board_id: str | None = None,
        category: MediaCategory | None = None,
        is_intermediate: bool | None = None,
        starred_first: bool = True,
    ) -> Iterator[Video]:
        """Yield all videos, newest first; see `AsyncVideos.list`."""
        return iterate(
            self._core.list(
                board_id=board_id, category=category, is_intermediate=is_intermediate, starred_first=starred_first
            )
        )


def _path(name: str) -> str:
    return f"/api/v1/videos/i/{segment(name)}"
