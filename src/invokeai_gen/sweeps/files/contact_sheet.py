"""A contact sheet: many images on one, each with what is special about it."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from invokeai_gen.sweeps.files.lettering import Lettering

DEFAULT_SIZE: Final = 256
MAX_PIXELS: Final = 80_000_000
"""Of a sheet: a little less than what makes Pillow warn of an attack when it opens an image."""
MAX_SIDE: Final = 65_500
"""What a JPEG can have."""
_SIZES: Final = range(16, 2049)
_SMALLEST_TEXT: Final = 11
_CAPTION_LINES: Final = 8
_LINES_EACH: Final = 3
_LABEL_LINES: Final = 4
_PAPER: Final = "#fafafa"
_MOUNT: Final = "#ececec"
_INK: Final = "#202020"
_FAILED: Final = "#fdecea"
_FAILED_EDGE: Final = "#e0a8a2"
_FAILED_INK: Final = "#8c1d18"
_CHECKER: Final = ("#ffffff", "#dddddd")
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is opened: others of Pillow's readers start other programs."""


class ContactSheetError(InvokeAIGenError, ValueError):
    """A contact sheet that cannot be made like this."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One place on a contact sheet."""

    image: bytes | PILImage | None = None
    """The bytes of an image file or a Pillow image, which is left as it is; `None` where there is none."""
    caption: Sequence[str] = ()
    """What stands below it, each text on lines of its own: `["seed: 7", "steps: 30"]`."""
    problem: str = ""
    """Why there is no image. A place with a problem shows the problem and no image."""


def contact_sheet(
    cells: Sequence[Cell],
    *,
    columns: int | None = None,
    size: int = DEFAULT_SIZE,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    title: str = "",
    font: str | os.PathLike[str] | None = None,
) -> PILImage:
    """The images on one RGB image, row by row, each scaled into a square of `size` pixels (16 to 2048).

    There are `columns` in a row; as many as rows unless given. With `row_labels` and `column_labels` the sheet is a
    grid: they stand at its edges in place of captions, and the cells are those of the first row, then of the second …

    Text is cut to the space that it has. Characters that Pillow's own font lacks are taken from `font` (a font file,
    then used for all text) or well-known fonts of the system, and are written like `\\u732b` if none has them. An image
    that cannot be read shows the reason. Rotation by EXIF is not applied; transparency is shown as a checkerboard.

    Raises `ContactSheetError` for no cells, for labels that do not fit their number, for a `size` or `columns` out of
    range, for a font that cannot be opened, and for a sheet of more than 80 million pixels; `ImportError` without Pillow.
    """
    try:
        import PIL.Image
        import PIL.ImageDraw
    except ImportError as error:
        raise ImportError('a contact sheet needs Pillow: pip install "invokeai-gen[images]"') from error

    _check(cells, columns, size, row_labels, column_labels)
    content = _Content(cells, columns, row_labels or (), column_labels or (), title, font)
    layout = _Layout(content, size)
    if not layout.fits:
        raise ContactSheetError(_too_large(content, layout))
    sheet = PIL.Image.new("RGB", (layout.width, layout.height), _PAPER)
    draw = PIL.ImageDraw.Draw(sheet)
    for text in layout.texts():
        text.style.draw(draw, text.x, text.y, text.line, _INK)
    for cell, (x, y) in zip(cells, layout.places(), strict=True):
        sheet.paste(_tile(cell, size, layout.style), (x, y))
    return sheet


@dataclass(frozen=True, slots=True)
class _Content:
    """What is on a sheet, whatever its size."""

    cells: Sequence[Cell]
    columns: int | None
    row_labels: Sequence[str]
    column_labels: Sequence[str]
    title: str
    font: str | os.PathLike[str] | None

    @property
    def per_row(self) -> int:
        return len(self.column_labels) or min(self.columns or math.ceil(math.sqrt(len(self.cells))), len(self.cells))


@dataclass(frozen=True, slots=True)
class _Text:
    """A line of text at its place."""

    style: Lettering
    x: int
    y: int
    line: str


