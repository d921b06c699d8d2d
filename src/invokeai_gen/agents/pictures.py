"""Images on their way to an agent and from one: links, small copies, and files below the folders that were allowed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import quote, unquote

from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.values import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image

InlineFormat: TypeAlias = Literal["png", "jpeg", "webp"]
LINK: Final = "invokeai://images/"
MAX_SIDE: Final = 768
"""Pixels of the longer side of an image that is sent inline; less, if that is what it takes to keep within its size."""


def link_of(name: str) -> str:
    """Return the link that stands for an image of the server."""
    return LINK + quote(name, safe="")


def name_in(link: str) -> str:
    """Return the name in a link to an image. Raise `ValueError` for any other text."""
    name = unquote(link.removeprefix(LINK))
    if not link.startswith(LINK) or not name or "/" in name or "\\" in name:
        raise ValueError(f"a link to an image looks like {LINK}NAME")
    return name


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of this machine whose images an agent may name. None are allowed unless the user says so."""

    allowed: tuple[Path, ...] = ()

    def resolve(self, value: JsonValue) -> object:
        """Return an image argument as `Params` take it: links and paths resolved, everything else unchanged.

        Raise `ValueError` for an address, and for a file that is not below an allowed folder after symbolic links.
        """
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if isinstance(value, dict) and isinstance(path := value.get("path"), str):
            return self._file(path)
        if not isinstance(value, str) or value.startswith("data:"):
            return value
        if value.startswith(LINK):
            return ImageRef(name_in(value))
        if "://" in value or value.lower().startswith("file:"):
            raise ValueError("an address cannot be used: give a name on the server, an invokeai:// link, or a data URL")
        return self._file(value) if "/" in value or "\\" in value else value

    def _file(self, text: str) -> Path:
        for folder in self.allowed:
            path = (folder.resolve() / text).resolve()
            if path.is_relative_to(folder.resolve()) and path.is_file():
                return path
        where = f"below {', '.join(map(str, self.allowed))}" if self.allowed else "allowed (see --allow-dir)"
        raise ValueError(f"no such file is {where}")


def small_copy(image: Image, form: InlineFormat, max_bytes: int) -> bytes | None:
    """Return an image file of at most `max_bytes`, as base64 counts them; `None` if it would be too small to see."""
    side = min(MAX_SIDE, max(image.size))
    while side >= min(64, max(image.size)):
        copy = image.convert("RGB") if form == "jpeg" else image.copy()
        copy.thumbnail((side, side))
        buffer = io.BytesIO()
        copy.save(buffer, form.upper(), quality=85)
        if len(buffer.getvalue()) * 4 / 3 <= max_bytes:
            return buffer.getvalue()
        side = side * 3 // 4
    return None
