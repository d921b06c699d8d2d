"""Image files as Pillow images and back: which formats are opened and written. Everything here needs Pillow."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from invokeai_gen.core.image_formats import ImageFormat
from invokeai_gen.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

MAX_SIDE: Final = 768
"""Pixels of the longer side of a small copy; less if its file would be too large."""
_MIN_SIDE: Final = 64
_SERVER_FORMATS: Final = ("PNG", "WEBP", "JPEG")
"""What InvokeAI serves: images as PNG, thumbnails as WebP, previews as JPEG."""


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
        image = PIL.Image.open(io.BytesIO(data), formats=_SERVER_FORMATS)
        image.load()
    except Exception as error:
        raise ValueError(str(error)) from error
    return image


def converted(data: bytes, form: ImageFormat, quality: int) -> bytes:
    """Return an image file in another format. Raises what `open_image` raises."""
    image = open_image(data)
    if form == "jpeg":
        image = _flat(image)
    buffer = io.BytesIO()
    image.save(buffer, form.upper(), quality=quality)
    return buffer.getvalue()


def small_copy(image: PILImage, form: ImageFormat, max_bytes: int) -> bytes | None:
    """Return a small image file that is at most `max_bytes` long in base64; `None` if it would be too small to see."""
    image = _flat(image) if form == "jpeg" else image.copy()
    side = min(MAX_SIDE, max(image.size))
    while side >= min(_MIN_SIDE, max(image.size)):
        image.thumbnail((side, side))
        buffer = io.BytesIO()
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
