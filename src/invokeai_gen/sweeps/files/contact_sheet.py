"""A contact sheet: many images on one, each with a caption. An HTML gallery (`gallery`) lays out text of any script."""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.atomic_files import replacing
from invokeai_gen.core.pictures import DEFAULT_QUALITY, FORMATS
from invokeai_gen.core.short_texts import short_text
from invokeai_gen.errors import InvokeAIGenError, MissingExtraError
from invokeai_gen.runtime.media import ImageOutput
from invokeai_gen.server.background import in_thread
from invokeai_gen.server.concurrency import gather_limited
from invokeai_gen.sweeps.batching import Layout
from invokeai_gen.sweeps.files.saving import THUMBNAILS_AT_ONCE, media_of
from invokeai_gen.sweeps.results import SweepResult
from invokeai_gen.texts import printable

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_SIZES: Final = range(16, 2049)
_THUMBNAIL: Final = 256
"""Pixels on the longer side of a server's thumbnail."""
MAX_PIXELS: Final = 80_000_000
"""Pixels of a sheet: slightly below the size at which Pillow warns when it opens an image."""
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
"""The formats InvokeAI writes. Some of Pillow's other readers start external programs."""
_CAPTION_LINES, _LINES_PER_TEXT = 8, 3
_PAPER, _INK, _MOUNT, _FAILED, _FAILED_INK = "#fafafa", "#202020", "#ececec", "#fdecea", "#8c1d18"


class ContactSheetError(InvokeAIGenError, ValueError):
    """A contact sheet that cannot be made from these arguments."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One place on a contact sheet."""

    image: bytes | PILImage | None = None
    """The bytes of an image file, or a Pillow image, which is not modified; `None` for an empty place."""
    caption: Sequence[str] = ()
    """The texts below the image: `["seed: 7", "steps: 30"]`."""
    problem: str = ""
    """Why there is no image; shown in its place."""


