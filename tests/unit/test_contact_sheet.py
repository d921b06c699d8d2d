"""Contact sheets, by their pixels."""

from __future__ import annotations

import io
import re
import struct
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from invokeai_gen.sweeps.files.contact_sheet import ContactSheetError, Tile, contact_sheet

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
Color = tuple[int, int, int]
Box = tuple[int, int, int, int]


def flat(color: Color, size: tuple[int, int] = (40, 40)) -> Image.Image:
    return Image.new("RGB", size, color)


def file(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def box_of(sheet: Image.Image, color: Color) -> Box:
    """Where a colour is, in pixels; every pixel of the box has it."""
    difference = ImageChops.difference(sheet, Image.new("RGB", sheet.size, color))
    red, green, blue = difference.split()
    same = ImageChops.lighter(ImageChops.lighter(red, green), blue).point(lambda value: 255 if value == 0 else 0)
    box = same.getbbox()
    assert box is not None, f"no {color} on the sheet"
    assert same.crop(box).getextrema() == (255, 255), f"{color} is not one rectangle"
    return box


def size_of(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def ink_in(sheet: Image.Image, box: Box) -> Box | None:
    """Where there is anything darker than paper in a part of the sheet."""
    return sheet.crop(box).convert("L").point(lambda value: 255 if value < 128 else 0).getbbox()


def test_images_stand_row_by_row_in_tiles_of_the_size() -> None:
    cells = [Tile(file(flat(RED))), Tile(flat(GREEN, (500, 500))), Tile(flat(BLUE))]
    sheet = contact_sheet(cells, columns=2, size=100)
    red, green, blue = (box_of(sheet, color) for color in (RED, GREEN, BLUE))
    assert {size_of(box) for box in (red, green, blue)} == {(100, 100)}
    assert (red[1], red[0]) == (green[1], blue[0])
    assert green[0] > red[2]
    assert blue[1] > red[3]
    assert sheet.mode == "RGB"


def test_there_are_as_many_columns_as_rows_unless_given() -> None:
    sheet = contact_sheet([Tile(flat(RED))] * 8 + [Tile(flat(BLUE))], size=32)
    assert sheet.width == sheet.height
    assert contact_sheet([Tile()] * 3, columns=1, size=32).width < 64


def test_images_keep_their_shape_and_stand_in_the_middle() -> None:
    sheet = contact_sheet([Tile(flat(RED, (400, 100))), Tile(flat(BLUE, (10, 30)))], columns=2, size=120)
    red, blue = box_of(sheet, RED), box_of(sheet, BLUE)
    assert size_of(red) == (120, 30)
    assert size_of(blue) == (40, 120)
    assert (red[1] + red[3]) / 2 == (blue[1] + blue[3]) / 2


def test_an_image_of_the_caller_stays_as_it_is() -> None:
    image = flat(RED, (300, 200))
    contact_sheet([Tile(image)], size=32)
    assert (image.size, image.mode, image.getpixel((0, 0))) == ((300, 200), "RGB", RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    sheet = contact_sheet([Tile(Image.new(mode, (64, 64)))], size=64)
    assert size_of(box_of(sheet, (255, 255, 255))) == (64, 64)


def test_captions_stand_below_their_images_and_within_their_width() -> None:
    cells = [Tile(flat(RED), ["seed: 1", "W" * 5000]), Tile(flat(BLUE), [])]
    sheet = contact_sheet(cells, columns=2, size=128)
    red, blue = box_of(sheet, RED), box_of(sheet, BLUE)
    ink = ink_in(sheet, (0, red[3], blue[0], sheet.height))
    assert ink is not None
    assert ink[2] <= red[2]
    assert ink[3] - ink[1] > 3 * 11, "the long text takes several lines"
    assert ink_in(sheet, (blue[0], blue[3], sheet.width, sheet.height)) is None


def test_each_text_of_a_caption_is_seen_however_long_the_one_before() -> None:
    long, short = "prompt " * 1000, "seed: 1"
    alone = contact_sheet([Tile(flat(RED), [long])], size=128)
    both = contact_sheet([Tile(flat(RED), [long, short])], size=128)
    assert ink_in(both, (0, alone.height - 6, both.width, both.height)) is not None


def test_a_caption_has_eight_lines_and_no_more() -> None:
    eight = contact_sheet([Tile(None, ["word"] * 8)], size=128)
    assert contact_sheet([Tile(None, ["word " * 90] * 9)], size=128).size == eight.size
    assert contact_sheet([Tile(None, ["word"] * 7)], size=128).height < eight.height


def test_a_title_stands_above_everything() -> None:
    sheet = contact_sheet([Tile(flat(RED))], size=256, title="HH")
    assert ink_in(sheet, (0, 0, sheet.width, box_of(sheet, RED)[1])) is not None


@pytest.mark.parametrize("text", ["猫 a", "😀", "a\u202eb\x00", "a\n\tb  c ", "\ud800", "=cmd()", ""])
def test_any_text_can_be_written(text: str) -> None:
    sheet = contact_sheet([Tile(flat(RED), [text]), Tile(problem=text)], size=64, title=text)
    assert size_of(box_of(sheet, RED)) == (64, 64)


@pytest.mark.parametrize(
    "cell",
    [
        Tile(problem="out of memory"),
        Tile(flat(RED), problem="out of memory"),
        Tile(file(flat(RED))[:60]),
        Tile(b"no image"),
        Tile(file(flat(RED), "PPM")),
        Tile(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    ],
)
def test_what_failed_is_a_plain_tile_with_the_reason(cell: Tile) -> None:
    sheet = contact_sheet([cell, Tile(flat(BLUE))], columns=2, size=128)
    assert sheet.getpixel((130, 10)) == (253, 236, 234)
    assert ink_in(sheet, (6, 6, 134, 134)) is not None
    assert RED not in {color for _, color in sheet.getcolors(100_000) or []}


def test_a_decompression_bomb_is_a_reason_too() -> None:
    data = file(flat(RED))
    header = b"IHDR" + struct.pack(">II", 30_000, 30_000) + data[24:29]
    bomb = data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    assert contact_sheet([Tile(bomb)], size=128).getpixel((130, 10)) == (253, 236, 234)


def test_a_place_without_an_image_is_reported_from_a_failure() -> None:
    assert contact_sheet([Tile()], size=64).getpixel((60, 8)) == (236, 236, 236)


def test_text_is_written_in_the_font_that_is_given(tmp_path: Path) -> None:
    with pytest.raises(ContactSheetError, match="missing.ttf' cannot be opened"):
        contact_sheet([Tile()], font=tmp_path / "missing.ttf")


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (0, {}, "at least one cell"),
        (1, {"size": 15}, "size of 16 to 2048 pixels: cells=1, columns=None, size=15"),
        (1, {"columns": 0}, "columns=0"),
        (2000, {"size": 512, "columns": 1}, "a sheet of 2,000 images with size=512 would have .* use a smaller size"),
        (2000, {"size": 512, "columns": 2000}, "a sheet of 2,000 images with size=512 would have .* pixels"),
        (2000, {"size": 512}, "a sheet of 2,000 images with size=512.* use a smaller size"),
    ],
)
def test_what_makes_no_sheet_is_reported(count: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(ContactSheetError, match=message):
        contact_sheet([Tile()] * count, **options)  # type: ignore[arg-type]


def test_without_pillow_the_package_to_install_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'invokeai-gen\[images\]'"):
        contact_sheet([Tile()])


def test_a_sheet_that_is_too_large_says_how_large_it_would_be() -> None:
    with pytest.raises(ContactSheetError, match=r"would have (\S+) x (\S+) pixels") as caught:
        contact_sheet([Tile()] * 2000, size=512, columns=1)
    width, height = (
        int(number.replace(",", "")) for number in re.findall(r"([\d,]+) x ([\d,]+) pixels", str(caught.value))[0]
    )
    assert 512 < width < 1024
    assert height > 2000 * 512
