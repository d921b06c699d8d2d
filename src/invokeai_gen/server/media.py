"""What images and videos on a server have in common: uploads that happen once, deletions, lists that survive deletions."""

from __future__ import annotations

import contextlib
import io
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Generic, Literal, TypeAlias, TypeVar

from invokeai_gen.server import constants
from invokeai_gen.server.answers import Reader, anything, at, ignored, list_of, mapping, optional, text
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.deletion import delete_once
from invokeai_gen.server.errors import NotFoundError, StatusError
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.idempotency import send_once
from invokeai_gen.server.inventory import Image, Video
from invokeai_gen.server.removal import Removal
from invokeai_gen.server.run_errors import UploadUncertainError
from invokeai_gen.server.transfers import download, read_file, upload

R = TypeVar("R")
M = TypeVar("M", Image, Video)
MediaCategory: TypeAlias = Literal["general", "user", "mask", "control", "other"]
FileContent: TypeAlias = "bytes | str | os.PathLike[str]"
"""The bytes of a file, or its path."""


class StoredMedia(Generic[M]):
    """The images or the videos of one server, as far as they are alike."""

    _kind: ClassVar[Literal["image", "video"]]
    _record: type[M]

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

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
        return await delete_media(self._transport, self._kind, as_names(names))

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
    with await in_thread(path.open, "rb") as file:
        yield file if file.seekable() else io.BytesIO(await in_thread(file.read)), name or path.name


def file_target(target: str | os.PathLike[str]) -> Path:
    """Return the path of a file to save. Raises `IsADirectoryError` for a folder."""
    path = Path(target)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    return path


async def upload_once(
    transport: Transport, root: str, file: tuple[str, BinaryIO, str], params: Mapping[str, Any], read: Reader[R]
) -> R:
    """Upload a file (name, content, MIME type) to the collection at `root`; it exists once even if an answer is lost.

    The server has no other way to name an upload than the id of a session. With a new one for each upload, the file can
    be recognised in a list; no queue item ever has that session.
    """
    marker = str(uuid.uuid4())

    async def find() -> R | None:
        newest = {"is_intermediate": params["is_intermediate"], "starred_first": False, "limit": constants.PAGE}
        found = await transport.get(root, newest, read=at("items", list_of(mapping)))
        return next((read(item) for item in found if item.get("session_id") == marker), None)

    async def send() -> R:
        return await upload(transport, f"{root}upload", file, {**params, "session_id": marker}, read=read)

    return await send_once(send, find, partial(UploadUncertainError, file[0]))


async def delete_media(transport: Transport, kind: Literal["image", "video"], names: Sequence[str]) -> Removal:
    """Delete images or videos. Those that do not exist or could not be deleted are named in `failed`."""
    if not names:
        return Removal()

    async def delete(was_sent: bool, may_repeat: bool) -> Removal:
        answer = await transport.send(
            "POST",
            f"/api/v1/{kind}s/delete",
            json={f"{kind}_names": [*names]},
            repeatable=may_repeat,
            read=_deletion(kind),
        )
        gone, refused = answer
        failed = {}
        for name in names:
            if name not in gone:  # the server skips unknown images without a word, and calls unknown videos failed
                is_there = name in refused and await _exists(transport, f"/api/v1/{kind}s/i/{segment(name)}")
                if is_there or not was_sent:
                    failed[name] = "the server could not delete it" if is_there else "not on the server"
        return Removal(deleted=tuple(name for name in names if name not in failed), failed=failed)

    try:
        return await delete_once(delete)
    except StatusError as error:
        return Removal(failed=dict.fromkeys(names, str(error)))


async def _exists(transport: Transport, path: str) -> bool:
    try:
        await transport.get(path, read=ignored)
    except NotFoundError:
        return False
    return True


def _deletion(kind: str) -> Reader[tuple[set[str], set[str]]]:
    """Read which names were deleted, and which the server could not delete."""

    def read(data: Any) -> tuple[set[str], set[str]]:
        deleted = at(f"deleted_{kind}s", list_of(text))(data)
        return set(deleted), set(list_of(text)(data.get(f"failed_{kind}s") or []))

    return read


async def media_names(
    transport: Transport, kind: Literal["image", "video"], filters: Mapping[str, Any], *, only_starred: bool = False
) -> list[str]:
    """Return the names of all images or videos that the filters select, in the server's order."""

    def read(data: Any) -> list[str]:
        names = at(f"{kind}_names", list_of(text))(data)
        return names[: at("starred_count", anything)(data)] if only_starred else names

    return await transport.get(f"/api/v1/{kind}s/names", filters, read=read)


async def listed_images(transport: Transport, names: Sequence[str], read: Reader[R]) -> AsyncGenerator[R, None]:
    """Yield the images of these names in their order, fetched page by page; those deleted meanwhile are left out.

    The names are known before the first image is yielded, so deleting or adding images on the way skips none, which
    paging by offset does.
    """
    for start in range(0, len(names), constants.PAGE):
        page = names[start : start + constants.PAGE]
        found = await transport.send(
            "POST",
            "/api/v1/images/images_by_names",
            json={"image_names": [*page]},
            repeatable=True,
            read=list_of(lambda data: (at("image_name", text)(data), read(data))),
        )
        records = dict(found)
        for name in page:
            if name in records:
                yield records[name]
