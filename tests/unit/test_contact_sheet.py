"""Contact sheets, by their pixels."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageFont

from invokeai_gen.sweeps.files import lettering
from invokeai_gen.sweeps.files.contact_sheet import Cell, ContactSheetError, contact_sheet
from invokeai_gen.sweeps.files.lettering import Lettering

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
Color = tuple[int, int, int]
Box = tuple[int, int, int, int]


@pytest.fixture(autouse=True)
def no_fonts_of_this_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sheets look the same wherever the tests run."""
    monkeypatch.setattr(lettering, "_system_fonts", lambda: ())


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
    cells = [Cell(file(flat(RED))), Cell(flat(GREEN, (500, 500))), Cell(file(flat(BLUE), "BMP"))]
    sheet = contact_sheet(cells, columns=2, size=100)
    red, green, blue = (box_of(sheet, color) for color in (RED, GREEN, BLUE))
    assert {size_of(box) for box in (red, green, blue)} == {(100, 100)}
    assert (red[1], red[0]) == (green[1], blue[0])
    assert green[0] > red[2]
    assert blue[1] > red[3]
    assert sheet.mode == "RGB"
    assert sheet.size == (green[2] + red[0], blue[3] + red[1])


def test_there_are_as_many_columns_as_rows_unless_given() -> None:
    sheet = contact_sheet([Cell(flat(RED))] * 8 + [Cell(flat(BLUE))], size=32)
    assert sheet.width == sheet.height
    assert box_of(sheet, BLUE)[2:] == (sheet.width - 6, sheet.height - 6)
    assert contact_sheet([Cell()] * 3, columns=1, size=32).width < 64


def test_images_keep_their_shape_and_stand_in_the_middle() -> None:
    sheet = contact_sheet([Cell(flat(RED, (400, 100))), Cell(flat(BLUE, (10, 30)))], columns=2, size=120)
    red, blue = box_of(sheet, RED), box_of(sheet, BLUE)
    assert size_of(red) == (120, 30)
    assert size_of(blue) == (40, 120)
    assert (red[1] + red[3]) / 2 == (blue[1] + blue[3]) / 2


