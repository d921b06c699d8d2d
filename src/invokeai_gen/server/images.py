"""Images and videos on a server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from invokeai_gen.server.background import facade, iterate
from invokeai_gen.server.errors import StatusError, UploadUncertainError
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.idempotency import send_once
from invokeai_gen.server.records import Image, Removal, Video

ImageCategory: TypeAlias = Literal["general", "user", "mask", "control", "other"]
PAGE: Final = 100


class AsyncImages:
    """The images of one server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self, name: str) -> Image:
        """The image of that name. Raises `NotFoundError`."""
        return Image.of(await self._transport.get(_path(name)))

    async def list(
        self,
        *,
        board_id: str | None = None,
        category: ImageCategory | None = None,
        is_intermediate: bool | None = None,
        search: str | None = None,
    ) -> AsyncGenerator[Image, None]:
        """All images, newest first (starred ones before the others), asked for page by page.

        `board_id` may be `"none"` for images on no board.
        """
        offset = 0
        while True:
            params: dict[str, Any] = {
                "board_id": board_id,
                "categories": category,
                "is_intermediate": is_intermediate,
                "search_term": search,
                "offset": offset,
                "limit": PAGE,
            }
            page = (await self._transport.get("/api/v1/images/", params))["items"]
            for item in page:
                yield Image.of(item)
            if len(page) < PAGE:
                return
            offset += PAGE

    async def upload(
        self,
        data: bytes,
        name: str = "image.png",
        *,
        board_id: str | None = None,
        category: ImageCategory = "user",
        is_intermediate: bool = False,
    ) -> Image:
        """Uploads the bytes of an image file; the server keeps it as PNG under a name of its own.

        When the answer is lost, the image is looked for among the newest ones. Raises `UnsupportedMediaError` for what
        is not an image, `NotFoundError` for an unknown board, and `UploadUncertainError`.
        """
        params = {"image_category": category, "is_intermediate": is_intermediate, "board_id": board_id}
        return Image.of(await _upload(self._transport, "/api/v1/images/", (name, data, "image/png"), params))

    async def read(self, name: str) -> bytes:
        """The image file. Raises `NotFoundError`."""
        return await self._transport.read(f"{_path(name)}/full")

    async def thumbnail(self, name: str) -> bytes:
        """A small version of the image as a WebP file. Raises `NotFoundError`."""
        return await self._transport.read(f"{_path(name)}/thumbnail")

    async def download(self, name: str, target: Path) -> int:
        """Streams the image file to `target`, which appears when it is complete, and returns its size in bytes."""
        return await self._transport.download(f"{_path(name)}/full", target)

    async def metadata(self, name: str) -> dict[str, Any]:
        """What the server keeps about how the image was made (prompt, seed, models …); empty where it has nothing."""
        return await self._transport.get(f"{_path(name)}/metadata") or {}

    async def star(self, names: Sequence[str], *, starred: bool = True) -> None:
        """Stars images, or takes their stars away."""
        verb = "star" if starred else "unstar"
        await self._transport.send("POST", f"/api/v1/images/{verb}", json={"image_names": [*names]})

    async def move(self, names: Sequence[str], board_id: str | None) -> None:
        """Moves images to a board; `None` takes them off their boards."""
        body: dict[str, Any] = {"image_names": [*names]}
        path = "/api/v1/board_images/batch/delete"
        if board_id is not None:
            path, body["board_id"] = "/api/v1/board_images/batch", board_id
        await self._transport.send("POST", path, json=body)

    async def delete(self, names: Sequence[str]) -> Removal:
        """Deletes images. Those that do not exist (any more) or could not be deleted are named in `failed`."""
        if not names:
            return Removal()
        try:
            body = {"image_names": [*names]}
            answer = await self._transport.send("POST", "/api/v1/images/delete", json=body, repeatable=True)
        except StatusError as error:
            return Removal(failed=dict.fromkeys(names, str(error)))
        return _removal(names, answer["deleted_images"])


