"""Images and videos of a run as files: what is written, under which suffix, and in which format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias, TypeVar, get_args

from invokeai_gen.core.file_names import safe_name
from invokeai_gen.core.image_files import converted, open_image
from invokeai_gen.core.image_formats import DEFAULT_QUALITY, FORMATS, ImageFormat
from invokeai_gen.runtime.media import ImageOutput, VideoOutput
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.errors import DecodeError
from invokeai_gen.server.saving import save_bytes, save_file, write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

Media: TypeAlias = ImageOutput | VideoOutput
P = ParamSpec("P")
T = TypeVar("T")
_VIDEO_FORMATS: Final = {"mp4", "webm", "mov", "mkv"}


def media_suffix(media: Media) -> str:
    """Return the suffix of a saved file. A server chooses names, but must not choose which program opens a file."""
    if isinstance(media, ImageOutput):
        return ".png"
    suffix = media.name.lower().rpartition(".")[2]
    return f".{suffix}" if suffix in _VIDEO_FORMATS else ".mp4"


async def save(media: Media, path: Path, *, quality: int = DEFAULT_QUALITY, overwrite: bool) -> Path:
    """Save an image, in the format that the suffix of `path` says, or a video; see `ImageOutput.asave`."""
    form = FORMATS.get(path.suffix.lower()) if isinstance(media, ImageOutput) else None

    async def write(target: Path) -> None:
        if form is not None and isinstance(media, ImageOutput):
            await in_thread(write_bytes, target, await media.aas_format(form, quality=quality))
        else:
            await media.stored.download(media.name, target)

    return await save_file(path, write, overwrite=overwrite)


async def download(media: Media, folder: Path, *, include_metadata: bool, overwrite: bool) -> Path:
    """Save the file as the server has it, under the server's name for it; see `ImageOutput.adownload`."""
    name, suffix = safe_name(media.name), media_suffix(media)
    target = folder / (name if name.lower().endswith(suffix) else name + suffix)

    async def write(path: Path) -> None:
        await media.stored.download(media.name, path)

    await save_file(target, write, overwrite=overwrite)
    if include_metadata:
        await media.asave_metadata(target.with_suffix(".json"), overwrite=overwrite)
    return target


async def save_json(data: Any, path: Path, *, overwrite: bool) -> None:
    """Save data as indented JSON for people, with Unicode as it is."""
    content = (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode()
    await save_bytes(path, content, overwrite=overwrite)


async def pillow_image(image: ImageOutput) -> PILImage:
    """Return an image as a Pillow image; see `ImageOutput.apil`."""
    return await _read(image, open_image, await image.abytes())


async def as_format(image: ImageOutput, form: ImageFormat, quality: int) -> bytes:
    """Return an image as a file of another format; see `ImageOutput.aas_format`."""
    if form not in get_args(ImageFormat):
        raise ValueError(f"the format of an image is one of {', '.join(get_args(ImageFormat))}, not as {form!r}")
    data = await image.abytes()
    return data if form == "png" else await _read(image, converted, data, form, quality)


async def _read(image: ImageOutput, read: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await in_thread(read, *args, **kwargs)
    except ValueError as error:
        raise DecodeError(f"image {image.name!r} cannot be read: {error}") from error
