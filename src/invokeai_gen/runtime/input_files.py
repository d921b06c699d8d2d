"""The bytes of an image or a video that a user gave as a value."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from invokeai_gen.core.pictures import png_bytes
from invokeai_gen.server.resolution_errors import MediaResolutionError, ValueResolutionError


def files_among(values: Iterable[tuple[str, Any]]) -> dict[tuple[str, int], MediaResolutionError | None]:
    """Return which values are files here, by label and identity, with an error for each that cannot be read.

    Files are opened, not read. All in one call: with a thread for each, 10,000 images would take seconds.
    """
    found: dict[tuple[str, int], MediaResolutionError | None] = {}
    for label, value in values:
        if isinstance(value, str) and not os.path.isfile(value):
            continue
        found[label, id(value)] = None
        if isinstance(value, (str, Path)):
            try:
                Path(value).open("rb").close()
            except OSError as error:
                found[label, id(value)] = _unreadable(label, Path(value), error)
    return found


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