class Images:
    """The images of one server."""

    def __init__(self, core: AsyncImages) -> None:
        self._core = core

    get = facade(AsyncImages.get)
    upload = facade(AsyncImages.upload)
    read = facade(AsyncImages.read)
    thumbnail = facade(AsyncImages.thumbnail)
    download = facade(AsyncImages.download)
    metadata = facade(AsyncImages.metadata)
    star = facade(AsyncImages.star)
    move = facade(AsyncImages.move)
    delete = facade(AsyncImages.delete)

    def list(
        self,
        *,
        board_id: str | None = None,
        category: ImageCategory | None = None,
        is_intermediate: bool | None = None,
        search: str | None = None,
    ) -> Iterator[Image]:
        """All images, newest first (starred ones before the others), asked for page by page."""
        core = self._core.list(board_id=board_id, category=category, is_intermediate=is_intermediate, search=search)
        return iterate(core)


class AsyncVideos:
    """The videos of one server. InvokeAI has them since 6.14."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self, name: str) -> Video:
        """The video of that name. Raises `NotFoundError`."""
        return Video.of(await self._transport.get(_video_path(name)))

    async def upload(self, data: bytes, name: str, *, board_id: str | None = None) -> Video:
        """Uploads the bytes of a video file.

        When the answer is lost, the video is looked for among the newest ones. Raises `UnsupportedMediaError` for what
        is not a video, and `UploadUncertainError`.
        """
        params = {"video_category": "user", "is_intermediate": False, "board_id": board_id}
        return Video.of(await _upload(self._transport, "/api/v1/videos/", (name, data, "video/mp4"), params))

    async def read(self, name: str) -> bytes:
        """The video file. Raises `NotFoundError`."""
        return await self._transport.read(f"{_video_path(name)}/full")

    async def download(self, name: str, target: Path) -> int:
        """Streams the video file to `target`, which appears when it is complete, and returns its size in bytes."""
        return await self._transport.download(f"{_video_path(name)}/full", target)

    async def metadata(self, name: str) -> dict[str, Any]:
        """What the server keeps about how the video was made; empty where it has nothing."""
        return await self._transport.get(f"{_video_path(name)}/metadata") or {}

    async def delete(self, names: Sequence[str]) -> Removal:
        """Deletes videos. Those that do not exist (any more) or could not be deleted are named in `failed`."""
        if not names:
            return Removal()
        try:
            body = {"video_names": [*names]}
            answer = await self._transport.send("POST", "/api/v1/videos/delete", json=body, repeatable=True)
        except StatusError as error:
            return Removal(failed=dict.fromkeys(names, str(error)))
        return _removal(names, answer["deleted_videos"])


class Videos:
    """The videos of one server. InvokeAI has them since 6.14."""

    def __init__(self, core: AsyncVideos) -> None:
        self._core = core

    get = facade(AsyncVideos.get)
    upload = facade(AsyncVideos.upload)
    read = facade(AsyncVideos.read)
    download = facade(AsyncVideos.download)
    metadata = facade(AsyncVideos.metadata)
    delete = facade(AsyncVideos.delete)


async def _upload(
    transport: Transport, root: str, file: tuple[str, bytes, str], params: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What the server says of an uploaded file, which it keeps once even if its first answer is lost.

    It has no other way to name an upload than the id of a session. With a new one for each upload, the file is known
    again in a list; no queue item ever has that session.
    """
    marker = str(uuid.uuid4())

    async def find() -> Mapping[str, Any] | None:
        newest = {"is_intermediate": params["is_intermediate"], "starred_first": False, "limit": PAGE}
        found = (await transport.get(root, newest))["items"]
        return next((item for item in found if item["session_id"] == marker), None)

    async def send() -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await transport.upload(f"{root}upload", *file, {**params, "session_id": marker})
        return answer

    return await send_once(send, find, partial(UploadUncertainError, file[0]))


def _path(name: str) -> str:
    return f"/api/v1/images/i/{segment(name)}"


def _video_path(name: str) -> str:
    return f"/api/v1/videos/i/{segment(name)}"


def _removal(names: Sequence[str], deleted: Sequence[str]) -> Removal:
    """The server skips what it does not know without a word."""
    gone = tuple(name for name in names if name in deleted)
    return Removal(deleted=gone, failed={name: "not on the server" for name in names if name not in deleted})
