"""Handles on what a run left on the server: images, videos, latents and conditioning.

A handle has a name and a client; nothing is downloaded before it is used. Each method has an async version whose name
starts with `a`.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from invokeai_gen.core.image_formats import DEFAULT_QUALITY, FORMATS, ImageFormat
from invokeai_gen.core.results import flat
from invokeai_gen.core.values import ImageRef, VideoRef
from invokeai_gen.server.background import blocking, in_thread, load
from invokeai_gen.server.errors import DecodeError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.inventory import Board, Image, Video

_SAVING: Final = "invokeai_gen.server.saving"
_VIDEO_FORMATS: Final = {"mp4", "webm", "mov", "mkv"}


class _Media(ABC):
    """What images and videos have in common."""

    __slots__ = ()
    if TYPE_CHECKING:
        name: str
        width: int
        height: int
        client: AsyncInvokeAIClient | None

    @abstractmethod
    async def ametadata(self) -> dict[str, Any]: ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; zeros if the node that returned it did not say."""
        return self.width, self.height

    async def asave_metadata(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Save `metadata` as a JSON file. Raises `FileExistsError` as `save` does."""
        saving = await load(_SAVING)
        await saving.save_bytes(Path(path), json_bytes(await self.ametadata()), overwrite=overwrite)

    async def adownload(
        self, folder: str | os.PathLike[str], *, include_metadata: bool = False, overwrite: bool = False
    ) -> Path:
        """Save the file as the server has it in a folder, under the server's name for it, and return the path.

        `include_metadata` saves the metadata beside it, as a JSON file. Raises `FileExistsError` as `save` does.
        """
        names = await load("invokeai_gen.core.file_names")
        name, suffix = names.safe_name(self.name), media_suffix(self)
        target: Path = Path(folder) / (name if name.lower().endswith(suffix) else name + suffix)
        client = _client(self.client)

        async def write(path: Path) -> None:  # not what the suffix says: the file as the server has it
            await (client.images if isinstance(self, ImageRef) else client.videos).download(self.name, path)

        saving = await load(_SAVING)
        await saving.save_file(target, write, overwrite=overwrite)
        if include_metadata:
            await self.asave_metadata(target.with_suffix(".json"), overwrite=overwrite)
        return target

    save_metadata = blocking(asave_metadata)
    download = blocking(adownload)


@dataclass(frozen=True, slots=True)
class ImageOutput(_Media, ImageRef):
    """An image that a node returned. It may be given as the value of an image input of another workflow."""

    width: int = 0
    """Pixels."""
    height: int = 0
    """Pixels."""
    node_id: str = ""
    """Id of the node in the workflow that returned it."""
    client: AsyncInvokeAIClient | None = field(default=None, repr=False, compare=False)

    async def abytes(self) -> bytes:
        """Return the image file (PNG) as the server keeps it. Raises `NotFoundError` if it was deleted."""
        return await _client(self.client).images.read(self.name)

    async def asave(
        self, path: str | os.PathLike[str], *, quality: int = DEFAULT_QUALITY, overwrite: bool = False
    ) -> Path:
        """Save the image as `path`, creating its folders, and return the path.

        The file appears when it is complete. A name that ends in `.jpg`, `.jpeg` or `.webp` converts the image, which
        needs Pillow, with `quality` from 1 to 100; any other name gets the server's own file, a PNG. Raises
        `FileExistsError` if another file has that name, unless `overwrite`.
        """
        saving = await load(_SAVING)

        async def write(target: Path) -> None:
            form = FORMATS.get(target.suffix.lower())
            if form is None:
                await _client(self.client).images.download(self.name, target)
            else:
                await in_thread(saving.write_bytes, target, await self.aas_format(form, quality=quality))

        saved: Path = await saving.save_file(Path(path), write, overwrite=overwrite)
        return saved

    async def apil(self) -> PILImage:
        """Return the image as a Pillow image. Raises `DecodeError` if it cannot be read, `ImportError` without Pillow."""
        return await in_thread(_pillow, self.name, await self.abytes())

    async def aas_format(self, form: ImageFormat, *, quality: int = DEFAULT_QUALITY) -> bytes:
        """Return the image as a file of another format, which needs Pillow. `quality`, 1 to 100, is for JPEG and WebP.

        JPEG has no transparency: transparent pixels become white. Raises `ValueError` for a format that is not in
        `ImageFormat`.
        """
        if form not in get_args(ImageFormat):
            raise ValueError(f"the format of an image is one of {', '.join(get_args(ImageFormat))}, not as {form!r}")
        data = await self.abytes()
        return data if form == "png" else await in_thread(_converted, self.name, data, form, quality)

    async def ametadata(self) -> dict[str, Any]:
        """Return what the server stores about how the image was made: prompt, seed, models …; empty if nothing."""
        return await _client(self.client).images.metadata(self.name)

    async def ainfo(self) -> Image:
        """Return what the server knows about the image: board, category, whether it is starred …"""
        return await _client(self.client).images.get(self.name)

    async def aseed(self) -> int | None:
        """Return the seed in the metadata; `None` if the workflow puts none there (a `core_metadata` node does)."""
        seed = (await self.ametadata()).get("seed")
        return seed if isinstance(seed, int) else None

    async def aboard(self) -> Board | None:
        """Return the board that the image is on now; `None` for no board."""
        board_id = (await self.ainfo()).board_id
        return await _client(self.client).boards.get(board_id) if board_id is not None else None

    bytes = blocking(abytes)
    save = blocking(asave)
    pil = blocking(apil)
    as_format = blocking(aas_format)
    metadata = blocking(ametadata)
    info = blocking(ainfo)
    seed = blocking(aseed)
    board = blocking(aboard)

    def _repr_png_(self) -> Any:
        """Return the picture for a notebook."""
        return self.bytes()


@dataclass(frozen=True, slots=True)
class VideoOutput(_Media, VideoRef):
    """A video that a node returned. It may be given as the value of a video input of another workflow."""

    width: int = 0
    """Pixels."""
    height: int = 0
    """Pixels."""
    node_id: str = ""
    """Id of the node in the workflow that returned it."""
    client: AsyncInvokeAIClient | None = field(default=None, repr=False, compare=False)

    async def abytes(self) -> bytes:
        """Return the video file. Raises `NotFoundError` if it was deleted."""
        return await _client(self.client).videos.read(self.name)

    async def asave(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the video as `path`, creating its folders, and return the path. The file appears when it is complete.

        Raises `FileExistsError` if another file has that name, unless `overwrite`.
        """
        saving = await load(_SAVING)

        async def write(target: Path) -> None:
            await _client(self.client).videos.download(self.name, target)

        saved: Path = await saving.save_file(Path(path), write, overwrite=overwrite)
        return saved

    async def ametadata(self) -> dict[str, Any]:
        """Return what the server stores about how the video was made; empty if nothing."""
        return await _client(self.client).videos.metadata(self.name)

    async def ainfo(self) -> Video:
        """Return what the server knows about the video: length, frames per second, board, whether it is starred …"""
        return await _client(self.client).videos.get(self.name)

    bytes = blocking(abytes)
    save = blocking(asave)
    metadata = blocking(ametadata)
    info = blocking(ainfo)


def media_suffix(handle: _Media) -> str:
    """Return the suffix of a saved file. A server chooses names, but must not choose which program opens a file."""
    if isinstance(handle, ImageRef):
        return ".png"
    suffix = handle.name.lower().rpartition(".")[2]
    return f".{suffix}" if suffix in _VIDEO_FORMATS else ".mp4"


def json_bytes(data: Any) -> bytes:
    """Return indented JSON for people, with Unicode as it is."""
    return (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode()


def _client(client: AsyncInvokeAIClient | None) -> AsyncInvokeAIClient:
    if client is None:
        from invokeai_gen.server.run_errors import NotCompletedError

        raise NotCompletedError("this output was created without a server, so there is nothing to download")
    return client


def _pillow(name: str, data: bytes) -> PILImage:
    from invokeai_gen.core.image_files import open_image

    try:
        return open_image(data)
    except ValueError as error:
        raise DecodeError(f"image {name!r} cannot be read: {error}") from error


def _converted(name: str, data: bytes, form: ImageFormat, quality: int) -> bytes:
    from invokeai_gen.core.image_files import converted

    try:
        return converted(data, form, quality)
    except ValueError as error:
        raise DecodeError(f"image {name!r} cannot be read: {error}") from error


def media(value: Any) -> list[ImageOutput | VideoOutput]:
    """Return the images and videos in an output, in order."""
    return [item for item in flat(value) if isinstance(item, (ImageOutput, VideoOutput))]
