"""Images and videos in memory, as people have them: open files, arrays, Pillow images of every mode, image files.

Pillow is only needed for arrays, for Pillow images, and to open or convert an image file.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeGuard

from invokeai_gen.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from invokeai_gen.core.duck_types import PillowImage

ImageFormat: TypeAlias = Literal["png", "jpeg", "webp"]
"""The formats that an image is saved in."""

FORMATS: Final[Mapping[str, ImageFormat]] = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
"""By the suffix of a file name; any other means PNG."""

DEFAULT_QUALITY: Final = 90

MAX_SIDE: Final = 768
"""Pixels of the longer side of a small copy; less if its file would be too large."""
_MIN_SIDE: Final = 64
_SERVER_FORMATS: Final = ("PNG", "WEBP", "JPEG")
"""What InvokeAI serves: images as PNG, thumbnails as WebP, previews as JPEG."""

_CONVERTED: Final = {
    "CMYK": "RGB",
    "I": "I;16",
    "HSV": "RGB",
    "LAB": "RGB",
    "YCbCr": "RGB",
    "PA": "RGBA",
    "La": "LA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
}
"""Modes that a PNG cannot hold, with the one that shows the same picture."""


_MIME_TYPES: Final = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)

_WANTED: Final = {
    "image": "Input should be an image: a path, bytes, an open file, a Pillow image, an array, or an ImageRef or name on "
    "the server",
    "video": "Input should be a video: a path, bytes, an open file, or a VideoRef or name on the server",
}


def is_picture(value: object) -> TypeGuard[PillowImage]:
    """Return whether a value is an image of Pillow, by its attributes: Pillow need not be installed."""
    return all(hasattr(value, name) for name in ("mode", "size", "save"))


def in_memory(kind: Literal["image", "video"], value: Any) -> Any:
    """Return an image in memory as bytes or a Pillow image, a video as bytes. Raises `ValueError` for anything else."""
    if kind == "image" and is_picture(value):
        if value.mode == "F":  # of floats, whose black and white points are unknown
            raise ValueError("Input should be an image with a range: scale mode F to 0–255 and convert it to L or RGB")
        return value
    content = None if kind == "video" and hasattr(value, "__array_interface__") else _content(value)
    if content is None:
        raise ValueError(_WANTED[kind])
    return content


def data_url(content: Any) -> str:
    """Return an image or video in memory as a data URL."""
    data = content if isinstance(content, bytes) else png_bytes(content)
    mime_type = next((name for start, name in _MIME_TYPES if data.startswith(start)), "")
    if not mime_type:
        mime_type = "video/mp4" if data[4:8] == b"ftyp" else "image/png"
    return f"data:{mime_type};base64,{binascii.b2a_base64(data, newline=False).decode()}"


def _content(value: Any) -> Any:
    """Return the content of an open file or a buffer as bytes, an array as a Pillow image; `None` for anything else.

    An open file is read from its beginning, regardless of its position. Raises `ValueError` for a file in text mode, and for an
    array that is not a picture: height × width, or with 1, 3 or 4 channels, of `uint8`.
    """
    if hasattr(value, "__array_interface__"):
        return _picture(value)
    content: bytes | None = None
    if isinstance(value, (bytes, bytearray, memoryview)):
        content = bytes(value)
    elif isinstance(value, BytesIO):
        content = value.getvalue()
    elif callable(getattr(value, "read", None)):
        content = _read(value)
    if content == b"":
        raise ValueError("Input should not be empty: the file has no bytes")
    return content


def png_bytes(image: Any) -> bytes:
    """Return a Pillow image as a PNG file. CMYK and other modes that PNG does not have become RGB or RGBA."""
    buffer = BytesIO()
    wanted = _CONVERTED.get(image.mode)
    (image if wanted is None else image.convert(wanted)).save(buffer, "PNG")
    return buffer.getvalue()


def _read(file: Any) -> bytes:
    if callable(getattr(file, "seekable", None)) and file.seekable():
        file.seek(0)
    content = file.read()
    if not isinstance(content, bytes):
        raise ValueError('Input should be a file opened in binary mode: open(path, "rb")')
    return content


def _picture(array: Any) -> Any:
    shape, kind = array.__array_interface__["shape"], array.__array_interface__["typestr"]
    is_picture = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
    if not is_picture or kind != "|u1" or 0 in shape:
        raise ValueError(
            f"Input should be an array of uint8, height × width × 1, 3 or 4 channels, not {kind[1:]} of shape {shape}"
        )
    try:
        import PIL.Image
    except ImportError:
        raise ValueError(str(MissingExtraError("Input should be an image; arrays need", "Pillow", "images"))) from None
    return PIL.Image.fromarray(array[:, :, 0] if len(shape) == 3 and shape[2] == 1 else array)


def open_image(data: bytes) -> PILImage:
    """Return an image file as a Pillow image.

    Only the formats that InvokeAI makes are opened: for some of the others, Pillow would start other programs. Raises
    `ValueError` for other formats, damaged files and images of an absurd size, and `ImportError` without Pillow.
    """
    try:
        import PIL.Image
    except ImportError as error:
        raise MissingExtraError("images as Pillow objects need", "Pillow", "images") from error
    try:
        image = PIL.Image.open(BytesIO(data), formats=_SERVER_FORMATS)
        image.load()
    except Exception as error:
        raise ValueError(str(error)) from error
    return image


def converted(data: bytes, form: ImageFormat, quality: int) -> bytes:
    """Return an image file in another format. Raises what `open_image` raises."""
    image = open_image(data)
    if form == "jpeg":
        image = _flat(image)
    buffer = BytesIO()
    image.save(buffer, form.upper(), quality=quality)
    return buffer.getvalue()


def small_copy(image: PILImage, form: ImageFormat, max_bytes: int) -> bytes | None:
    """Return a small image file that is at most `max_bytes` long in base64; `None` if it would be too small to see."""
    image = _flat(image) if form == "jpeg" else image.copy()
    side = min(MAX_SIDE, max(image.size))
    while side >= min(_MIN_SIDE, max(image.size)):
        image.thumbnail((side, side))
        buffer = BytesIO()
        image.save(buffer, form.upper(), quality=85)
        if len(buffer.getvalue()) * 4 / 3 <= max_bytes:
            return buffer.getvalue()
        side = side * 3 // 4
    return None


def _flat(image: PILImage) -> PILImage:
    """Return the image on white, without transparency."""
    import PIL.Image

    if image.mode == "RGB":
        return image
    layered = image.convert("RGBA")
    white = PIL.Image.new("RGBA", layered.size, "white")
    white.alpha_composite(layered)
    return white.convert("RGB")
