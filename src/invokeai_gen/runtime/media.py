"""Handles on what a run left on the server: images, videos, latents and conditioning.

A handle has a name and a client; nothing is downloaded before it is used. Each method has an async version whose name
starts with `a`. What files are made of it is in `media_files`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.core.image_formats import DEFAULT_QUALITY, ImageFormat
from invokeai_gen.core.results import flat
from invokeai_gen.core.values import ImageRef, VideoRef
from invokeai_gen.loading import load
from invokeai_gen.server.background import blocking

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.images import AsyncImages
    from invokeai_gen.server.inventory import Board, Image, Video
    from invokeai_gen.server.videos import AsyncVideos

_FILES: Final = "invokeai_gen.runtime.media_files"


class _Media(ABC):
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
        """The images or videos of the server, of which this is one. Raises `NotCompletedError` without a server."""

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
        await (await load(_FILES)).save_json(await self.ametadata(), Path(path), overwrite=overwrite)

    async def adownload(
        self, folder: str | os.PathLike[str], *, include_metadata: bool = False, overwrite: bool = False
    ) -> Path:
        """Save the file as the server has it in a folder, under the server's name for it, and return the path.

        `include_metadata` saves the metadata beside it, as a JSON file. Raises `FileExistsError` as `save` does.
        """
        download = (await load(_FILES)).download
        saved: Path = await download(self, Path(folder), include_metadata=include_metadata, overwrite=overwrite)
        return saved

    bytes = blocking(abytes)
    metadata = blocking(ametadata)
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

    @property
    def stored(self) -> AsyncImages:
        """The images of the server, of which this is one."""
        return online(self.client).images

    async def asave(
        self, path: str | os.PathLike[str], *, quality: int = DEFAULT_QUALITY, overwrite: bool = False
    ) -> Path:
        """Save the image as `path`, creating its folders, and return the path.

        The file appears when it is complete. A name that ends in `.jpg`, `.jpeg` or `.webp` converts the image, which
        needs Pillow, with `quality` from 1 to 100; any other name gets the server's own file, a PNG. Raises
        `FileExistsError` if another file has that name, unless `overwrite`.
        """
        saved: Path = await (await load(_FILES)).save(self, Path(path), quality=quality, overwrite=overwrite)
        return saved

    async def apil(self) -> PILImage:
        """Return the image as a Pillow image. Raises `DecodeError` if it cannot be read, `ImportError` without Pillow."""
        image: PILImage = await (await load(_FILES)).pillow_image(self)
        return image

    async def aas_format(self, form: ImageFormat, *, quality: int = DEFAULT_QUALITY) -> bytes:
        """Return the image as a file of another format, which needs Pillow. `quality`, 1 to 100, is for JPEG and WebP.

        JPEG has no transparency: transparent pixels become white. Raises `ValueError` for a format that is not in
        `ImageFormat`.
        """
        data: bytes = await (await load(_FILES)).as_format(self, form, quality)
        return data

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
        return await online(self.client).boards.get(board_id) if board_id is not None else None

    save = blocking(asave)
    pil = blocking(apil)
    as_format = blocking(aas_format)
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

    @property
    def stored(self) -> AsyncVideos:
        """The videos of the server, of which this is one."""
        return online(self.client).videos

    async def asave(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the video as `path`, creating its folders, and return the path. The file appears when it is complete.

        Raises `FileExistsError` if another file has that name, unless `overwrite`.
        """
        saved: Path = await (await load(_FILES)).save(self, Path(path), overwrite=overwrite)
        return saved

    async def ainfo(self) -> Video:
        """Return what the server knows about the video: length, frames per second, board, whether it is starred …"""
        return await self.stored.get(self.name)

    save = blocking(asave)
    info = blocking(ainfo)


def online(client: AsyncInvokeAIClient | None) -> AsyncInvokeAIClient:
    """Return the client of a handle. Raises `NotCompletedError` if it has none."""
    if client is None:
        from invokeai_gen.server.run_errors import NotCompletedError

        raise NotCompletedError("this output was created without a server, so there is nothing to download")
    return client


def media(value: Any) -> list[ImageOutput | VideoOutput]:
    """Return the images and videos in an output, in order."""
    return [item for item in flat(value) if isinstance(item, (ImageOutput, VideoOutput))]
