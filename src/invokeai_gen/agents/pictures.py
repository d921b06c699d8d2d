"""Images as agents name them: links, and files in the folders that the user allowed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from invokeai_gen.core.plan import JsonValue
from invokeai_gen.core.values import ImageRef

LINK: Final = "invokeai://images/"


def link_of(name: str) -> str:
    """Return the link to an image on the server."""
    return LINK + quote(name, safe="")


def name_in(link: str) -> str:
    """Return the name in a link to an image. Raise `ValueError` for any other text."""
    name = unquote(link.removeprefix(LINK))
    if not link.startswith(LINK) or not name or "/" in name or "\\" in name:
        raise ValueError(f"a link to an image looks like {LINK}NAME")
    return name


@dataclass(frozen=True, slots=True)
class Folders:
    """The local folders whose images an agent may name; by default there are no such folders."""

    allowed: tuple[Path, ...] = ()

    def resolve(self, value: JsonValue) -> object:
        """Return an image argument as `Params` take it, with links and paths resolved.

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
        if not self.allowed:
            raise ValueError("files cannot be used: the server was started without --allow-dir")
        raise ValueError(f"file not found in {', '.join(map(str, self.allowed))}")
