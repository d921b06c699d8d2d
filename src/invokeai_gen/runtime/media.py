"""Handles on what a run left on the server: images, videos, latents and conditioning.

A handle is known by its name and knows its server; nothing is transferred before it is asked for. Each method has an
asynchronous twin whose name starts with `a`.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from invokeai_gen.atomic_files import replacing
from invokeai_gen.core.file_names import safe_name
from invokeai_gen.core.values import ImageRef, VideoRef
from invokeai_gen.server.background import blocking, in_thread
from invokeai_gen.server.errors import DecodeError, NotCompletedError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from invokeai_gen.server.client import AsyncInvokeAIClient
    from invokeai_gen.server.records import Board, Image, Video

ImageFormat: TypeAlias = Literal["png", "jpeg", "webp"]
_FORMATS: Final[Mapping[str, ImageFormat]] = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_VIDEO_FORMATS: Final = {"mp4", "webm", "mov", "mkv"}
DEFAULT_QUALITY: Final = 90


@dataclass(frozen=True, slots=True)
class ImageOutput(ImageRef):
    """An image that a node returned. It may be given as the value of an image input of another workflow."""

    width: int = 0
    """Pixels."""
    height: int = 0
    """Pixels."""
    node_id: str = ""
    """Id of the node in the workflow that returned it."""
    client: AsyncInvokeAIClient | None = field(default=None, repr=False, compare=False)

    async def abytes(self) -> bytes:
        """The image file (PNG) as the server keeps it. Raises `NotFoundError` once it was deleted."""
        return await _client(self.client).images.read(self.name)

    async def asave(self, path: str | os.PathLike[str], *, quality: int = DEFAULT_QUALITY) -> Path:
        """Saves the image as `path`, making its folders, and returns the path.

        The file appears when it is complete. A name that ends in `.jpg`, `.jpeg` or `.webp` has the image converted
        (that takes Pillow), with `quality` from 1 to 100; any other name gets the server's own file, a PNG.
        """
        target = Path(path)
        await in_thread(target.parent.mkdir, parents=True, exist_ok=True)
        form = _FORMATS.get(target.suffix.lower())
        if form is None:
            await _client(self.client).images.download(self.name, target)
        else:
            data = await self.aas_format(form, quality=quality)
            await in_thread(write_bytes, target, data)
        return target

    async def apil(self) -> PILImage:
        """The image as a Pillow image. Raises `DecodeError` where it cannot be read, `ImportError` without Pillow."""
        return await in_thread(_open, self.name, await self.abytes())

    async def aas_format(self, form: ImageFormat, *, quality: int = DEFAULT_QUALITY) -> bytes:
        """The image as a file of another format; `quality` from 1 to 100 is for JPEG and WebP. Takes Pillow.

        JPEG has no transparency: what is transparent becomes white. Raises `ValueError` for a format that is none of
        `ImageFormat`.
        """
        if form not in get_args(ImageFormat):
            raise ValueError(f"an image can be had as {', '.join(get_args(ImageFormat))}, not as {form!r}")
        data = await self.abytes()
        return data if form == "png" else await in_thread(_converted, self.name, data, form, quality)

    async def ametadata(self) -> dict[str, Any]:
        """What the server keeps about how the image was made: prompt, seed, models …; empty where it has nothing."""
        return await _client(self.client).images.metadata(self.name)

    async def asave_metadata(self, path: str | os.PathLike[str]) -> None:
        """Writes `metadata` as a JSON file."""
        await in_thread(write_bytes, Path(path), json_bytes(await self.ametadata()))

    async def adownload(self, folder: str | os.PathLike[str], *, include_metadata: bool = False) -> Path:
        """Saves the server's own file in a folder, which is made, under the server's name for it; returns the path.

        `include_metadata` puts the metadata beside it, as a JSON file. Raises `FileExistsError` where another file has
        such a name already.
        """
        return await _download(self, folder, include_metadata)

    async def ainfo(self) -> Image:
        """What the server knows of the image: board, category, whether it is starred …"""
        return await _client(self.client).images.get(self.name)

    async def aseed(self) -> int | None:
        """The seed in the metadata, where the workflow put one there (a `core_metadata` node, or the like)."""
        seed = (await self.ametadata()).get("seed")
        return seed if isinstance(seed, int) else None

    async def aboard(self) -> Board | None:
        """The board that the image is on now; `None` for no board."""
        board_id = (await self.ainfo()).board_id
        return await _client(self.client).boards.get(board_id) if board_id is not None else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; zeros where the node that returned it did not say."""
        return self.width, self.height

    bytes = blocking(abytes)
    save = blocking(asave)
    pil = blocking(apil)
    as_format = blocking(aas_format)
    metadata = blocking(ametadata)
    save_metadata = blocking(asave_metadata)
    download = blocking(adownload)
    info = blocking(ainfo)
    seed = blocking(aseed)
    board = blocking(aboard)

    def _repr_png_(self) -> Any:
        """The picture in a notebook."""
        return self.bytes()


