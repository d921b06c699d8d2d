"""Text in pictures: fonts that have its characters, how wide it is, and where its lines break. Takes Pillow."""

from __future__ import annotations

import functools
import os
import re
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from PIL import ImageDraw, ImageFont

ELLIPSIS: Final = "…"
_PROBE_SIZE: Final = 24
_NOWHERE: Final = "\U0010ffff"
"""A character that no font has."""
_UNSEEN: Final = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufe0e\ufe0f\ufeff")
"""What can be left out without a reader noticing."""
_MAX_ACCENTS: Final = 2
_NARROWEST: Final = 0.15
"""The width of the narrowest letters, in font sizes."""
_WIDE: Final = "\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe6f\uff00-\uffef\U0001f000-\U0003ffff"
"""Scripts that are written without spaces."""
_PIECES: Final = re.compile(f"[{_WIDE}]|[^ {_WIDE}]+| +")

_SYSTEM_FONTS: Final[Mapping[str, tuple[str, ...]]] = {
    "linux": (
        "DejaVuSans.ttf",
        "NotoSans-Regular.ttf",
        "NotoSansCJK-Regular.ttc",
        "NotoSansCJKsc-Regular.otf",
        "wqy-microhei.ttc",
        "wqy-zenhei.ttc",
        "DroidSansFallbackFull.ttf",
        "DroidSansFallback.ttf",
        "NotoSansSymbols2-Regular.ttf",
    ),
    "darwin": ("Arial.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "Arial Unicode.ttf"),
    "win32": ("segoeui.ttf", "msyh.ttc", "meiryo.ttc", "malgun.ttf", "seguisym.ttf"),
}
_FONT_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "linux": ("~/.local/share/fonts", "~/.fonts", "/usr/local/share/fonts", "/usr/share/fonts"),
    "darwin": ("~/Library/Fonts", "/Library/Fonts", "/System/Library/Fonts"),
    "win32": (r"%LOCALAPPDATA%\Microsoft\Windows\Fonts", r"%WINDIR%\Fonts"),
}
_FACES: Final[Mapping[str, int]] = {"NotoSansCJK-Regular.ttc": 2}
"""Which font of a collection is the one for simplified Chinese, where it is not the first."""


