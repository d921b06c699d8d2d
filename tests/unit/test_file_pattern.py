"""File names from patterns: what is accepted, and that no value leads anywhere else."""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from invokeai_gen import BoardRef, BoundingBox, Color, ImageRef, LoRA, ModelRef
from invokeai_gen.core.file_names import safe_name
from invokeai_gen.core.file_pattern import FileClashError, FilePattern, FilePatternError, unique
from invokeai_gen.errors import InvokeAIGenError

EXAMPLE = "{index:04d}_{seed}_{prompt:.40}.png"
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|$)", re.IGNORECASE)


def formatted(pattern: str, **values: object) -> str:
    return FilePattern(pattern, values).format(values).as_posix()


def assert_safe(name: str) -> None:
    assert name not in {"", ".", ".."}
    assert len(name.encode()) <= 200
    assert not re.search(r'[\x00-\x1f\x7f<>:"/\\|?*]', name)
    assert name == name.strip(". ")
    assert not DEVICE.match(name)
    assert PureWindowsPath(name).parts == (name,)
    assert unicodedata.is_normalized("NFC", name)
    assert not any(unicodedata.category(char) == "Cf" for char in name)


def test_values_stand_in_the_name_as_their_formats_say() -> None:
    assert formatted(EXAMPLE, index=3, seed=7, prompt="a fox in the snow") == "0003_7_a fox in the snow.png"
    assert formatted("{cfg:.1f}-{on}.png", cfg=7.25, on=True) == "7.2-true.png"
    assert formatted("{{{a!s:>3}}}.png", a=1) == "{  1}.png"
    assert formatted("{prompt!r}.png", prompt="a") == "'a'.png"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (False, "false"),
        (7.0, "7.0"),
        ("a", "a"),
        (Path("photos/me.jpg"), "me"),
        (ImageRef("../5f3a.png"), "5f3a"),
        (ModelRef(name="dreamshaper", key="k"), "dreamshaper"),
        (ModelRef(key="k"), "k"),
        (BoardRef("b1"), "b1"),
        (Color(255, 128, 0), "#ff8000"),
        (Color(255, 128, 0, 128), "#ff800080"),
        ((255, 128, 0), "#ff8000"),
        ((512, 768, 1024), "512,768,1024"),
        (LoRA("detail", 0.5), "detail@0.5"),
        (BoundingBox(x_min=1, x_max=2, y_min=3, y_max=4), "1,3-2,4"),
        ([1, "a", None], "1,a,none"),
        ({"a": 1}, "a=1"),
        (b"image", "6105d6cc"),
    ],
)
def test_each_kind_of_value_has_a_text(value: object, text: str) -> None:
    assert formatted("{value}", value=value) == text


def test_only_separators_of_the_pattern_make_folders() -> None:
    values = {"model": "sd/xl\\..", "index": 1}
    path = FilePattern("by model\\{model}/./{index}.png", values).format(values)
    assert path == PurePosixPath("by model", "sd_xl_", "1.png")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("../../etc/passwd", "_.._etc_passwd.png"),
        ("..", "output.png"),
        ("", "output.png"),
        ("CON", "_CON.png"),
        ("com¹.tar", "_com¹.tar.png"),
        ("nul .x", "_nul .x.png"),
        ("contact", "contact.png"),
        ("a\x00b\nc\x7f", "a_b_c_.png"),
        ("ev\u202elive", "evlive.png"),
        ("cafe\u0301", "caf\xe9.png"),
        ("half \ud800", "half _.png"),
        (" a fox. ", "a fox.png"),
        ("C:\\Windows", "C__Windows.png"),
    ],
)
def test_what_a_system_forbids_does_not_come_through(value: str, name: str) -> None:
    assert formatted("{value}.png", value=value) == name


def test_a_long_value_is_cut_and_the_rest_of_the_name_stays() -> None:
    name = formatted("{prompt}_{index:04d}.png", prompt="狐" * 5000, index=12)
    assert name.endswith("狐_0012.png")
    assert 195 <= len(name.encode()) <= 200


def test_the_fixed_text_of_a_pattern_is_never_cut() -> None:
    fixed = "made on the first evening of the winter fair " * 3
    name = formatted("{a}" + fixed + "{b}.png", a="x" * 5000, b="y" * 5000)
    assert re.fullmatch(f"x{{20,}}{fixed}y{{20,}}.png", name)


def test_a_cut_leaves_letters_whole() -> None:
    name = formatted("{prompt}.png", prompt="x" * 194 + "q\u0301\u0302" * 20)
    assert name == "x" * 194 + ".png", "no q without its accents"


def test_a_name_that_is_a_value_keeps_its_suffix() -> None:
    assert safe_name("a" * 5000 + ".png") == "a" * 196 + ".png"
    assert formatted("{name}", name="a" * 5000 + ".webp").endswith("a.webp")


