"""Objects that are known by their attributes alone, for type checkers: what inputs accept, and what a server reports.

At run time the checks of `values` look for the attributes.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Protocol


class PillowImage(Protocol):
    """A `PIL.Image.Image`; Pillow need not be installed."""

    @property
    def mode(self) -> str:
        """Pillow's name of the pixel format, such as `RGB`."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def save(self, fp: BytesIO, /, format: str | None = None) -> None:
        """Write the image in a file format."""
        ...


class ReadableFile(Protocol):
    """A file opened in binary mode, or a `BytesIO`."""

    def read(self) -> bytes:
        """Return the rest of the file."""
        ...


class ArrayLike(Protocol):
    """An array of numpy, which need not be installed."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


class ImageRecord(Protocol):
    """An image as `client.images` returns it."""

    @property
    def image_name(self) -> str:
        """The name on the server."""
        ...


class VideoRecord(Protocol):
    """A video as `client.videos` returns it."""

    @property
    def video_name(self) -> str:
        """The name on the server."""
        ...


class BoardRecord(Protocol):
    """A board as `client.boards` returns it."""

    @property
    def board_id(self) -> str:
        """The id, which is unique on one server."""
        ...

    @property
    def board_name(self) -> str:
        """Name; not unique."""
        ...

    @property
    def image_count(self) -> int:
        """Number of images on the board."""
        ...


class ModelRecord(Protocol):
    """A model as `client.models` returns it."""

    @property
    def key(self) -> str:
        """Unique on one server."""
        ...

    @property
    def hash(self) -> str:
        """Hash of its files, the same on all servers."""
        ...

    @property
    def name(self) -> str:
        """The name that the GUI shows."""
        ...

    @property
    def base(self) -> str:
        """`sd-1`, `sdxl`, `flux` …"""
        ...

    @property
    def type(self) -> str:
        """`main`, `vae`, `lora` …"""
        ...

    @property
    def variant(self) -> str | None:
        """Variant, such as `inpaint`."""
        ...

    @property
    def format(self) -> str | None:
        """Format of its files, such as `diffusers`."""
        ...