class Lettering:
    """Text of one size, in Pillow's own font and, for characters that it lacks, in what the system has.

    `size` is in pixels; `font` is a font file to take before all others. Raises `OSError` where it cannot be opened.
    """

    def __init__(self, size: int, font: str | os.PathLike[str] | None = None) -> None:
        self.size: Final = size
        self.line_height: Final = round(size * 1.35)
        """Pixels from one line to the next."""
        self._faces = [_Face(ImageFont.truetype(os.fspath(font), size))] if font is not None else []
        self._faces.append(_Face(_default_font(size)))
        self._waiting = list(_system_fonts())
        self._face_of: dict[str, _Face | None] = {}
        self._runs_of: dict[str, list[tuple[_Face, str]]] = {}
        self._broken: dict[tuple[str, int, int], list[str]] = {}

    def lines(self, text: str, width: int, most: int) -> list[str]:
        """The text as at most `most` lines of at most `width` pixels; what is left out is told by an ellipsis.

        Characters that cannot be drawn, or would change the order of others, are written like `\\u732b`.
        """
        key = text, width, most
        if key not in self._broken:
            self._broken[key] = self._break(text, width, most)
        return self._broken[key]

    def width(self, line: str) -> float:
        """Pixels that a line of `lines` takes."""
        return sum(face.font.getlength(run) for face, run in self._runs(line))

    def draw(self, draw: ImageDraw.ImageDraw, x: float, y: float, line: str, color: str) -> None:
        """Draws a line of `lines`, whose upper left corner is at `x` and `y`."""
        for face, run in self._runs(line):
            draw.text((x, y + round(self.size * 1.05)), run, fill=color, font=face.font, anchor="ls")
            x += face.font.getlength(run)

    def _break(self, text: str, width: int, most: int) -> list[str]:
        room = int(most * width / (self.size * _NARROWEST)) + 1
        cleaned = self._cleaned(text[: 4 * room])
        cleaned, is_whole = cleaned[:room], len(cleaned) <= room and len(text) <= 4 * room
        found = list(self._broken_lines(cleaned, width, most + 1))
        if len(found) > most or (found and not is_whole):
            found = [*found[: most - 1], self._with_ellipsis(found[min(len(found), most) - 1], width)]
        return found

    def _broken_lines(self, text: str, width: int, most: int) -> Iterator[str]:
        """The first `most` lines."""
        line = ""
        count = 0
        for piece in _PIECES.findall(text):
            if self.width(line + piece.rstrip()) <= width:
                line += piece
                continue
            if line.strip():
                yield line.rstrip()
                count += 1
            line = piece.lstrip()
            while self.width(line) > width and count < most:
                fitting = self._fitting(line, width)
                yield line[:fitting]
                count += 1
                line = line[fitting:]
            if count >= most:
                return
        if line.strip():
            yield line.rstrip()

    def _with_ellipsis(self, line: str, width: int) -> str:
        mark = ELLIPSIS if self._face_for(ELLIPSIS) is not None else "..."
        if self.width(line + mark) > width:
            line = line[: self._fitting(line, width - self.width(mark))]
        return line.rstrip() + mark

    def _fitting(self, text: str, width: float) -> int:
        """How many characters fit, at least one."""
        return max(1, bisect_right(range(1, len(text) + 1), width, key=lambda length: self.width(text[:length])))

    def _cleaned(self, text: str) -> str:
        """One line of characters that can be drawn."""
        found = []
        accents = 0
        for char in unicodedata.normalize("NFC", text):
            category = unicodedata.category(char)
            accents = accents + 1 if category.startswith("M") else 0
            if char in _UNSEEN or accents > _MAX_ACCENTS:
                continue
            if char.isspace():
                found.append(" ")
            elif category[0] == "C" or self._face_for(char) is None:
                found.append(ascii(char)[1:-1])
            else:
                found.append(char)
        return re.sub(" +", " ", "".join(found)).strip()

    def _runs(self, line: str) -> list[tuple[_Face, str]]:
        """The line in parts, each with a font that has it: a word is in one font wherever one has it all."""
        if line not in self._runs_of:
            runs: list[tuple[_Face, str]] = []
            for word in re.findall("[^ ]+| +", line):
                is_gap = word[0] == " "
                for face, part in [(runs[-1][0], word)] if is_gap and runs else self._word_runs(word):
                    if runs and runs[-1][0] is face:
                        runs[-1] = face, runs[-1][1] + part
                    else:
                        runs.append((face, part))
            self._runs_of[line] = runs
        return self._runs_of[line]

    def _word_runs(self, word: str) -> list[tuple[_Face, str]]:
        own = [self._face_for(char) or self._faces[0] for char in word]
        for face in self._faces:
            if all(face is first or face.has(char) for first, char in zip(own, word, strict=True)):
                return [(face, word)]
        return list(zip(own, word, strict=True))

    def _face_for(self, char: str) -> _Face | None:
        """The first font that has the character; fonts of the system are opened once one is needed."""
        if char not in self._face_of:
            face = next((face for face in self._faces if face.has(char)), None)
            while face is None and self._waiting:
                opened = _opened(self._waiting.pop(0), self.size)
                if opened is not None:
                    self._faces.append(opened)
                    face = opened if opened.has(char) else None
            self._face_of[char] = face
        return self._face_of[char]


class _Face:
    """A font, and whether it has a character: Pillow does not tell, but all that a font lacks look the same in it."""

    def __init__(self, font: ImageFont.FreeTypeFont) -> None:
        self.font: Final = font
        self._probe: Final = font.font_variant(size=_PROBE_SIZE, layout_engine=ImageFont.Layout.BASIC)
        self._missing: Final = self._look(_NOWHERE)
        self._known: dict[str, bool] = {" ": True}

    def has(self, char: str) -> bool:
        if char not in self._known:
            look = self._look(char)
            self._known[char] = look != self._missing and any(look[1])
        return self._known[char]

    def _look(self, char: str) -> tuple[tuple[int, int], bytes]:
        mask = self._probe.getmask(char)
        return mask.size, bytes(mask)


def _default_font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if isinstance(font, ImageFont.FreeTypeFont):
        return font
    raise ImportError("text in pictures needs a Pillow that was built with FreeType")


def _opened(path: Path, size: int) -> _Face | None:
    try:
        return _Face(ImageFont.truetype(str(path), size, _FACES.get(path.name, 0)))
    except OSError:  # a font that Pillow cannot read is as good as none
        return None


@functools.cache
def _system_fonts() -> tuple[Path, ...]:
    """The well-known fonts that this system has, in the order in which they are tried."""
    found: dict[str, Path] = {}
    for folder in _FONT_FOLDERS.get(sys.platform, ()):
        for place, _, files in os.walk(os.path.expanduser(os.path.expandvars(folder))):
            for file in files:
                found.setdefault(file.lower(), Path(place) / file)
    return tuple(found[name.lower()] for name in _SYSTEM_FONTS.get(sys.platform, ()) if name.lower() in found)
