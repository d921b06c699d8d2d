"""The images on a server."""

from __future__ import annotations

import asyncio
import builtins
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from invokeai_gen.loading import load
from invokeai_gen.server import constants
from invokeai_gen.server.answers import at, ignored, integer, list_of, mapping, optional, text
from invokeai_gen.server.errors import ConnectionFailedError, RequestTimeoutError, ServerError
from invokeai_gen.server.facades import Facade, facade, iterating
from invokeai_gen.server.http import segment
from invokeai_gen.server.media import FileContent, MediaCategory, StoredMedia, as_names
from invokeai_gen.server.records import ServerRecord
from invokeai_gen.server.transfers import download, file_target
from invokeai_gen.texts import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(ServerRecord):
    """An image on the server, without its pixels."""

    image_name: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    image_category: str = ""
    """`general` for a result, `user` for an upload, or `mask`, `control`, `other`."""
    is_intermediate: bool = False
    starred: bool = False
    has_workflow: bool = False
    session_id: str | None = None
    """The session that made it. An upload has `None`, or an id that belongs to no session."""
    node_id: str | None = None
    board_id: str | None = None
    created_at: datetime | None = None


class AsyncImages(StoredMedia[Image]):
    """The images of one server."""

    _kind = "image"
    _format = "png"
    _record = Image

    def list(
        self,
        *,
        board_id: str | None = None,
        category: MediaCategory | None = None,
        is_intermediate: bool | None = None,
        search: str | None = None,
        starred_first: bool = True,
    ) -> AsyncGenerator[Image, None]:
        """Yield all images, newest first, fetched page by page; starred ones before the others unless switched off.

        `board_id` may be `"none"` for images on no board; `search` looks in the metadata. Images may be deleted while
        the list is read: which ones it has is known at the beginning.
        """
        return self._records(
            board_id=board_id,
            category=category,
            is_intermediate=is_intermediate,
            search=search,
            starred_first=starred_first,
        )

    async def names(
        self,
        *,
        board_id: str | None = None,
        category: MediaCategory | None = None,
        is_intermediate: bool | None = None,
        search: str | None = None,
        starred_first: bool = True,
        only_starred: bool = False,
    ) -> builtins.list[str]:
        """Return the names of all images, in the order of `list`, with one request."""
        filters = {
            "board_id": board_id,
            "categories": category,
            "is_intermediate": is_intermediate,
            "search_term": search,
            "starred_first": starred_first or only_starred,
        }
        return await self._names(filters, only_starred=only_starred)

    def starred(self, *, board_id: str | None = None) -> AsyncGenerator[Image, None]:
        """Yield the starred images, newest first."""
        return self._records(board_id=board_id, only_starred=True)

    async def latest(
        self, count: int = 1, *, board_id: str | None = None, category: MediaCategory | None = "general"
    ) -> builtins.list[Image]:
        """Return the newest results that are not intermediate, newest first, `count` at most.

        `category="user"` returns the newest uploads, `None` the newest of any category.
        """
        params = {
            "board_id": board_id,
            "categories": category,
            "is_intermediate": False,
            "starred_first": False,
            "offset": 0,
            "limit": count,
        }
        return await self._transport.get("/api/v1/images/", params, read=at("items", list_of(Image.of)))

    async def upload(
        self,
        data: FileContent,
        name: str | None = None,
        *,
        board_id: str | None = None,
        category: MediaCategory = "user",
        is_intermediate: bool = False,
    ) -> Image:
        """Upload an image file, given as bytes or as a path; the server keeps it as PNG under a name of its own.

        If the answer is lost, the image is looked for among the newest ones. Raises `UnsupportedMediaError` for
        anything but an image, `NotFoundError` for an unknown board, and `UploadUncertainError`.
        """
        params = {"image_category": category, "is_intermediate": is_intermediate, "board_id": board_id}
        return await self._upload(data, name, params)

    async def copy(self, name: str, *, board_id: str | None = None) -> Image:
        """Upload an image of the server once more, with its embedded workflow and metadata. Raises `NotFoundError`."""
        image, data = await self.get(name), await self.read(name)
        category: Any = image.image_category or "user"
        return await self.upload(
            data, name, board_id=board_id, category=category, is_intermediate=image.is_intermediate
        )

    async def update(
        self,
        name: str,
        *,
        category: MediaCategory | None = None,
        is_intermediate: bool | None = None,
        starred: bool | None = None,
    ) -> Image:
        """Change what the server knows of an image; `None` leaves a property as it is. Raises `NotFoundError`."""
        changes = {"image_category": category, "is_intermediate": is_intermediate, "starred": starred}
        body = {key: value for key, value in changes.items() if value is not None}
        return await self._transport.send("PATCH", self._path(name), json=body, read=Image.of)

    async def download_zip(
        self,
        target: str | os.PathLike[str],
        *,
        names: Iterable[str] = (),
        board_id: str | None = None,
        timeout: float = 600.0,
    ) -> int:
        """Save images, by name or all of a board, as one ZIP file that the server makes; return its size in bytes.

        Raises `RequestTimeoutError` if the server has not made the file after `timeout` seconds, `ServerError` if it
        cannot (an unknown board or image), and `ConnectionFailedError` if the server's events, which say when the file is
        complete, do not arrive (a proxy without websockets, for example).
        """
        path, asked = file_target(target), {"image_names": [*names] or None, "board_id": board_id}
        connections = await load("invokeai_gen.server.event_connection")
        try:
            async with connections.event_connection(self._transport, "bulk_download", "default") as events:
                made: str = await self._transport.send(
                    "POST", f"{self._root}download", json=asked, read=at("bulk_download_item_name", text)
                )
                # As the GUI does: asked before, the server sends as much of the file as it has, and then deletes it.
                try:
                    async with asyncio.timeout(timeout):
                        await _until_complete(made, events)
                except TimeoutError:
                    raise RequestTimeoutError(f"the server did not make the ZIP file within {timeout:g} s") from None
        except connections.FAULTS as error:
            raise ConnectionFailedError(
                "the server's events, which say when the ZIP file is complete, cannot be received "
                f"({type(error).__name__}); download the images one by one"
            ) from error
        return await download(self._transport, f"{self._root}download/{segment(made)}", path)

    async def workflow(self, name: str) -> dict[str, Any] | None:
        """Return the workflow embedded in the image, or `None`. Raises `NotFoundError`."""
        return await self._embedded(name, "workflow")

    async def graph(self, name: str) -> dict[str, Any] | None:
        """Return the graph embedded in the image, which is what really ran, or `None`. Raises `NotFoundError`."""
        return await self._embedded(name, "graph")

    async def move(self, names: str | Iterable[str], board_id: str | None) -> None:
        """Move images to a board; `None` or `"none"` takes them off their boards."""
        body: dict[str, Any] = {"image_names": as_names(names)}
        path = "/api/v1/board_images/batch/delete"
        if board_id not in (None, "none"):
            path, body["board_id"] = "/api/v1/board_images/batch", board_id
        await self._transport.send("POST", path, json=body, repeatable=True, read=ignored)

    async def count_intermediates(self) -> int:
        """Return how many intermediate images the server keeps."""
        return await self._transport.get("/api/v1/images/intermediates", read=integer)

    async def clear_intermediates(self) -> int:
        """Delete the intermediate images of the whole server that nothing refers to any more; return how many."""
        return await self._transport.send("DELETE", "/api/v1/images/intermediates", read=integer)

    async def _records(self, **filters: Any) -> AsyncGenerator[Image, None]:
        """Yield the images of `names` in their order, fetched page by page; those deleted meanwhile are left out.

        The names are known before the first image is yielded, so deleting or adding images on the way skips none, which
        paging by offset does.
        """
        names = await self.names(**filters)
        for start in range(0, len(names), constants.PAGE):
            page = names[start : start + constants.PAGE]
            body = {"image_names": page}
            found = await self._transport.send(
                "POST", f"{self._root}images_by_names", json=body, repeatable=True, read=list_of(Image.of)
            )
            records = {image.image_name: image for image in found}
            for name in page:
                if name in records:
                    yield records[name]

    async def _embedded(self, name: str, key: Literal["workflow", "graph"]) -> dict[str, Any] | None:
        """Return the data in an image under that key, which the server returns as JSON in a string."""

        def read(data: Any) -> dict[str, Any] | None:
            found = at(key, optional(text))(data)
            return None if found is None else mapping(json.loads(found))

        return await self._transport.get(self._path(name, "/workflow"), read=read)


