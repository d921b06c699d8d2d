"""What can be done with the images and videos of a run: read, save, convert, and ask about.

Each method has an async version whose name starts with `a`.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, get_args

from invokeai_gen.core.file_names import safe_name
from invokeai_gen.core.pictures import DEFAULT_QUALITY, FORMATS, ImageFormat, converted, open_image
from invokeai_gen.core.values import VideoRef
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.errors import DecodeError
from invokeai_gen.server.facades import blocking
from invokeai_gen.server.other_loops import unbroken
from invokeai_gen.server.run_errors import NotCompletedError
from invokeai_gen.server.transfers import save_bytes, save_file, write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from invokeai_gen.server.boards import Board
    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.images import AsyncImages, Image
    from invokeai_gen.server.videos import AsyncVideos, Video

P = ParamSpec("P")
T = TypeVar("T")
_VIDEO_FORMATS: Final = {"mp4", "webm", "mov", "mkv"}


class MediaMethods(ABC):
    """What images and videos have in common."""

    __slots__ = ()
    if TYPE_CHECKING:
        name: str
        width: int
        height: int
        client: AsyncInvokeAIClient | None

    @property
    @abstractmethod
    def stored(self) -> AsyncImages | AsyncVideos:
        """The images or videos of the server that has this one. Raises `NotCompletedError` without a server."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; zeros if the node that returned it did not say."""
        return self.width, self.height

    async def abytes(self) -> bytes:
        """Return the file as the server has it; of an image, a PNG. Raises `NotFoundError` if it was deleted."""
        return await self.stored.read(self.name)

    async def ametadata(self) -> dict[str, Any]:
        """Return what the server stores about how it was made: prompt, seed, models …; empty if nothing."""
        return await self.stored.metadata(self.name)

    async def asave_metadata(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Save `metadata` as a JSON file. Raises `FileExistsError` as `save` does."""
        content = json.dumps(await self.ametadata(), ensure_ascii=False, indent=2) + "\n"
        await save_bytes(Path(path), content.encode(), overwrite=overwrite)

    async def adownload(
        self, folder: str | os.PathLike[str], *, include_metadata: bool = False, overwrite: bool = False
    ) -> Path:
        """Save the file as the server has it in a folder, under the server's name for it, and return the path.

        `include_metadata` saves the metadata beside it, as a JSON file. Raises `FileExistsError` as `save` does.
        """
        name, suffix = safe_name(self.name), media_suffix(self)
        target = Path(folder) / (name if name.lower().endswith(suffix) else name + suffix)
        await save_file(target, self._write, overwrite=overwrite)
        if include_metadata:
            await self.asave_metadata(target.with_suffix(".json"), overwrite=overwrite)
        return target

    async def _write(self, path: Path) -> None:
        await self.stored.download(self.name, path)

    bytes = blocking(abytes)
    metadata = blocking(ametadata)
    save_metadata = blocking(asave_metadata)
    download = blocking(adownload)


class ImageMethods(MediaMethods):
    """What can be done with an image."""

    __slots__ = ()

    @property
    def stored(self) -> AsyncImages:
        """The images of the server that has this one."""
        return _online(self.client).images

    async def asave(
        self, path: str | os.PathLike[str], *, quality: int = DEFAULT_QUALITY, overwrite: bool = False
    ) -> Path:
        """Save the image as `path`, creating its folders, and return the path.

        The file appears when it is complete. A name that ends in `.jpg`, `.jpeg` or `.webp` converts the image, which
        needs Pillow, with `quality` from 1 to 100; any other name gets the server's own file, a PNG. Raises
        `FileExistsError` if another file has that name, unless `overwrite`.
        """
        path = Path(path)
        form = FORMATS.get(path.suffix.lower())
        if form is None:
            return await save_file(path, self._write, overwrite=overwrite)

        async def write(target: Path) -> None:
            await unbroken(in_thread(write_bytes, target, await self.aas_format(form, quality=quality)))

        return await save_file(path, write, overwrite=overwrite)

    async def apil(self) -> PILImage:
        """Return the image as a Pillow image. Raises `DecodeError` if it cannot be read, `ImportError` without Pillow."""
        return await self._read(open_image, await self.abytes())

    async def aas_format(self, form: ImageFormat, *, quality: int = DEFAULT_QUALITY) -> bytes:
        """Return the image as a file of another format, which needs Pillow. `quality`, 1 to 100, is for JPEG and WebP.

        JPEG has no transparency: transparent pixels become white. Raises `ValueError` for a format that is not in
        `ImageFormat`.
        """
        if form not in get_args(ImageFormat):
            raise ValueError(f"the format of an image is one of {', '.join(get_args(ImageFormat))}, not as {form!r}")
        data = await self.abytes()
        return data if form == "png" else await self._read(converted, data, form, quality)

    async def ainfo(self) -> Image:
        """Return what the server knows about the image: board, category, whether it is starred …"""
        return await self.stored.get(self.name)

    async def aseed(self) -> int | None:
        """Return the seed in the metadata; `None` if the workflow puts none there (a `core_metadata` node does)."""
        seed = (await self.ametadata()).get("seed")
        return seed if isinstance(seed, int) else None

    async def aboard(self) -> Board | None:
        """Return the board that the image is on now; `None` for no board."""
        board_id = (await self.ainfo()).board_id
        return await _online(self.client).boards.get(board_id) if board_id is not None else None

    async def _read(self, read: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await in_thread(read, *args, **kwargs)
        except ValueError as error:
            raise DecodeError(f"image {self.name!r} cannot be read: {error}") from error

    save = blocking(asave)
    pil = blocking(apil)
    as_format = blocking(aas_format)
    info = blocking(ainfo)
    seed = blocking(aseed)
    board = blocking(aboard)

    def _repr_png_(self) -> Any:
        """Return the picture for a notebook."""
        return self.bytes()


class VideoMethods(MediaMethods):
    """What can be done with a video."""

    __slots__ = ()

    @property
    def stored(self) -> AsyncVideos:
        """The videos of the server that has this one."""
        return _online(self.client).videos

    async def asave(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the video as `path`, creating its folders, and return the path. The file appears when it is complete.

        Raises `FileExistsError` if another file has that name, unless `overwrite`.
        """
        return await save_file(Path(path), self._write, overwrite=overwrite)

    async def ainfo(self) -> Video:
        """Return what the server knows about the video: length, frames per second, board, whether it is starred …"""
        return await self.stored.get(self.name)

    save = blocking(asave)
    info = blocking(ainfo)


def media_suffix(media: MediaMethods) -> str:
    """Return the suffix of a saved file. A server chooses names, but must not choose which program opens a file."""
    if not isinstance(media, VideoRef):
        return ".png"
    suffix = media.name.lower().rpartition(".")[2]
    return f".{suffix}" if suffix in _VIDEO_FORMATS else ".mp4"


def _online(client: AsyncInvokeAIClient | None) -> AsyncInvokeAIClient:
    if client is None:
        raise NotCompletedError("this output was created without a server, so there is nothing to download")
    return client