class _Layout:
    """Where everything is on a sheet with tiles of a size."""

    def __init__(self, content: _Content, size: int) -> None:
        self.content: Final = content
        self.size: Final = size
        self.gap: Final = max(6, size // 20)
        self.columns: Final = content.per_row
        self.rows: Final = math.ceil(len(content.cells) / self.columns)
        self.width = self.columns * (size + self.gap) + self.gap
        self.height = self.rows * (size + self.gap) + self.gap
        self._captions: list[list[str]] = []
        if self.fits:  # measuring text takes a while
            self._measure()

    @property
    def fits(self) -> bool:
        return self.width * self.height <= MAX_PIXELS and max(self.width, self.height) <= MAX_SIDE

    def places(self) -> Iterator[tuple[int, int]]:
        """The upper left corner of each tile."""
        for index in range(len(self.content.cells)):
            row, column = divmod(index, self.columns)
            yield self._left + column * (self.size + self.gap), self._top + row * self._pitch

    def texts(self) -> Iterator[_Text]:
        """Everything that is written outside of the tiles."""
        for number, line in enumerate(self._title):
            yield _Text(self._title_style, self.gap, self.gap + number * self._title_style.line_height, line)
        if self.content.column_labels:
            yield from self._labels()
            return
        for (x, y), lines in zip(self.places(), self._captions, strict=True):
            for number, line in enumerate(lines):
                yield _Text(self.style, x, y + self.size + self.gap // 2 + number * self.style.line_height, line)

    def _labels(self) -> Iterator[_Text]:
        height = self.style.line_height
        for column, lines in enumerate(self._column_labels):
            middle = self._left + column * (self.size + self.gap) + self.size // 2
            bottom = self._top - self.gap // 2
            for number, line in enumerate(lines):
                x = middle - round(self.style.width(line)) // 2
                yield _Text(self.style, x, bottom - (len(lines) - number) * height, line)
        for row, lines in enumerate(self._row_labels):
            top = self._top + row * self._pitch + (self.size - len(lines) * height) // 2
            for number, line in enumerate(lines):
                x = self._left - self.gap - math.ceil(self.style.width(line))
                yield _Text(self.style, x, top + number * height, line)

    def _measure(self) -> None:
        from invokeai_gen.sweeps.files.lettering import Lettering

        content, size, gap = self.content, self.size, self.gap
        text_size = max(_SMALLEST_TEXT, size // 16)
        try:
            self.style = Lettering(text_size, content.font)
            self._title_style = Lettering(round(text_size * 1.5), content.font)
        except OSError as error:
            raise ContactSheetError(f"the font {os.fspath(content.font or '')!r} cannot be opened: {error}") from error
        label_lines = max(1, min(_LABEL_LINES, size // self.style.line_height))
        label_width = max(size, 6 * text_size)
        self._row_labels = [self.style.lines(label, label_width, label_lines) for label in content.row_labels]
        self._column_labels = [self.style.lines(label, size, label_lines) for label in content.column_labels]
        if not content.column_labels:
            self._captions = [_caption(cell, self.style, size) for cell in content.cells]
        caption_height = max(map(len, self._captions), default=0) * self.style.line_height
        self._pitch = size + gap + (caption_height and caption_height + gap // 2)

        widest = max((self.style.width(line) for lines in self._row_labels for line in lines), default=0)
        self._left = gap + (math.ceil(widest) + gap if widest else 0)
        self.width = self._left + self.columns * (size + gap)
        self._title = self._title_style.lines(content.title, self.width - 2 * gap, _LINES_EACH)
        self._top = gap + (len(self._title) * self._title_style.line_height + gap if self._title else 0)
        label_height = max(map(len, self._column_labels), default=0) * self.style.line_height
        self._top += label_height and label_height + gap // 2
        self.height = self._top + self.rows * self._pitch


def _check(
    cells: Sequence[Cell],
    columns: int | None,
    size: int,
    row_labels: Sequence[str] | None,
    column_labels: Sequence[str] | None,
) -> None:
    if not cells:
        raise ContactSheetError("a contact sheet needs at least one cell")
    if size not in _SIZES:
        raise ContactSheetError(f"size is {size!r}, but should be {_SIZES[0]} to {_SIZES[-1]} pixels")
    if columns is not None and columns < 1:
        raise ContactSheetError(f"columns is {columns!r}, but should be 1 or more")
    if (row_labels is None) != (column_labels is None):
        raise ContactSheetError("a grid needs both row_labels and column_labels; leave both out for captions")
    if row_labels is None or column_labels is None:
        return
    if columns is not None and columns != len(column_labels):
        raise ContactSheetError(f"columns is {columns}, but there are {len(column_labels)} column_labels")
    if len(cells) != len(row_labels) * len(column_labels):
        raise ContactSheetError(
            f"{len(row_labels)} row_labels and {len(column_labels)} column_labels need "
            f"{len(row_labels) * len(column_labels)} cells, but there are {len(cells)}; "
            "a place without an image is a Cell of its own"
        )


def _too_large(content: _Content, layout: _Layout) -> str:
    size = layout.size
    while size > _SIZES[0]:
        size = max(_SIZES[0], int(size * 0.9))
        if _Layout(content, size).fits:
            advice = f"use a smaller size, such as size={size}"
            break
    else:
        advice = "make several sheets, or use another number of columns"
    return (
        f"a sheet of {len(content.cells):,} images with size={layout.size} would have {layout.width:,} x "
        f"{layout.height:,} pixels, but it can have {MAX_PIXELS // 1_000_000} million, and {MAX_SIDE:,} on a side; "
        + advice
    )


def _caption(cell: Cell, style: Lettering, width: int) -> list[str]:
    """The lines below an image: each text gets what the others leave, and one at least."""
    texts = [cell.caption] if isinstance(cell.caption, str) else [str(text) for text in cell.caption]
    lines: list[str] = []
    for number, text in enumerate(texts[:_CAPTION_LINES]):
        others = min(len(texts), _CAPTION_LINES) - number - 1
        lines += style.lines(text, width, min(_LINES_EACH, _CAPTION_LINES - len(lines) - others))
    return lines


def _tile(cell: Cell, size: int, style: Lettering) -> PILImage:
    """A square with the image, or with what is in the way of one."""
    import PIL.Image

    tile = PIL.Image.new("RGB", (size, size), _MOUNT)
    if cell.problem:
        _write(tile, cell.problem, style, _FAILED_INK, (_FAILED, _FAILED_EDGE))
    elif cell.image is None:
        _write(tile, "no image", style, _INK, (_MOUNT, _MOUNT))
    else:
        try:
            image = _fitted(cell.image, size)
        except Exception as error:  # noqa: BLE001 - readers of Pillow raise whatever they stumble over
            known = not isinstance(error, PIL.UnidentifiedImageError)
            reason = f"the image cannot be read: {error}" if known else "this is no image"
            _write(tile, reason, style, _FAILED_INK, (_FAILED, _FAILED_EDGE))
        else:
            tile.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return tile


def _write(tile: PILImage, text: str, style: Lettering, ink: str, ground: tuple[str, str]) -> None:
    import PIL.ImageDraw

    draw = PIL.ImageDraw.Draw(tile)
    draw.rectangle((0, 0, tile.width - 1, tile.height - 1), fill=ground[0], outline=ground[1])
    edge = max(2, tile.width // 16)
    lines = style.lines(text, tile.width - 2 * edge, max(1, (tile.height - 2 * edge) // style.line_height))
    top = (tile.height - len(lines) * style.line_height) // 2
    for number, line in enumerate(lines):
        x = (tile.width - round(style.width(line))) // 2
        style.draw(draw, x, top + number * style.line_height, line, ink)


def _fitted(source: bytes | PILImage, size: int) -> PILImage:
    """The image as RGB, as large as it can be in the square."""
    import PIL.Image

    if isinstance(source, bytes):
        image: PILImage = PIL.Image.open(io.BytesIO(source), formats=_FORMATS)
        image.draft("RGB", (2 * size, 2 * size))  # a large JPEG is read at a fraction of its size
    else:
        image = source
    scale = size / max(image.size)
    fitting = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if image.mode.startswith("I"):  # 16 bits of grey
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layered = image.convert("RGBA").resize(fitting, PIL.Image.Resampling.LANCZOS)
        ground = _checker(fitting, max(4, size // 16))
        ground.paste(layered, (0, 0), layered)
        return ground
    return image.convert("RGB").resize(fitting, PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)


def _checker(size: tuple[int, int], square: int) -> PILImage:
    import PIL.Image
    import PIL.ImageDraw

    ground = PIL.Image.new("RGB", size, _CHECKER[0])
    draw = PIL.ImageDraw.Draw(ground)
    for y in range(0, size[1], square):
        for x in range(y // square % 2 * square, size[0], 2 * square):
            draw.rectangle((x, y, x + square - 1, y + square - 1), fill=_CHECKER[1])
    return ground
