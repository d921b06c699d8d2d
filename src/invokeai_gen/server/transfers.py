"""Files to and from a server: uploads, downloads, checks that what arrives is a complete file, and saving.

There is one policy for a file that already exists, for single images and whole sweeps:

* A file with the same content is left as it is, so the same results can be saved again.
* Any other file is never replaced: `FileExistsError`, and nothing is lost.
* `overwrite=True` replaces it.

A pattern, such as `"{item_id}-{output}"`, gives the results of several runs names of their own.
"""

from __future__ import annotations

import filecmp
import io
import os
import sys
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from invokeai_gen.atomic_files import replacing
from invokeai_gen.loading import load
from invokeai_gen.server.answers import Reader
from invokeai_gen.server.background import bridge, in_thread
from invokeai_gen.server.constants import MAX_FILE_IN_MEMORY
from invokeai_gen.server.errors import NotInvokeAIError
from invokeai_gen.server.http import ApiRequest, Transport, import_httpx_alone
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.server.response import BodyError, Response, collected
from invokeai_gen.texts import shortened

T = TypeVar("T")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"


async def upload(
    transport: Transport,
    path: str,
    file: tuple[str, BinaryIO, str],
    params: Mapping[str, Any] | None = None,
    *,
    read: Reader[T],
    method: str = "POST",
    field: str = "file",
) -> T:
    """Return what `read` makes of the JSON of a multipart request with one file: its name, content and MIME type.

    `field` is the name of the form's field.
    """
    await _load_connections()
    take = partial(Response.json, read=read)
    request = ApiRequest(method, path, method == "PUT", params, files={field: file}, is_for_file=True)
    return await bridge(transport.ask(request, take))


async def read_file(transport: Transport, path: str) -> bytes:
    """Return the file that a GET returns."""
    return await bridge(transport.ask(ApiRequest("GET", path, True), _content))


async def download(transport: Transport, path: str, target: Path) -> int:
    """Stream the file that a GET returns to `target`, and return its size in bytes.

    The file appears under its name only when it is complete: until then it has a temporary name in the same folder.
    """
    await _load_connections()
    return await bridge(_download(transport, path, target))


async def _load_connections() -> None:
    if "httpx" not in sys.modules:
        await in_thread(import_httpx_alone)
    await load("invokeai_gen.server.file_transport")


async def _download(transport: Transport, path: str, target: Path) -> int:
    with replacing(target) as file:
        return await transport.ask(ApiRequest("GET", path, True, is_for_file=True), partial(_save, file=file))


async def _content(response: Response) -> bytes:
    _refuse_page(response)
    data = await collected(response.chunks(), MAX_FILE_IN_MEMORY)
    _check_complete(io.BytesIO(data), len(data))
    return data


async def _save(response: Response, file: BinaryIO) -> int:
    """Write the file, in place of what an earlier attempt may have left there; return its size in bytes."""
    _refuse_page(response)
    file.seek(0)
    file.truncate()
    body = response.raw.extensions.get("invokeai_gen.body")
    if body is None:
        size = await _written(file, response.chunks())
    else:
        # In the thread that reads the connection, without a loop: nothing there waits for anything else.
        size = await body.read_by(lambda chunks: _at_once(_written(file, response.decoded(_each(chunks)))))
    _check_complete(file, size)
    return size


def _at_once(call: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits."""
    try:
        call.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")


async def _each(chunks: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


async def _written(file: BinaryIO, chunks: AsyncIterable[bytes]) -> int:
    """Write the pieces of a body to a file, and return its size."""
    size = 0
    async for chunk in chunks:
        size += file.write(chunk)
    return size


def _refuse_page(response: Response) -> None:
    """Refuse a login page or the like in place of a picture, even if its status is 200."""
    kind = response.raw.headers.get("content-type", "")
    if "html" in kind or "json" in kind:
        request = response.raw.request  # a redirect may have changed it
        raise NotInvokeAIError(
            f"{response.url} answered {request.method} {request.url.path} with {shortened(kind)} instead of a file"
        )


def _check_complete(file: BinaryIO, size: int) -> None:
    """Raise `BodyError` if a PNG, WebP or MP4 file ends too early; other formats are not judged.

    An answer without a length that breaks off looks like one that is complete.
    """
    file.seek(0)
    head = file.read(16)
    if head.startswith(_PNG):
        file.seek(max(0, size - len(_PNG_END)))
        is_cut = file.read() != _PNG_END
    elif head[:4] == b"RIFF":
        is_cut = size < int.from_bytes(head[4:8], "little") + 8
    elif head[4:8] == b"ftyp":
        is_cut = _is_cut_mp4(file, size)
    else:
        is_cut = not size
    if is_cut:
        raise BodyError(f"only {size} bytes of the file arrived", is_cut=True)


def _is_cut_mp4(file: BinaryIO, size: int) -> bool:
    """Whether the boxes that an MP4 file consists of end behind its end."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 0 and len(head) >= 8:  # up to the end of the file
            return False
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            return True
        place += length
    return place > size


def file_target(target: str | os.PathLike[str]) -> Path:
    """Return the path of a file to save. Raises `IsADirectoryError` for a folder."""
    path = Path(target)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    return path


async def save_file(target: Path, write: Callable[[Path], Awaitable[object]], *, overwrite: bool = False) -> Path:
    """Have `write` make the file `target`, and its folders, and return it.

    Raises `FileExistsError` if another file has that name, and `IsADirectoryError` if a folder has.
    """
    await in_thread(target.parent.mkdir, parents=True, exist_ok=True)
    await in_thread(file_target, target)
    if overwrite or not await in_thread(target.exists):
        await write(target)
        return target
    copy = target.with_name(f".{uuid.uuid4().hex}.part{target.suffix}")
    try:
        await write(copy)
        if not await in_thread(filecmp.cmp, copy, target, False):
            raise FileExistsError(
                f"{target} already exists, and its content is different: choose another name, folder or pattern, "
                "or pass overwrite=True"
            )
    finally:
        await in_thread(copy.unlink, missing_ok=True)
    return target


async def save_bytes(target: Path, data: bytes, *, overwrite: bool = False) -> Path:
    """Save bytes as a file; see `save_file`."""

    async def write(path: Path) -> None:
        await unbroken(in_thread(write_bytes, path, data))

    return await save_file(target, write, overwrite=overwrite)


def write_bytes(target: Path, data: bytes) -> None:
    """Write a file that appears under its name only when it is complete."""
    with replacing(target) as file:
        file.write(data)