def test_an_image_of_the_caller_stays_as_it_is() -> None:
    image = flat(RED, (300, 200))
    contact_sheet([Cell(image)], size=32)
    assert (image.size, image.mode, image.getpixel((0, 0))) == ((300, 200), "RGB", RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_shows_a_checkerboard(mode: str) -> None:
    image = Image.new(mode, (64, 64))
    if mode == "P":
        image.info["transparency"] = 0
    sheet = contact_sheet([Cell(image)], size=64)
    colors = {sheet.getpixel((x, y)) for x in range(6, 70) for y in range(6, 70)}
    assert colors == {(255, 255, 255), (221, 221, 221)}


def test_grey_of_16_bits_is_shown_as_grey() -> None:
    image = Image.new("I;16", (64, 64), 128 * 256)
    assert size_of(box_of(contact_sheet([Cell(file(image))], size=64), (128, 128, 128))) == (64, 64)


def test_the_rotation_of_exif_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    flat(RED, (80, 40)).save(buffer, "PNG", exif=exif)
    assert size_of(box_of(contact_sheet([Cell(buffer.getvalue())], size=80), RED)) == (80, 40)


def test_captions_stand_below_their_images_and_within_their_width() -> None:
    cells = [Cell(flat(RED), ["seed: 1", "W" * 5000]), Cell(flat(BLUE), [])]
    sheet = contact_sheet(cells, columns=2, size=128)
    red, blue = box_of(sheet, RED), box_of(sheet, BLUE)
    ink = ink_in(sheet, (0, red[3], blue[0], sheet.height))
    assert ink is not None
    assert red[0] <= ink[0] + 1
    assert ink[2] <= red[2]
    assert ink[3] - ink[1] > 3 * 11, "the long text takes several lines"
    assert ink_in(sheet, (blue[0], blue[3], sheet.width, sheet.height)) is None


def test_each_text_of_a_caption_is_seen_however_long_the_one_before() -> None:
    long, short = "prompt " * 1000, "seed: 1"
    alone = contact_sheet([Cell(flat(RED), [long])], size=128)
    both = contact_sheet([Cell(flat(RED), [long, short])], size=128)
    assert ink_in(both, (0, alone.height - 6, both.width, both.height)) is not None


def test_a_caption_has_eight_lines_and_no_more() -> None:
    eight = contact_sheet([Cell(None, ["word"] * 8)], size=128)
    assert contact_sheet([Cell(None, ["word"] * 9)], size=128).size == eight.size
    assert contact_sheet([Cell(None, ["word " * 90] * 9)], size=128).size == eight.size
    assert contact_sheet([Cell(None, ["word"] * 7)], size=128).height < eight.height


def test_a_caption_that_is_one_text_is_one_line() -> None:
    assert contact_sheet([Cell(None, "seed")], size=64).size == contact_sheet([Cell(None, ["seed"])], size=64).size


def test_a_grid_has_its_labels_at_the_edges_in_place_of_captions() -> None:
    cells = [Cell(flat(color), ["seed: 1"]) for color in (RED, GREEN, BLUE, (255, 0, 255))]
    sheet = contact_sheet(cells, size=96, row_labels=["cfg 3", "cfg 7"], column_labels=["steps 20", "steps 30"])
    red, green, blue = (box_of(sheet, color) for color in (RED, GREEN, BLUE))
    for column in (red, green):
        ink = ink_in(sheet, (column[0], 0, column[2], column[1]))
        assert ink is not None
        assert 46 < (ink[0] + ink[2]) / 2 < 50, "above the middle of the image"
    for row in (red, blue):
        ink = ink_in(sheet, (0, row[1], row[0], row[3]))
        assert ink is not None
        assert 20 < (ink[1] + ink[3]) / 2 < 76, "beside the middle of the image"
    assert ink_in(sheet, (0, 0, red[0], red[1])) is None
    assert ink_in(sheet, (red[0], red[3], red[2], blue[1])) is None
    assert ink_in(sheet, (blue[0], blue[3], sheet.width, sheet.height)) is None


def test_a_title_stands_above_everything_in_larger_letters() -> None:
    sheet = contact_sheet([Cell(flat(RED), ["HH"])], size=256, title="HH")
    red = box_of(sheet, RED)
    title = ink_in(sheet, (0, 0, sheet.width, red[1]))
    caption = ink_in(sheet, (0, red[3], sheet.width, sheet.height))
    assert title is not None
    assert caption is not None
    assert title[3] - title[1] > caption[3] - caption[1]


def test_text_grows_with_the_tiles() -> None:
    heights = []
    for size in (128, 512):
        sheet = contact_sheet([Cell(flat(RED), ["H"])], size=size)
        ink = ink_in(sheet, (0, box_of(sheet, RED)[3], sheet.width, sheet.height))
        assert ink is not None
        heights.append(ink[3] - ink[1])
    assert heights[1] > 2 * heights[0]


@pytest.mark.parametrize(
    "cell",
    [
        Cell(problem="out of memory"),
        Cell(flat(RED), problem="out of memory"),
        Cell(file(flat(RED))[:60]),
        Cell(b"no image"),
        Cell(file(flat(RED), "PPM")),
    ],
)
def test_what_failed_is_a_plain_tile_with_the_reason(cell: Cell) -> None:
    sheet = contact_sheet([cell, Cell(flat(BLUE))], columns=2, size=128)
    assert sheet.getpixel((10, 10)) == (253, 236, 234)
    reason = sheet.crop((6, 6, 134, 134)).convert("L").point(lambda value: 255 if value < 128 else 0).getbbox()
    assert reason is not None
    assert 0 < reason[0] < reason[2] < 128, "within the tile"
    assert RED not in {color for _, color in sheet.getcolors(100_000) or []}


def test_a_place_without_an_image_is_told_from_a_failure() -> None:
    assert contact_sheet([Cell()], size=64).getpixel((8, 8)) == (236, 236, 236)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("猫 a", r"\u732b a"),
        ("😀", r"\U0001f600"),
        ("a\u202eb\x00", r"a\u202eb\x00"),
        ("a\n\tb  c ", "a b c"),
        ("a\u200bb\u00ad", "ab"),
        ("\ud800", r"\ud800"),
        ("=cmd()", "=cmd()"),
        ("", None),
    ],
)
def test_what_cannot_be_drawn_is_written_readably(text: str, line: str | None) -> None:
    assert Lettering(16).lines(text, 1000, 3) == ([line] if line is not None else [])


@pytest.mark.parametrize(
    ("text", "line"), [("a\u202eb", r"a\u202eb"), ("x" + "\u0301" * 50, "x\u0301\u0301"), ("cafe\u0301", "caf\xe9")]
)
def test_a_font_that_has_everything_does_not_let_text_run_wild(
    monkeypatch: pytest.MonkeyPatch, text: str, line: str
) -> None:
    monkeypatch.setattr(lettering._Face, "has", lambda *_: True)
    assert Lettering(16).lines(text, 1000, 1) == [line]


def test_lines_break_between_words_and_end_in_an_ellipsis() -> None:
    style = Lettering(16)
    lines = style.lines("a fox in the snow " * 300, 120, 3)
    assert [line.split()[0] in {"a", "fox", "in", "the", "snow"} for line in lines] == [True] * 3
    assert [line.endswith("…") for line in lines] == [False, False, True]
    assert all(60 < style.width(line) <= 120 for line in lines)
    assert style.lines("a fox", 120, 1) == ["a fox"]
    assert "".join(style.lines("w" * 30, 120, 9)) == "w" * 30, "a word that is too long for a line is in several"


