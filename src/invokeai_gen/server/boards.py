"""The boards of a server's gallery."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Literal

from invokeai_gen.server.background import facade
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.records import Board


class AsyncBoards:
    """The boards of one server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, *, include_archived: bool = False) -> builtins.list[Board]:
        """All boards, oldest first. Names are not unique."""
        params = {
            "all": True,
            "order_by": "created_at",
            "direction": "ASC",
            "include_archived": include_archived,
        }
        return [Board.of(item) for item in await self._transport.get("/api/v1/boards/", params)]

    async def get(self, board_id: str) -> Board:
        """The board of that id. Raises `NotFoundError`."""
        return Board.of(await self._transport.get(_path(board_id)))

    async def find(self, name: str) -> builtins.list[Board]:
        """The boards that have exactly this name, archived ones included: none, one or several."""
        return [board for board in await self.list(include_archived=True) if board.board_name == name]

    async def create(self, name: str) -> Board:
        """A new board, even where one of that name exists."""
        return Board.of(await self._transport.send("POST", "/api/v1/boards/", params={"board_name": name}))

    async def rename(self, board_id: str, name: str) -> Board:
        """Gives a board another name. Raises `NotFoundError` or, on older servers, `ServerFaultError`."""
        return Board.of(await self._transport.send("PATCH", _path(board_id), json={"board_name": name}))

    async def archive(self, board_id: str, *, archived: bool = True) -> Board:
        """Archives a board, or brings it back."""
        return Board.of(await self._transport.send("PATCH", _path(board_id), json={"archived": archived}))

    async def delete(self, board_id: str, *, images: Literal["keep", "delete"] = "keep") -> builtins.list[str]:
        """Deletes a board and returns the names of the images deleted with it; kept ones are then on no board."""
        answer = await self._transport.send(
            "DELETE", _path(board_id), params={"include_images": True if images == "delete" else None}
        )
        return [*answer["deleted_images"]]

    @contextlib.asynccontextmanager
    async def temporary(
        self, name: str = "temporary", *, images: Literal["keep", "delete"] = "keep"
    ) -> AsyncIterator[Board]:
        """A new board for the time of a `with` block; what is on it at the end is kept, on no board, or deleted too."""
        board = await self.create(name)
        try:
            yield board
        finally:
            with contextlib.suppress(NotFoundError):
                await self.delete(board.board_id, images=images)

    async def image_names(self, board_id: str) -> builtins.list[str]:
        """Names of the images on a board (`"none"` for those on no board), intermediate ones included."""
        return [*await self._transport.get(f"{_path(board_id)}/image_names")]


class Boards:
    """The boards of one server."""

    def __init__(self, core: AsyncBoards) -> None:
        self._core = core

    list = facade(AsyncBoards.list)
    get = facade(AsyncBoards.get)
    find = facade(AsyncBoards.find)
    create = facade(AsyncBoards.create)
    rename = facade(AsyncBoards.rename)
    archive = facade(AsyncBoards.archive)
    delete = facade(AsyncBoards.delete)
    image_names = facade(AsyncBoards.image_names)

    @contextlib.contextmanager
    def temporary(self, name: str = "temporary", *, images: Literal["keep", "delete"] = "keep") -> Iterator[Board]:
        """A new board for the time of a `with` block; what is on it at the end is kept, on no board, or deleted too."""
        board = self.create(name)
        try:
            yield board
        finally:
            with contextlib.suppress(NotFoundError):
                self.delete(board.board_id, images=images)


def _path(board_id: str) -> str:
    return f"/api/v1/boards/{segment(board_id)}"
