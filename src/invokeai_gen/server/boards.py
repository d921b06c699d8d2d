"""The boards of a server's gallery, and `BoardHandle` for one of them."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from invokeai_gen.server.answers import at, list_of, text
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.facades import AsyncPart, Facade, facade, iterating
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.records import ServerRecord
from invokeai_gen.server.removal import Removal, delete_thing

if TYPE_CHECKING:
    from invokeai_gen.server.images import Image
    from invokeai_gen.server.media import FileContent, MediaCategory

UNCATEGORIZED: Final = "none"
"""What InvokeAI calls the board of the images on no board."""
OnDelete = Literal["keep", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board(ServerRecord):
    """A board of the gallery."""

    board_id: str
    board_name: str
    image_count: int = 0
    """Results on the board, without intermediate ones."""
    asset_count: int = 0
    """Uploads on the board."""
    video_count: int = 0
    archived: bool = False
    cover_image_name: str | None = None
    created_at: datetime | None = None


class AsyncBoards(AsyncPart):
    """The boards of one server."""

    async def list(self, *, include_archived: bool = False) -> builtins.list[Board]:
        """Return all boards, oldest first. Names are not unique."""
        params = {"all": True, "order_by": "created_at", "direction": "ASC", "include_archived": include_archived}
        return await self._transport.get("/api/v1/boards/", params, read=list_of(Board.of))

    async def get(self, board_id: str) -> Board:
        """Return the board of that id. Raises `NotFoundError`."""
        return await self._transport.get(_path(board_id), read=Board.of)

    async def find(self, name: str) -> builtins.list[Board]:
        """Return the boards with exactly this name, archived ones included: none, one or several."""
        return [board for board in await self.list(include_archived=True) if board.board_name == name]

    async def create(self, name: str) -> Board:
        """Create a board, even if one of that name exists."""
        return await self._transport.send("POST", "/api/v1/boards/", params={"board_name": name}, read=Board.of)

    async def rename(self, board_id: str, name: str) -> Board:
        """Give a board another name. Raises `NotFoundError` or, on older servers, `ServerFaultError`."""
        return await self._change(board_id, board_name=name)

    async def archive(self, board_id: str, *, archived: bool = True) -> Board:
        """Archive a board, or bring it back."""
        return await self._change(board_id, archived=archived)

    async def set_cover(self, board_id: str, image_name: str) -> Board:
        """Make an image the cover of a board."""
        return await self._change(board_id, cover_image_name=image_name)

    async def delete(self, board_id: str, *, images: OnDelete = "keep") -> builtins.list[str]:
        """Delete a board and return the names of the images deleted with it; kept ones are then on no board.

        Raises `NotFoundError`.
        """
        params = {"include_images": True if images == "delete" else None}
        read = at("deleted_images", list_of(text))
        return await delete_thing(self._transport, _path(board_id), params, read=read, gone=[])

    @contextlib.asynccontextmanager
    async def temporary(self, name: str = "temporary", *, images: OnDelete = "keep") -> AsyncIterator[Board]:
        """Create a board for the duration of a `with` block; its images are kept, on no board, or deleted with it."""
        board = await self.create(name)
        try:
            yield board
        finally:
            with contextlib.suppress(NotFoundError):
                await self.delete(board.board_id, images=images)

    async def image_names(self, board_id: str) -> builtins.list[str]:
        """Return the names of the images on a board (`"none"`: on no board), intermediate ones included."""
        return await self._transport.get(f"{_path(board_id)}/image_names", read=list_of(text))

    def handle(self, board_id: str = UNCATEGORIZED) -> AsyncBoardHandle:
        """Return a handle for the board of that id, by default for the images on no board. No request is sent."""
        return AsyncBoardHandle(self._transport, board_id)

    async def _change(self, board_id: str, **changes: Any) -> Board:
        return await self._transport.send("PATCH", _path(board_id), json=changes, read=Board.of)


class _OneBoard:
    board_id: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.board_id!r})"

    @property
    def is_uncategorized(self) -> bool:
        """Whether this is the group of images without a board, which cannot be read, renamed or deleted."""
        return self.board_id == UNCATEGORIZED


class AsyncBoardHandle(_OneBoard):
    """One board of one server, or (`"none"`) the images that are on no board."""

    def __init__(self, transport: Transport, board_id: str) -> None:
        from invokeai_gen.server.images import AsyncImages

        self.board_id = board_id
        self._boards = AsyncBoards(transport)
        self._images = AsyncImages(transport)

    async def get(self) -> Board:
        """Return the board as it is now. Raises `NotFoundError`."""
        return await self._boards.get(self.board_id)

    def list(
        self, *, category: MediaCategory | None = None, is_intermediate: bool | None = False
    ) -> AsyncGenerator[Image, None]:
        """Yield the images on the board, newest first, starred ones before the others."""
        return self._images.list(board_id=self.board_id, category=category, is_intermediate=is_intermediate)

    async def image_names(self) -> builtins.list[str]:
        """Return the names of the images on the board, intermediate ones included."""
        return await self._boards.image_names(self.board_id)

    async def latest(self, count: int = 1, *, category: MediaCategory | None = "general") -> builtins.list[Image]:
        """Return the newest images on the board, `count` at most; see `AsyncImages.latest`."""
        return await self._images.latest(count, board_id=self.board_id, category=category)

    async def upload(self, data: FileContent, name: str | None = None, *, category: MediaCategory = "user") -> Image:
        """Upload an image, given as bytes or as a path, to the board."""
        board_id = None if self.is_uncategorized else self.board_id
        return await self._images.upload(data, name, board_id=board_id, category=category)

    async def add(self, names: str | Iterable[str]) -> None:
        """Move images to the board, off the one they are on."""
        await self._images.move(names, self.board_id)

    async def remove(self, names: str | Iterable[str]) -> None:
        """Take images off the board; they stay on the server."""
        await self._images.move(names, None)

    async def star(self, names: str | Iterable[str], *, starred: bool = True) -> None:
        """Star images of the board, or take their stars away."""
        await self._images.star(names, starred=starred)

    async def rename(self, name: str) -> Board:
        """Give the board another name."""
        return await self._boards.rename(self.board_id, name)

    async def clear(self) -> Removal:
        """Delete every image on the board."""
        return await self._images.delete(await self.image_names())

    async def delete(self, *, images: OnDelete = "keep") -> builtins.list[str]:
        """Delete the board and return the names of the images deleted with it; kept ones are then on no board."""
        return await self._boards.delete(self.board_id, images=images)


class Boards(Facade[AsyncBoards]):
    """The boards of one server."""

    list = facade(AsyncBoards.list)
    get = facade(AsyncBoards.get)
    find = facade(AsyncBoards.find)
    create = facade(AsyncBoards.create)
    rename = facade(AsyncBoards.rename)
    archive = facade(AsyncBoards.archive)
    set_cover = facade(AsyncBoards.set_cover)
    delete = facade(AsyncBoards.delete)
    image_names = facade(AsyncBoards.image_names)

    @contextlib.contextmanager
    def temporary(self, name: str = "temporary", *, images: OnDelete = "keep") -> Iterator[Board]:
        """Create a board for the duration of a `with` block; its images are kept, on no board, or deleted with it."""
        board = self.create(name)
        try:
            yield board
        finally:
            with contextlib.suppress(NotFoundError):
                self.delete(board.board_id, images=images)

    def handle(self, board_id: str = UNCATEGORIZED) -> BoardHandle:
        """Return a handle for the board of that id, by default for the images on no board. No request is sent."""
        return BoardHandle(self._core.handle(board_id))


class BoardHandle(_OneBoard, Facade[AsyncBoardHandle]):
    """One board of one server, or (`"none"`) the images that are on no board."""

    def __init__(self, core: AsyncBoardHandle) -> None:
        super().__init__(core)
        self.board_id = core.board_id

    list = iterating(AsyncBoardHandle.list)
    get = facade(AsyncBoardHandle.get)
    image_names = facade(AsyncBoardHandle.image_names)
    latest = facade(AsyncBoardHandle.latest)
    upload = facade(AsyncBoardHandle.upload)
    add = facade(AsyncBoardHandle.add)
    remove = facade(AsyncBoardHandle.remove)
    star = facade(AsyncBoardHandle.star)
    rename = facade(AsyncBoardHandle.rename)
    clear = facade(AsyncBoardHandle.clear)
    delete = facade(AsyncBoardHandle.delete)


def _path(board_id: str) -> str:
    return f"/api/v1/boards/{segment(board_id)}"