def test_a_text_that_hides_its_length_is_still_cut() -> None:
    assert Lettering(16).lines("\u200b" * 5_000_000 + "a", 100, 2) in ([], ["…"])


def test_characters_that_the_first_font_lacks_come_from_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    default = ImageFont.load_default(16)
    assert isinstance(default, ImageFont.FreeTypeFont)
    known = tmp_path / "known.ttf"
    known.write_bytes(default.path.getvalue())  # type: ignore[union-attr]
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    opened = []

    def has(face: lettering._Face, char: str) -> bool:
        opened.append(face)
        return str(face.font.path) == str(known) or char.isascii()

    monkeypatch.setattr(lettering._Face, "has", has)
    monkeypatch.setattr(lettering, "_system_fonts", lambda: (tmp_path / "broken.ttf", known))
    style = Lettering(16)
    assert style.lines("a", 100, 1) == ["a"]
    assert len({id(face) for face in opened}) == 1, "no other font is opened unless one is needed"
    assert style.lines("a 猫", 100, 1) == ["a 猫"]
    assert [run for _, run in style._runs("a 猫")] == ["a ", "猫"]
    assert [run for _, run in style._runs("猫 猫 a")] == ["猫 猫 ", "a"], "a space is in the font before it"
    assert style.lines("a猫", 100, 1) == ["a猫"]
    assert [run for _, run in style._runs("a猫")] == ["a猫"], "a word is in one font"


def test_a_font_has_only_what_it_can_draw() -> None:
    face = lettering._Face(lettering._default_font(16))
    assert [face.has(char) for char in "aW7 …猫\U0010fffe"] == [True, True, True, True, True, False, False]


def test_the_font_of_the_caller_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    default = ImageFont.load_default(16)
    assert isinstance(default, ImageFont.FreeTypeFont)
    (tmp_path / "own.ttf").write_bytes(default.path.getvalue())  # type: ignore[union-attr]
    used: list[str] = []
    draw = lettering.Lettering.draw

    def spy(style: Lettering, *args: Any) -> None:
        used.extend(str(face.font.path) for face, _ in style._runs(args[3]))
        draw(style, *args)

    monkeypatch.setattr(lettering.Lettering, "draw", spy)
    cells = [Cell(flat(RED), ["seed"])]
    contact_sheet(cells, size=64, font=tmp_path / "own.ttf", title="all")
    assert used == [str(tmp_path / "own.ttf")] * 2
    with pytest.raises(ContactSheetError, match="missing.ttf' cannot be opened"):
        contact_sheet(cells, font=str(tmp_path / "missing.ttf"))


def test_a_thousand_images_fit_on_a_sheet() -> None:
    sheet = contact_sheet([Cell(flat(RED, (8, 8)))] * 999 + [Cell(flat(BLUE, (8, 8)))], size=16, columns=40)
    assert box_of(sheet, BLUE) == (sheet.width - 22, sheet.height - 22, sheet.width - 6, sheet.height - 6)


def test_a_sheet_that_is_too_large_is_refused_with_a_size_that_is_not() -> None:
    cells = [Cell(None, [f"seed: {number}"]) for number in range(2000)]
    with pytest.raises(
        ContactSheetError, match=r"a sheet of 2,000 images with size=512.*such as size=(\d+)$"
    ) as caught:
        contact_sheet(cells, size=512)
    sheet = contact_sheet(cells, size=int(str(caught.value).rpartition("=")[2]))
    assert 40_000_000 < sheet.width * sheet.height <= 80_000_000


def test_too_many_images_for_any_size_are_refused() -> None:
    with pytest.raises(ContactSheetError, match="make several sheets"):
        contact_sheet([Cell()] * 200_000)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (0, {}, "at least one cell"),
        (1, {"size": 15}, "size is 15, but should be 16 to 2048"),
        (1, {"columns": 0}, "columns is 0"),
        (1, {"row_labels": ["a"]}, "both row_labels and column_labels"),
        (3, {"row_labels": ["a", "b"], "column_labels": ["c", "d"]}, "need 4 cells, but there are 3"),
        (1, {"row_labels": ["a"], "column_labels": ["c"], "columns": 2}, "columns is 2, but there are 1"),
    ],
)
def test_what_makes_no_sheet_is_told(count: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(ContactSheetError, match=message):
        contact_sheet([Cell()] * count, **options)  # type: ignore[arg-type]


def test_without_pillow_the_package_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "invokeai-gen\[images\]"'):
        contact_sheet([Cell()])