@dataclass(frozen=True, slots=True)
class VideoOutput(VideoRef):
    """A video that a node returned. It may be given as the value of a video input of another workflow."""

    width: int = 0
    """Pixels."""
    height: int = 0
    """Pixels."""
    node_id: str = ""
    """Id of the node in the workflow that returned it."""
    client: AsyncInvokeAIClient | None = field(default=None, repr=False, compare=False)

    async def abytes(self) -> bytes:
        """The video file. Raises `NotFoundError` once it was deleted."""
        return await _client(self.client).videos.read(self.name)

    async def asave(self, path: str | os.PathLike[str]) -> Path:
        """Saves the video as `path`, making its folders, and returns the path; the file appears when it is complete."""
        target = Path(path)
        await in_thread(target.parent.mkdir, parents=True, exist_ok=True)
        await _client(self.client).videos.download(self.name, target)
        return target

    async def ametadata(self) -> dict[str, Any]:
        """What the server keeps about how the video was made; empty where it has nothing."""
        return await _client(self.client).videos.metadata(self.name)

    async def asave_metadata(self, path: str | os.PathLike[str]) -> None:
        """Writes `metadata` as a JSON file."""
        await in_thread(write_bytes, Path(path), json_bytes(await self.ametadata()))

    async def adownload(self, folder: str | os.PathLike[str], *, include_metadata: bool = False) -> Path:
        """Saves the video in a folder, which is made, under the server's name for it; returns the path.

        `include_metadata` puts the metadata beside it, as a JSON file. Raises `FileExistsError` where another file has
        such a name already.
        """
        return await _download(self, folder, include_metadata)

    async def ainfo(self) -> Video:
        """What the server knows of the video: length, frames per second, board, whether it is starred …"""
        return await _client(self.client).videos.get(self.name)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; zeros where the node that returned it did not say."""
        return self.width, self.height

    bytes = blocking(abytes)
    save = blocking(asave)
    metadata = blocking(ametadata)
    save_metadata = blocking(asave_metadata)
    download = blocking(adownload)
    info = blocking(ainfo)


@dataclass(frozen=True, slots=True)
class LatentsOutput:
    """Latents that a node returned. The server keeps them for its own nodes only: there is nothing to download."""

    name: str
    width: int
    """Pixels of the image that they stand for."""
    height: int
    """Pixels of the image that they stand for."""
    seed: int | None = None
    node_id: str = ""


@dataclass(frozen=True, slots=True)
class MaskOutput:
    """A mask that a node returned. The server keeps it for its own nodes only: there is nothing to download."""

    name: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    node_id: str = ""


@dataclass(frozen=True, slots=True)
class ConditioningOutput:
    """Conditioning that a node returned. The server keeps it for its own nodes only: there is nothing to download."""

    name: str
    node_id: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Everything the node returned, as JSON."""


def write_bytes(target: Path, data: bytes) -> None:
    """Writes a file that appears under its name only when it is complete."""
    with replacing(target) as file:
        file.write(data)


def save_image(image: PILImage, target: Path) -> None:
    """Saves a Pillow image without transparency, making its folders, in the format that the name says, else as PNG."""
    if target.is_dir() or not target.name:
        raise IsADirectoryError(f"{target} is a folder: name a file in it, such as sheet.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        image.save(file, _FORMATS.get(target.suffix.lower(), "png"), quality=DEFAULT_QUALITY)


def media_suffix(handle: ImageOutput | VideoOutput) -> str:
    """How the name of a saved file ends. Servers choose names, but what opens a file is not for them to choose."""
    if isinstance(handle, ImageOutput):
        return ".png"
    suffix = handle.name.lower().rpartition(".")[2]
    return f".{suffix}" if suffix in _VIDEO_FORMATS else ".mp4"


async def _download(handle: ImageOutput | VideoOutput, folder: str | os.PathLike[str], include_metadata: bool) -> Path:
    name, suffix = safe_name(handle.name), media_suffix(handle)
    target = Path(folder) / (name if name.lower().endswith(suffix) else name + suffix)
    client = _client(handle.client)
    await in_thread(target.parent.mkdir, parents=True, exist_ok=True)
    if await in_thread(target.exists):
        await in_thread(_check_same, target, await handle.abytes())
    else:
        # Not what the suffix says: the file as the server has it.
        await (client.images if isinstance(handle, ImageOutput) else client.videos).download(handle.name, target)
    if include_metadata:
        beside, metadata = target.with_suffix(".json"), json_bytes(await handle.ametadata())
        is_there = await in_thread(beside.exists)
        await in_thread(_check_same if is_there else write_bytes, beside, metadata)
    return target


def _check_same(target: Path, data: bytes) -> None:
    """A server may call an image what it likes; that must not cost anybody a file of the same name."""
    if target.read_bytes() != data:
        raise FileExistsError(f"{target} is there already, and is another file")


def json_bytes(data: Any) -> bytes:
    """JSON for people: indented, Unicode as it is."""
    return (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode()


def _client(client: AsyncInvokeAIClient | None) -> AsyncInvokeAIClient:
    if client is None:
        raise NotCompletedError("this output was made without a server, so there is nothing to download")
    return client


def _open(name: str, data: bytes) -> PILImage:
    try:
        import PIL.Image
    except ImportError as error:
        raise ImportError("images as Pillow objects need Pillow: pip install 'invokeai-gen[images]'") from error
    try:
        image = PIL.Image.open(io.BytesIO(data))
        image.load()
    except OSError as error:
        raise DecodeError(f"image {name!r} cannot be read: {error}") from error
    return image


def _converted(name: str, data: bytes, form: ImageFormat, quality: int) -> bytes:
    image = _open(name, data)
    if form == "jpeg":
        image = _flat(image)
    buffer = io.BytesIO()
    image.save(buffer, form.upper(), quality=quality)
    return buffer.getvalue()


def _flat(image: PILImage) -> PILImage:
    """The image on white, without transparency."""
    import PIL.Image

    if image.mode == "RGB":
        return image
    layered = image.convert("RGBA")
    white = PIL.Image.new("RGBA", layered.size, "white")
    white.alpha_composite(layered)
    return white.convert("RGB")