async def _until_complete(zip_name: str, events: AsyncIterator[tuple[str, Any]]) -> None:
    """Wait until a ZIP file is complete. Raise `ServerError` if it cannot be made, or if the connection is lost."""
    async for event, data in events:
        if isinstance(data, dict) and data.get("bulk_download_item_name") == zip_name:
            if event == "bulk_download_complete":
                return
            if event == "bulk_download_error":
                raise ServerError(f"the server could not make the ZIP file: {plain(data.get('error'))}")
    raise ConnectionFailedError("the connection was lost while the server made the ZIP file")


class Images(Facade[AsyncImages]):
    """The images of one server."""

    get = facade(AsyncImages.get)
    names = facade(AsyncImages.names)
    latest = facade(AsyncImages.latest)
    upload = facade(AsyncImages.upload)
    copy = facade(AsyncImages.copy)
    update = facade(AsyncImages.update)
    read = facade(AsyncImages.read)
    thumbnail = facade(AsyncImages.thumbnail)
    download = facade(AsyncImages.download)
    download_zip = facade(AsyncImages.download_zip)
    metadata = facade(AsyncImages.metadata)
    workflow = facade(AsyncImages.workflow)
    graph = facade(AsyncImages.graph)
    star = facade(AsyncImages.star)
    move = facade(AsyncImages.move)
    delete = facade(AsyncImages.delete)
    count_intermediates = facade(AsyncImages.count_intermediates)
    clear_intermediates = facade(AsyncImages.clear_intermediates)
    list = iterating(AsyncImages.list)
    starred = iterating(AsyncImages.starred)