def contact_sheet(
    cells: Sequence[Tile],
    *,
    columns: int | None = None,
    size: int = 256,
    title: str = "",
    font: str | os.PathLike[str] | None = None,
) -> PILImage:
    """Return an RGB image with all cells, row by row, each scaled into a square of `size` pixels (16 to 2048).

    `columns` defaults to as many columns as rows. Text is wrapped and cut to the space it has; characters missing from
    `font` (a font file, by default Pillow's own font) are shown as boxes. An image that cannot be read shows the reason.

    Raise `ContactSheetError` for no cells, unusable arguments, or too many pixels; `ImportError` without Pillow.
    """
    try:
        import PIL.Image
        from PIL import ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtraError("a contact sheet needs", "Pillow", "images") from error
    if not cells or size not in _SIZES or (columns is not None and columns < 1):
        wanted = f"at least one cell, columns of 1 or more, and a size of {_SIZES[0]} to {_SIZES[-1]} pixels"
        raise ContactSheetError(f"a contact sheet needs {wanted}: cells={len(cells)}, {columns=}, {size=}")
    text_size = max(11, size // 16)
    try:
        face: Any = (
            ImageFont.load_default(text_size) if font is None else ImageFont.truetype(os.fspath(font), text_size)
        )
    except OSError as error:
        raise ContactSheetError(f"the font {os.fspath(font or '')!r} cannot be opened: {error}") from error
    line_height, gap = round(text_size * 1.4), max(6, size // 20)
    captions = [_lines([*cell.caption], face, size)[:_CAPTION_LINES] for cell in cells]
    across = min(columns or math.ceil(math.sqrt(len(cells))), len(cells))
    height = size + max(map(len, captions)) * line_height + gap
    top = gap + (line_height + gap if title else 0)
    whole = across * (size + gap) + gap, math.ceil(len(cells) / across) * height + top
    if whole[0] * whole[1] > MAX_PIXELS:
        message = f"a sheet of {len(cells):,} images with size={size} would have {whole[0]:,} x {whole[1]:,} pixels"
        raise ContactSheetError(f"{message}, more than {MAX_PIXELS:,}: use a smaller size or several sheets")
    sheet = PIL.Image.new("RGB", whole, _PAPER)
    ImageDraw.Draw(sheet).text((gap, gap), "\n".join(_lines([title], face, whole[0])[:1]), _INK, face)
    for number, (cell, caption) in enumerate(zip(cells, captions, strict=True)):
        # A tile of its own cuts off whatever does not fit.
        tile = PIL.Image.new("RGB", (size, height), _PAPER)
        draw = ImageDraw.Draw(tile)
        image = _scaled(cell, size)
        draw.rectangle((0, 0, size - 1, size - 1), _FAILED if image and isinstance(image, str) else _MOUNT)
        if isinstance(image, str):
            reason = _lines([image or "no image"], face, size - gap, size // line_height)
            draw.text((gap // 2, gap // 2), "\n".join(reason), _FAILED_INK if image else _INK, face)
        else:
            tile.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
        draw.text((0, size + gap // 3), "\n".join(caption), _INK, face)
        sheet.paste(tile, (gap + number % across * (size + gap), top + number // across * height))
    return sheet


def _lines(texts: Sequence[str], face: Any, width: int, limit: int = _LINES_PER_TEXT) -> list[str]:
    """Wrap each text to `limit` lines at most; control characters are written out."""
    letters = max(4, int(width / face.getlength("n")))
    shown = (printable(" ".join(text.split())) for text in texts)
    return [line for text in shown for line in textwrap.wrap(text, letters, max_lines=limit, placeholder=" …")]


def _scaled(cell: Tile, size: int) -> PILImage | str:
    """Return the image as large as it can be within the square, or why it cannot be shown."""
    import PIL.Image

    if cell.problem or cell.image is None:
        return cell.problem
    try:
        source = cell.image
        image = PIL.Image.open(io.BytesIO(source), formats=_FORMATS) if isinstance(source, bytes) else source
        wanted = [max(1, round(side * size / max(image.size))) for side in image.size]
        image = image.resize(wanted, PIL.Image.Resampling.BILINEAR, reducing_gap=2.0).convert("RGBA")
    except Exception as error:  # noqa: BLE001 - Pillow's readers raise whatever they run into
        return f"the image cannot be read: {error}"
    ground = PIL.Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    return ground.convert("RGB")


async def sheet_of(
    layout: Layout,
    results: Sequence[SweepResult[Any, Any]],
    *,
    output: str | None,
    columns: int | None,
    size: int,
    font: str | os.PathLike[str] | None,
) -> PILImage:
    """Return a contact sheet of these results, by default with the rows of the last axis side by side."""
    plan, space = layout.plan, layout.space
    known = [one.name for one in plan.outputs if one.role != "debug" and one.item_type.name == "ImageOutput"]
    if output is not None and output not in known:
        raise ContactSheetError(f"unknown output {output!r}; the image outputs are: {', '.join(known)}")

    async def load(result: SweepResult[Any, Any]) -> bytes | None:
        found = (handle for name, _, handle, _ in media_of(result) if output in (None, name))
        image = next((handle for handle in found if isinstance(handle, ImageOutput)), None)
        if image is None:
            return None
        return await (image.stored.thumbnail(image.name) if size <= _THUMBNAIL else image.abytes())

    loaded = await gather_limited(load, results, at_once=THUMBNAILS_AT_ONCE)
    labels = {planned.name: planned.label or planned.name for planned in plan.inputs}
    cells = []
    for result, data in zip(results, loaded, strict=True):
        caption = [f"{labels[name]}: {short_text(result.values[name])}" for name in space.names]
        if len(results) > len(space):
            caption.append(f"#{result.index}")
        problem = str(result.error or (data if isinstance(data, Exception) else ""))
        cells.append(Tile(data if isinstance(data, bytes) else None, caption, problem))
    if columns is None and len(space.axes) > 1 and len(results) == len(space):
        columns = len(space.axes[-1].rows)
    return await in_thread(contact_sheet, cells, columns=columns, size=size, title=plan.info.name, font=font)


def save_image(image: PILImage, target: Path) -> None:
    """Save a Pillow image without transparency in the format that the name says, else as PNG, creating its folders."""
    if target.is_dir() or not target.name:
        raise IsADirectoryError(f"{target} is a folder: name a file in it, such as sheet.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        image.save(file, FORMATS.get(target.suffix.lower(), "png"), quality=DEFAULT_QUALITY)
