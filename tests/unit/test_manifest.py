"""Manifests: what was written is what is read, and spreadsheets calculate none of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from invokeai_gen.sweeps.files.manifest import ManifestError, read_manifest, write_manifest

ROWS: list[dict[str, object]] = [
    {"file": "0000.png", "index": 0, "prompt": "雪地里的狐狸", "cfg": 7.5},
    {"file": "0001.png", "index": 1, "prompt": "=HYPERLINK(1)", "on": True, "board": None},
]
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.builds(
        lambda mark, rest: mark + rest, st.sampled_from(list("=+-@\t\r\n'\"[{,;0\ufeff\u2028\ud800＝＋－＠")), st.text()
    ),
    st.sampled_from(["1", "1.0", "-1", "null", "true", "NaN", "-Infinity", '"a"', "[]", "{}", " 7", "''", "[" * 5000]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
TABLES = st.lists(st.dictionaries(TEXTS, JSON, max_size=4), max_size=4)


def columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def cells(path: Path) -> list[list[str]]:
    """The file as a spreadsheet sees it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@given(TABLES)
@example([{"a": "[" * 50_000}])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_lines_come_back_as_they_were(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = write_manifest(tmp_path / "manifest.jsonl", rows)
    assert read_manifest(path) == rows
    assert path.read_bytes().count(b"\n") == len(rows)


@given(TABLES)
@example([{}, {}])
@example([{"": ""}])
@example([{"'": "'"}, {"=a": "'=b"}])
@example([{"a": "[" * 50_000}])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_csv_comes_back_with_every_column_in_every_row(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    back = read_manifest(write_manifest(tmp_path / "manifest.csv", rows))
    expected = [{name: row.get(name) for name in columns(rows)} for row in rows]
    assert back == expected
    assert repr(back) == repr(expected), "1, 1.0 and True are told apart, and the columns are in order"


@given(st.lists(TEXTS, min_size=1))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_begins_like_a_formula(tmp_path: Path, texts: list[str]) -> None:
    path = write_manifest(tmp_path / "manifest.csv", [{text: text for text in texts}])
    assert not [cell for row in cells(path) for cell in row if cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))]


def test_a_csv_has_the_columns_in_the_order_in_which_they_appear(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "manifest.csv", ROWS)
    assert cells(path) == [
        ["file", "index", "prompt", "cfg", "on", "board"],
        ["0000.png", "0", "雪地里的狐狸", "7.5", "null", "null"],
        ["0001.png", "1", "'=HYPERLINK(1)", "null", "true", "null"],
    ]


def test_a_csv_tells_excel_that_it_is_unicode(tmp_path: Path) -> None:
    assert write_manifest(tmp_path / "manifest.csv", ROWS).read_bytes().startswith(b"\xef\xbb\xbffile,")


def test_numbers_are_not_marked_and_texts_that_look_like_numbers_are(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "manifest.csv", [{"a": -1, "b": "-1", "c": "1", "d": -0.5, "e": "1girl"}])
    assert cells(path)[1] == ["-1", "'-1", "'1", "-0.5", "1girl"]


@pytest.mark.parametrize("name", ["m.csv", "M.CSV", "m.jsonl", "M.JSONL"])
def test_the_folder_is_made(tmp_path: Path, name: str) -> None:
    assert read_manifest(write_manifest(tmp_path / "a" / "b" / name, ROWS))[0]["file"] == "0000.png"


def test_a_text_too_long_for_a_cell_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "manifest.csv", ROWS)
    before = path.read_bytes()
    with pytest.raises(ManifestError, match=r"'prompt' has a value of 200,000 characters.*\.jsonl"):
        write_manifest(path, [{"prompt": "x" * 200_000}])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_rows_that_an_editor_left_empty_or_short_are_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(b"file,index,prompt\n0000.png,1\n\n")
    assert read_manifest(path) == [{"file": "0000.png", "index": 1, "prompt": None}]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.csv", b"a,b\n1,2,3\n", "line 2 has 3 cells for 2 columns"),
        ("m.csv", b'a\n"b\n', "is not CSV"),
        ("m.csv", b"\xff\xfea", "is not in UTF-8"),
        ("m.jsonl", b'{"a": 1}\n{"a"\n', "line 2 is not JSON"),
        ("m.jsonl", b"[1]\n", "line 1 is not a JSON object"),
        ("m.json", b"{}", r"a manifest is a \.csv or a \.jsonl file, not 'm\.json'"),
    ],
)
def test_a_file_that_is_no_manifest_is_reported_as_such(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / name)


def test_another_suffix_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"not 'manifest\.xlsx'"):
        write_manifest(tmp_path / "new" / "manifest.xlsx", ROWS)
    assert list(tmp_path.iterdir()) == []
