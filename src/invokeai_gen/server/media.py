"""What images and videos on a server have in common: uploads that happen once, deletions, lists that survive deletions."""

from __future__ import annotations

import contextlib
import io
import os
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Generic, Literal, TypeAlias, TypeVar

from invokeai_gen.server import constants
from invokeai_gen.server.answers import Reader, anything, at, ignored, list_of, mapping, optional, text
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.errors import NotFoundError, StatusError
from invokeai_gen.server.facades import AsyncPart
from invokeai_gen.server.http import segment
from invokeai_gen.server.idempotency import send_once
from invokeai_gen.server.records import ServerRecord
from invokeai_gen.server.removal import Removal, delete_once
from invokeai_gen.server.run_errors import UploadUncertainError
from invokeai_gen.server.transfers import download, file_target, read_file, upload

M = TypeVar("M", bound=ServerRecord)
MediaCategory: TypeAlias = Literal["general", "user", "mask", "control", "other"]
FileContent: TypeAlias = "bytes | str | os.PathLike[str]"
"""The bytes of a file, or its path."""


class StoredMedia(AsyncPart, Generic[M]):
    """The images or the videos of one server, as far as they are alike."""

    _kind: ClassVar[Literal["image", "video"]]
    _format: ClassVar[str]
    """Of uploads without a file name."""
    _record: type[M]

    async def get(self, name: str) -> M:
        """Return what the server knows of the image or video of that name. Raises `NotFoundError`."""
        return await self._transport.get(self._path(name), read=self._record.of)

    async def read(self, name: str) -> bytes:
        """Return the file as the server has it; of an image, a PNG. Raises `NotFoundError`."""
        return await read_file(self._transport, self._path(name, "/full"))

    async def thumbnail(self, name: str) -> bytes:
        """Return a small picture of it as a WebP file. Raises `NotFoundError`."""
        return await read_file(self._transport, self._path(name, "/thumbnail"))

    async def download(self, name: str, target: str | os.PathLike[str]) -> int:
        """Stream the file to `target`, which appears when it is complete, and return its size in bytes.

        An existing file is replaced. Raises `NotFoundError`, and `IsADirectoryError` for a folder.
        """
        return await download(self._transport, self._path(name, "/full"), file_target(target))

    async def metadata(self, name: str) -> dict[str, Any]:
        """Return what the server keeps about how it was made (prompt, seed, models …); empty if nothing."""
        return await self._transport.get(self._path(name, "/metadata"), read=optional(mapping)) or {}

    async def star(self, names: str | Iterable[str], *, starred: bool = True) -> None:
        """Star one or several by name, or take their stars away."""
        path, body = f"{self._root}{'star' if starred else 'unstar'}", {f"{self._kind}_names": as_names(names)}
        await self._transport.send("POST", path, json=body, repeatable=True, read=ignored)

    async def delete(self, names: str | Iterable[str]) -> Removal:
        """Delete one or several by name. Those that do not exist or could not be deleted are named in `failed`."""
        asked = as_names(names)
        if not asked:
            return Removal()

        async def delete(was_sent: bool, may_repeat: bool) -> Removal:
            body = {f"{self._kind}_names": asked}
            gone, refused = await self._transport.send(
                "POST", f"{self._root}delete", json=body, repeatable=may_repeat, read=self._read_deletion
            )
            failed = {}
            for name in asked:
                if name not in gone:  # the server skips unknown images without a word, and calls unknown videos failed
                    is_there = name in refused and await self._exists(name)
                    if is_there or not was_sent:
                        failed[name] = "the server could not delete it" if is_there else "not on the server"
            return Removal(deleted=tuple(name for name in asked if name not in failed), failed=failed)

        try:
            return await delete_once(delete)
        except StatusError as error:
            return Removal(failed=dict.fromkeys(asked, str(error)))

    def _read_deletion(self, data: Any) -> tuple[set[str], set[str]]:
        """Return which names were deleted, and which the server could not delete."""
        deleted: list[str] = at(f"deleted_{self._kind}s", list_of(text))(data)
        return {*deleted}, {*list_of(text)(data.get(f"failed_{self._kind}s") or [])}

    async def _exists(self, name: str) -> bool:
        try:
            await self.get(name)
        except NotFoundError:
            return False
        return True

    async def _upload(self, data: FileContent, name: str | None, params: Mapping[str, Any]) -> M:
        """Upload a file exactly once, even if an answer is lost.

        Only the id of a session can mark an upload. With a new one for each, the file can be recognised in a list; no
        queue item ever has that session.
        """
        marker = str(uuid.uuid4())
        read: Reader[M] = self._record.of

        async def find() -> M | None:
            newest = {"is_intermediate": params["is_intermediate"], "starred_first": False, "limit": constants.PAGE}
            found = await self._transport.get(self._root, newest, read=at("items", list_of(mapping)))
            return next((read(item) for item in found if item.get("session_id") == marker), None)

        async with opened(data, name, f"{self._kind}.{self._format}") as (content, file_name):
            file = file_name, content, f"{self._kind}/{self._format}"

            async def send() -> M:
                marked = {**params, "session_id": marker}
                return await upload(self._transport, f"{self._root}upload", file, marked, read=read)

            return await send_once(send, find, partial(UploadUncertainError, file_name))

    async def _names(self, filters: Mapping[str, Any], *, only_starred: bool = False) -> list[str]:
        """Return the names of all that the filters select, in the server's order."""

        def read(data: Any) -> list[str]:
            names = at(f"{self._kind}_names", list_of(text))(data)
            return names[: at("starred_count", anything)(data)] if only_starred else names

        return await self._transport.get(f"{self._root}names", filters, read=read)

    @property
    def _root(self) -> str:
        return f"/api/v1/{self._kind}s/"

    def _path(self, name: str, part: str = "") -> str:
        return f"{self._root}i/{segment(name)}{part}"


def as_names(names: str | Iterable[str]) -> list[str]:
    """Return several names, or a single one, as a list."""
    return [names] if isinstance(names, str) else list(names)


@contextlib.asynccontextmanager
async def opened(data: FileContent, name: str | None, default_name: str) -> AsyncIterator[tuple[BinaryIO, str]]:
    """Yield a file to upload, opened for reading, and its name. Raises `OSError` if its path cannot be read.

    It is sent piece by piece. Only a pipe is read into memory, because its length has to be known first.
    """
    if not isinstance(data, (str, os.PathLike)):
        yield io.BytesIO(data), name or default_name
        return
    path = Path(data)
    files: list[BinaryIO] = []
    is_wanted = True

    def open_file() -> BinaryIO:
        file = path.open("rb")
        if not file.seekable():
            with file:
                return io.BytesIO(file.read())
        files.append(file)
        if not is_wanted:
            file.close()
        return file

    try:
        file = await in_thread(open_file)
    except BaseException:
        # The thread cannot be waited for: a pipe opens when somebody else writes to it, and ends when they have.
        is_wanted = False
        for each in files:
            each.close()
        raise
    with file:
        yield file, name or path.name
