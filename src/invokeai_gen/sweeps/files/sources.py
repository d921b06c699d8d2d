"""Files that hold values: prompts, folders of images, texts of any common encoding, images that other files name.

One `TableError` reports everything that is wrong with such a file, before anything is sent to a server.
"""

from __future__ import annotations

import codecs
import functools
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from invokeai_gen.core.problems import ParamsError, Problem
from invokeai_gen.texts import first_of

MAX_SHOWN: Final = 20
"""How many problems the text of a `TableError` lists."""
IMAGE_SUFFIXES: Final = ("png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff")
_IMAGE_ENDING: Final = re.compile(rf"\.(?:{'|'.join(IMAGE_SUFFIXES)})$", re.IGNORECASE)
_LINE_FEED: Final = b"\n"
_DIGITS: Final = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class TableProblem(Problem):
    """A value of a file that cannot be used, or a file that cannot be used at all."""

    row: int = 0
    """The row as a spreadsheet counts them (its header is row 1), or the line of a JSONL file; 0 for the whole file."""
    column: str = ""
    """What the file calls the input; empty for a whole row."""


class TableError(ParamsError):
    """Files of values that cannot be used. `problems` has everything that is wrong, the text the first `MAX_SHOWN`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        if len(problems) > MAX_SHOWN:
            shown = first_of([problem.message for problem in self.problems], MAX_SHOWN)
            self.args = ("\n  ".join([f"{len(problems)} problems:", *shown]),)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], problem: str) -> TableError:
        """Return the error about a whole file."""
        return cls([TableProblem("", f"{os.fspath(path)} {problem}")])


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Raise `TableError` for a file that cannot be read, and for any other encoding.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise TableError.of_file(path, f"cannot be read: {error.strerror or error}") from None
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        place = "" if is_utf16 else f", first in line {data[: error.start].count(_LINE_FEED) + 1}"
    else:
        if "\0" not in text:
            return text
        place = ""
    raise TableError.of_file(path, f"is not a text in UTF-8{place}: save it as UTF-8, in Excel as 'CSV UTF-8'")


def read_prompts(path: str | os.PathLike[str]) -> list[str]:
    """Return the prompts in a text file, one in each line, without blanks around them.

    Empty lines and lines that start with `#` are skipped. Raise `TableError` for a file that cannot be read, is not
    UTF-8 (or UTF-16 with a byte order mark), or has no prompts.
    """
    lines = (line.strip() for line in lines_of(read_text(path)))
    prompts = [line for line in lines if line and not line.startswith("#")]
    if not prompts:
        raise TableError.of_file(
            path, "has no prompts: write one in each line (lines that start with '#' do not count)"
        )
    return prompts


def lines_of(text: str) -> list[str]:
    """Return the lines of a file of any system. Only line feeds and carriage returns end a line."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def image_files(where: str | os.PathLike[str]) -> list[Path]:
    """Return the image files in a folder, or those that match a pattern such as `photos/*.png` or `photos/**`.

    Images are recognised by their suffix (`IMAGE_SUFFIXES`, in upper or lower case); hidden files and subfolders are
    skipped (`**` in a pattern finds these). They are in natural order: `img2` before `img10`.
    Paths are relative if `where` is. Raise `TableError` if no image is found, or the folder is missing.
    """
    folder, text = Path(where), os.fspath(where)
    try:
        candidates = [*folder.iterdir()] if folder.is_dir() else [folder] if os.path.isfile(text) else _matching(text)
    except OSError as error:
        raise TableError.of_file(text, f"cannot be read: {error.strerror or error}") from None
    images = [path for path in candidates if _is_image(path)]
    if not images:
        looked = f"looked for {os.path.abspath(text)}"
        if not folder.is_dir() and not glob.has_magic(text):
            what = "is not the name of an image" if candidates else f"is neither a folder nor a file: {looked}"
            raise TableError.of_file(text, f"{what}; give a folder, or a pattern such as photos/*.png")
        other = f"{len(candidates)} other files" if len(candidates) != 1 else "1 other file"
        found = f"has no images, but {other}" if candidates else "has no images: nothing was found"
        raise TableError.of_file(text, f"{found} ({looked}); images end in {', '.join(IMAGE_SUFFIXES)}")
    return sorted(images, key=_natural)


def _matching(pattern: str) -> list[Path]:
    """Return the files that match a pattern, each once, however many links lead to its folder."""
    pattern = _IMAGE_ENDING.sub(
        lambda end: "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in end[0]), pattern
    )
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(map(Path, glob.glob(pattern, recursive=True)), key=lambda path: (len(path.parts), str(path))):
        found.setdefault((os.path.realpath(path.parent), path.name), path)
    return [*found.values()]


def _is_image(path: Path) -> bool:
    return not path.name.startswith(".") and _IMAGE_ENDING.search(path.name) is not None and os.path.isfile(path)


def _natural(path: Path) -> tuple[list[list[str | int]], str]:
    """Return a sort key: digits as numbers, letters regardless of case."""
    parts: list[list[str | int]] = [
        [int(part) if place % 2 else part.casefold() for place, part in enumerate(_DIGITS.split(name))]
        for name in path.parts
    ]
    return parts, str(path)


class Neighbourhood:
    """Finds the images and videos that a file names: beside the file, else in the working directory."""

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self._folder = Path(file).parent
        self._found = functools.cache(self._find)

    def located(self, value: Any) -> Any:
        """Return the value of an image or video input with paths relative to the working directory.

        A text without a folder that names no file may be an image on the server, and is kept. Raise `ValueError`, which
        says where it looked, for any other path without a file.
        """
        if isinstance(value, list):
            return [self.located(item) for item in value]
        return self._found(value) if isinstance(value, (str, Path)) and str(value).strip() else value

    def _find(self, value: str | Path) -> str | Path:
        places = [self._folder / value, Path(value)]
        for place in places:
            if os.path.isfile(place):
                return place
        if isinstance(value, str) and not ("/" in value or "\\" in value):
            return value
        kind = "is a folder, not a file" if any(map(os.path.isdir, places)) else "is not a file"
        looked = " and ".join(dict.fromkeys(os.path.abspath(place) for place in places))
        raise ValueError(f"{kind}: looked for {looked}")