ANYTHING = st.one_of(
    st.text(max_size=30),
    st.text(alphabet=".\\/ :\u0301e\u202econul1\x00", max_size=12),
    st.text(min_size=150, max_size=400),
    st.lists(st.text(max_size=5), max_size=3),
    st.integers(),
    st.floats(),
    st.none(),
)


@given(ANYTHING, ANYTHING)
@example("con." + "a" * 500, "")
@example("com1" + " " * 400 + "x", "")
@example("e", "\u0301" * 500)
@settings(deadline=None)
def test_no_value_leads_out_of_its_place(first: object, second: object) -> None:
    values = {"a": first, "b": second}
    for pattern, suffix in [("{a}/x{b}.png", ".png"), ("{a}{b}/{b}{a}", ""), ("{b}.{a}/{a}_{b}.tar.gz", ".gz")]:
        path = FilePattern(pattern, values).format(values)
        assert len(path.parts) == 2
        assert path.name.endswith(suffix)
        for part in path.parts:
            assert_safe(part)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{sed}.png", "unknown value 'sed'; did you mean {seed}? There are index, prompt, seed"),
        ("{xyz}.png", "unknown value 'xyz'; there are index, prompt, seed"),
        ("{}.png", "{} has no name; there are index, prompt, seed"),
        ("{0}.png", "unknown value '0'"),
        ("{prompt.__class__}.png", "a pattern takes whole values only, such as {prompt}"),
        ("{prompt[0]}.png", "a pattern takes whole values only, such as {prompt}"),
        ("{seed:{index}}.png", "a format cannot contain another field"),
        ("{seed!x}.png", "unknown conversion !x; use !s, !r or !a"),
        ("{seed:099999d}.png", "is wider than a file name can be"),
        ("{seed.png", "is malformed"),
        ("seed}.png", "is malformed"),
        ("/tmp/{seed}.png", "is absolute"),
        ("\\\\server\\{seed}.png", "is absolute"),
        ("c:\\{seed}.png", "is absolute"),
        ("../{seed}.png", "has a '..'"),
        ("a\\..\\{seed}.png", "has a '..'"),
        ("{seed}/", "ends in a folder"),
        ("", "is empty"),
        ("./", "is empty"),
        ("x" * 170 + "{seed}", "has more than 160 bytes of fixed text"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_when_it_is_made(pattern: str, message: str) -> None:
    with pytest.raises(FilePatternError, match=re.escape(message)) as caught:
        FilePattern(pattern, ["index", "prompt", "seed"])
    assert isinstance(caught.value, InvokeAIGenError)
    assert isinstance(caught.value, ValueError)


def test_a_format_that_does_not_fit_a_value_is_reported_with_the_value() -> None:
    with pytest.raises(FilePatternError, match=re.escape("{prompt:04d}: the value 'a fox' is written as a text")):
        formatted("{prompt:04d}.png", prompt="a fox")


def test_a_value_that_an_item_lacks_is_reported() -> None:
    with pytest.raises(FilePatternError, match="no value for {seed}; there are index"):
        FilePattern("{seed}.png", ["seed"]).format({"index": 1})


def test_the_names_that_a_pattern_uses_are_known() -> None:
    assert FilePattern("{a}/{b}_{a}.png", "abc").fields == {"a", "b"}


def test_paths_that_do_not_clash_come_back() -> None:
    paths = [PurePosixPath(name) for name in ("a/1.png", "A/2.png", "b/1.png")]
    assert unique(iter(paths)) == paths


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["a.png", "b.png", "a.png"], (0, 2)),
        (["x", "Fox.png", "fox.PNG"], (1, 2)),
        (["caf\xe9.png", "cafe\u0301.png"], (0, 1)),
        (["a/b.png", "A"], (0, 1)),
    ],
)
def test_paths_that_are_one_file_on_some_system_are_reported(names: list[str], pair: tuple[int, int]) -> None:
    with pytest.raises(FileClashError, match=f"items {pair[0]} and {pair[1]} would both.*add {{index}}") as caught:
        unique([PurePosixPath(name) for name in names])
    assert (caught.value.first, caught.value.second) == pair


def test_how_many_more_clash_is_reported() -> None:
    paths: list[Any] = [PurePosixPath("a")] * 4
    with pytest.raises(FileClashError, match=r"items 0 and 1 .*\(2 more clash as well\)"):
        unique(paths)


@pytest.mark.parametrize("category", ["Cc", "Cf", "Cs", "Zl", "Zp"])
def test_no_character_that_is_not_shown_gets_into_a_name(category: str) -> None:
    hidden = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) == category]
    assert hidden
    name = safe_name("a" + "".join(hidden) + "b", limit=sys.maxunicode)
    assert not {*hidden} & {*name}


def test_fixed_text_may_be_as_long_as_the_error_says() -> None:
    pattern = FilePattern("x" * 160 + "{seed}", ["seed"])
    assert pattern.format({"seed": 7}).name == "x" * 160 + "7"
    with pytest.raises(FilePatternError, match="more than 160 bytes of fixed text"):
        FilePattern("x" * 161 + "{seed}", ["seed"])
