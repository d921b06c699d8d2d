"""The bytes of an image or a video that a user gave as a value."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from invokeai_gen.core.pictures import png_bytes
from invokeai_gen.server.resolution_errors import MediaResolutionError, ValueResolutionError


def is_file(value: Any) -> bool:
    """Return whether a value stands for a file on this machine, not for the name of one on the server."""
    return not isinstance(value, str) or os.path.isfile(value)


def check_file(label: str, value: Any) -> None:
    """Raise `MediaResolutionError` if a file cannot be read, without reading all of it."""
    if isinstance(value, (str, Path)):
        try:
            with open(value, "rb"):
                pass
        except OSError as error:
            raise _unreadable(label, Path(value), error) from None


def read_file(label: str, value: Any) -> tuple[bytes, str]:
    """Return the bytes and the name of a file to upload; a Pillow image becomes a PNG file.

    Raises `MediaResolutionError` for a file that cannot be read and for an image that has no PNG form, such as one of
    floating-point numbers.
    """
    if isinstance(value, bytes):
        return value, "upload"
    if isinstance(value, (str, Path)):
        path = Path(value)
        try:
            return path.read_bytes(), path.name
        except OSError as error:
            raise _unreadable(label, path, error) from None
    if hasattr(value, "save") and hasattr(value, "mode"):
        try:
            return png_bytes(value), "image.png"
        except ValueError as error:
            raise MediaResolutionError(label, f"{error}.") from None
    raise ValueResolutionError(label, f"{type(value).__name__} is neither a file, nor bytes, nor a Pillow image.")


def _unreadable(label: str, path: Path, error: OSError) -> MediaResolutionError:
    return MediaResolutionError(label, f"{path} cannot be read: {error.strerror or error}.")
