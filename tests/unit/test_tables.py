"""Files become rows: CSV, JSONL, prompts and images; all that is wrong with one is told at once, by its place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generated import color_study_batch, ink_wash, sd15_image_to_image, sunset_poster
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import Color, ImageRef
from invokeai_gen.js_json import UNSET
from invokeai_gen.sweeps.dynamic_workflow import params_type
from invokeai_gen.sweeps.files.manifest import OWN_COLUMNS, write_manifest
from invokeai_gen.sweeps.files.sources import TableError, TableProblem, image_files, read_prompts
from invokeai_gen.sweeps.files.tables import read_csv, read_jsonl
from tests.plan_factory import a_plan, an_input

POSTER = sunset_poster.WORKFLOW.plan
POSTERS = sunset_poster.Params
IMAGE = sd15_image_to_image.WORKFLOW.plan
IMAGES = sd15_image_to_image.Params


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str | bytes, name: str = "rows.csv", encoding: str = "utf-8") -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return name


def posters(text: str | bytes, base: sunset_poster.Params | None = None, **file: str) -> list[sunset_poster.Params]:
    return read_csv(written(text, **file), POSTER, POSTERS, base)


def refused(read: Callable[[], object]) -> list[str]:
    """The messages, after making sure that the error's text has them."""
    with pytest.raises(TableError) as caught:
        read()
    messages = [problem.message for problem in caught.value.problems]
    assert all(message in str(caught.value) for message in messages)
    return messages


def test_columns_are_labels_names_or_indices() -> None:
    first, second = posters("Title,width,3,Sky Color\na fox,768,600,#ff8000\n a hare ,300,301,\n")
    assert first == POSTERS(title="a fox", width=768, height=600, sky_color="#ff8000")
    assert second == POSTERS(title=" a hare ", width=300, height=301)
    assert type(second) is POSTERS


def test_an_empty_cell_keeps_the_value_of_the_base() -> None:
    base = POSTERS(title="base", width=400)
    first, second = posters("Title,Width,Height\nx,,300\n,500, \n", base)
    assert (first.title, first.width, first.height) == ("x", 400, 300)
    assert (second.title, second.width, second.height) == ("base", 500, 512)
    assert (base.title, base.width) == ("base", 400)


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.jsonl"])
def test_the_manifest_of_a_sweep_is_a_table_of_its_runs(name: str) -> None:
    plan = a_plan(
        an_input("Seconds", name="seconds"),
        an_input("Photo", index=1, name="photo", field_type="ImageField", value=UNSET),
    )
    written(b"", "in.png")
    written(b"", "out/in.png")  # paths in a manifest are relative to the working directory
    rows: list[dict[str, Any]] = [
        {
            **dict.fromkeys(OWN_COLUMNS, ""),
            "file": f"{index}-{output}.png",
            "index": index,
            "run": 0,
            "seconds": 1.5,
            "seconds (input)": index,
            "photo": "in.png" if index else None,
            "Prompts: value": "a fox",
        }
        for index in (5, 0, 3)
        for output in ("poster", "sketch")
    ]
    write_manifest(f"out/{name}", rows)
    read = read_csv if name.endswith(".csv") else read_jsonl
    made = read(f"out/{name}", plan, params_type(plan, {"seconds": 7, "photo": None}))
    assert [params.to_dict() for params in made] == [
        {"seconds": 5, "photo": {"path": "in.png"}},
        {"seconds": 0, "photo": None},
        {"seconds": 3, "photo": {"path": "in.png"}},
    ]
    rows[2]["seconds (input)"] = rows[3]["seconds (input)"] = "x"
    write_manifest(f"out/{name}", rows)
    place = f"out/{name}, " + ("row 5, column" if name.endswith(".csv") else "line 4, key")
    messages = refused(lambda: read(f"out/{name}", plan, params_type(plan, {"seconds": 7, "photo": None})))
    assert messages == [f"{place} 'seconds' (Seconds): \"x\" should be a valid integer"]


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.jsonl"])
@pytest.mark.parametrize("changed", [{"run": None}, {"index": [0]}, {"index": ""}])
def test_a_row_of_a_manifest_that_belongs_to_no_run_is_reported(name: str, changed: dict[str, Any]) -> None:
    plan = a_plan(an_input("Width", name="width"))
    row = {**dict.fromkeys(OWN_COLUMNS, ""), "index": 0, "run": 0, "width": 8}
    write_manifest(name, [row, row | changed])
    read = read_csv if name.endswith(".csv") else read_jsonl
    (message,) = refused(lambda: read(name, plan, params_type(plan)))
    assert message.startswith(f"{name} cannot be read: row {3 if read is read_csv else 2} does not say which run")


def test_labels_of_any_language() -> None:
    (row,) = read_csv(written("墨色,宽度\n#ff0000,100\n"), ink_wash.WORKFLOW.plan, ink_wash.Params)
    assert (row.墨色, row.宽度) == ("#ff0000", 100)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_line_ends_and_encodings(delimiter: str, end: str, encoding: str) -> None:
    table = [["Title", " Width "], ['"a, b; c\té"', "300"], ["x", "301"]]
    text = end.join(delimiter.join(cells) for cells in table)
    assert [(row.title, row.width) for row in posters(text, encoding=encoding)] == [("a, b; c\té", 300), ("x", 301)]


def test_the_delimiter_is_the_one_with_which_the_first_row_names_most_inputs() -> None:
    plan = a_plan(an_input("Size, px", name="size", index=0), an_input("Steps", name="steps", index=1))
    (row,) = read_csv(written("Size, px;Steps\n8;9\n"), plan, params_type(plan))
    assert (row[0], row[1]) == (8, 9)


def test_a_single_column_has_no_delimiter() -> None:
    assert [row.title for row in posters("Title\na;b\n\n\nc\n")] == ["a;b", "c"]


def test_empty_rows_and_nameless_empty_columns_are_left_out() -> None:
    rows = posters("\n,,\nTitle,Width,,\na,300,,\n,,,\nb,301\nc,302,\n")
    assert [(row.title, row.width) for row in rows] == [("a", 300), ("b", 301), ("c", 302)]


def test_everything_wrong_is_reported_at_once_by_row_and_column() -> None:
    text = 'Title,Width,glow,12,Mood,Sky Color\na,abc,,,calm,\n"b\nc",7,,,Calm,\n\nd,7.5,"0,5",,loud,"(1, 2, 300)"\n'
    assert refused(lambda: posters(text)) == [
        "rows.csv, row 2, column 'Width' (width): 'abc' should be a whole number, 256 to 1536",
        "rows.csv, row 3, column 'Width' (width): '7' should be 256 or more",
        "rows.csv, row 5, column 'Width' (width): '7.5' should be a valid integer",
        "rows.csv, row 5, column 'glow' (Glow): '0,5' should be a number, 0 to 1; use a decimal point, as in 0.5",
        "rows.csv, row 5, column 'Mood' (mood): 'loud' should be 'calm', 'stormy' or 'dreamlike'",
        (
            "rows.csv, row 5, column 'Sky Color' (sky_color): '(1, 2, 300)' cannot be used: "
            "channel b of a colour is 300, not a whole number from 0 to 255"
        ),
    ]


def test_problems_can_be_read_by_programs() -> None:
    with pytest.raises(ParamsError) as caught:
        posters("Title,2\na,768\nb,7\n")
    (problem,) = caught.value.problems
    assert isinstance(problem, TableProblem)
    assert (problem.name, problem.label, problem.row, problem.column) == ("width", "Width", 3, "2")
    assert problem.reason == "should be 256 or more"


def test_a_long_list_of_problems_is_cut_in_the_text_only() -> None:
    with pytest.raises(TableError) as caught:
        posters("Width\n" + "x\n" * 50)
    lines = str(caught.value).splitlines()
    assert len(caught.value.problems) == 50
    assert (lines[0], lines[20][:19], lines[-1]) == ("50 problems:", "  rows.csv, row 21,", "  and 30 more")


def test_a_column_that_names_no_input_gets_the_nearest_names() -> None:
    assert refused(lambda: posters("Titel,Width\na,7\n")) == [
        "rows.csv, row 1, column 'Titel': unknown input 'Titel'; did you mean Title (title)?",
        "rows.csv, row 2, column 'Width' (width): '7' should be 256 or more",
    ]


def test_a_file_without_a_header_is_reported_so() -> None:
    assert refused(lambda: posters("a fox,x\na hare,y\n"))[0] == (
        "rows.csv, row 1: the first row should name inputs, by label, Python name or index in the form, but names none"
    )


@pytest.mark.parametrize(
    ("header", "where", "both"),
    [("Width,Title,Width", "'Width' (width)", "'Width' twice"), ("Width,Title,2", "'2' (Width, width)", "'Width' and '2'")],
)  # fmt: skip
def test_two_columns_of_one_input(header: str, where: str, both: str) -> None:
    message = f"rows.csv, row 1, column {where}: Width (width) is named in two places, {both}: keep one"
    assert refused(lambda: posters(f"{header}\n300,a,301\n")) == [message]


def test_a_column_of_an_input_that_an_edge_feeds_is_refused_with_the_reason() -> None:
    plan = a_plan(an_input("Width", name="width", index=0), an_input("Seed", name="seed", index=1, fed_by="Random"))
    assert refused(lambda: read_csv(written("Width,Seed\n1,2\n"), plan, params_type(plan))) == [
        "rows.csv, row 1, column 'Seed': Seed (seed) cannot be set: in the workflow it is fed by node 'Random'"
    ]


def test_a_label_that_several_inputs_have_is_refused() -> None:
    plan = a_plan(*(an_input("Steps", name=f"steps_{place}", index=place) for place in range(2)))
    (message,) = refused(lambda: read_csv(written("Steps,1\n1,2\n"), plan, params_type(plan)))
    assert "use a name or an index: steps_0 (index 0), steps_1 (index 1)" in message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a", "rows.csv, row 2: 1 cell where the first row names 2 columns: a cell may be empty, but its delimiter is needed"),
        ("a,300,b", "rows.csv, row 2: 'b' is in a column that the first row does not name: a text that has the delimiter"),
        ('"big" fox,300', "rows.csv, row 2: this row and those after it cannot be read"),
        ('x,300\n"a fox,300\nb,300', "rows.csv, row 3: this row and those after it cannot be read"),
        ('x,300\n"' + "a" * 140_000 + '",300', "rows.csv, row 3: this row and those after it cannot be read"),
    ],
)  # fmt: skip
def test_ragged_rows_and_stray_quotes(rows: str, message: str) -> None:
    (told,) = refused(lambda: posters(f"Title,Width\n{rows}\n"))
    assert told.startswith(message)


@pytest.mark.parametrize("text", ["Title,,\na,,b\n", "Title,,Width\na,b,300\n"])
def test_a_value_under_no_name_is_refused(text: str) -> None:
    message = "rows.csv, row 2: 'b' is in a column that the first row does not name"
    assert refused(lambda: posters(text)) == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rows.csv is empty: its first row should name inputs, the others their values"),
        (" \n\n", "rows.csv is empty: its first row should name inputs, the others their values"),
        ("Title,Width\n", "rows.csv has no rows of values"),
        ("Title,Width\n,\n", "rows.csv has no rows of values"),
        ("Title\nok\nÄ\n".encode("latin-1"), "rows.csv is not a text in UTF-8, first in line 3: save it as UTF-8, in Excel as 'CSV UTF-8'"),
        ("Title\na\n".encode("utf-16-le"), "rows.csv is not a text in UTF-8: save it as UTF-8, in Excel as 'CSV UTF-8'"),
        (b"\xff\xfea", "rows.csv is not a text in UTF-8: save it as UTF-8, in Excel as 'CSV UTF-8'"),
    ],
)  # fmt: skip
def test_files_that_are_no_tables(text: str | bytes, message: str) -> None:
    assert refused(lambda: posters(text)) == [message]


def test_files_that_cannot_be_read() -> None:
    Path("folder").mkdir()
    assert refused(lambda: read_csv("nix.csv", POSTER, POSTERS))[0].startswith("nix.csv cannot be read: ")
    assert refused(lambda: read_jsonl(Path("folder"), POSTER, POSTERS))[0].startswith("folder cannot be read: ")


def test_a_required_input_without_a_column_is_reported_once() -> None:
    path = written("Width\n100\n101\n")
    assert refused(lambda: read_csv(path, IMAGE, IMAGES)) == [
        (
            "rows.csv, row 1: no column for Source Image (source_image), which needs one: "
            "the workflow has no usable value for it"
        )
    ]
    assert [row.width for row in read_csv(path, IMAGE, IMAGES, IMAGES(source_image="x"))] == [100, 101]


def test_a_required_input_with_an_empty_cell_is_reported_by_its_row() -> None:
    assert refused(lambda: read_csv(written("Source Image,Width\na,100\n,101\n"), IMAGE, IMAGES)) == [
        "rows.csv, row 3: Source Image (source_image) is required: the workflow has no usable value for it"
    ]


def test_a_base_that_is_no_longer_valid_is_not_blamed_on_the_file() -> None:
    base = color_study_batch.Params()
    base.names.append(3)  # type: ignore[arg-type]
    with pytest.raises(ParamsError) as caught:
        read_csv(written("Width\n100\n"), color_study_batch.WORKFLOW.plan, color_study_batch.Params, base)
    assert not isinstance(caught.value, TableError)
    assert "Names (names)" in str(caught.value)


def test_an_item_of_a_list_is_reported_by_its_place() -> None:
    path = written('Hues\n"[1, ""x""]"\n')
    assert refused(lambda: read_csv(path, color_study_batch.WORKFLOW.plan, color_study_batch.Params)) == [
        "rows.csv, row 2, column 'Hues' (hues): '[1, \"x\"]': item 1: got 'x', should be a valid integer"
    ]


def test_rows_do_not_share_their_lists() -> None:
    plan, params = color_study_batch.WORKFLOW.plan, color_study_batch.Params
    base = params(names=["a", "b", "c"])
    first, second = read_csv(written("Width\n100\n101\n"), plan, params, base)
    first.names.append("d")
    assert (second.names, base.names) == (["a", "b", "c"], ["a", "b", "c"])


def test_paths_of_images_are_looked_for_beside_the_file_and_then_in_the_working_directory() -> None:
    for image in ("data/a.png", "a.png", "img/b.png", "data/img/c.png"):
        written(b"", image)
    path = written("Source Image\na.png\nimg/b.png\nimg/c.png\non_the_server.png\n", "data/rows.csv")
    rows = read_csv(path, IMAGE, IMAGES)
    places = [Path("data/a.png"), Path("img/b.png"), Path("data/img/c.png"), "on_the_server.png"]
    assert [row.source_image for row in rows] == places


def test_an_absolute_path_of_an_image(tmp_path: Path) -> None:
    image = tmp_path / "a fox.png"
    image.touch()
    (row,) = read_csv(written(f"Source Image\n{image}\n", "data/rows.csv"), IMAGE, IMAGES)
    assert row.source_image == image


def test_a_missing_image_is_reported_with_the_places_it_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    path = written("Source Image,Width\nimg/a.png,1\n./img,100\n", "data/rows.csv")
    missing, width, folder = refused(lambda: read_csv(path, IMAGE, IMAGES))
    places = [os.path.abspath(place) for place in ("data/img/a.png", "img/a.png")]
    assert missing == (
        "data/rows.csv, row 2, column 'Source Image' (source_image): 'img/a.png' is not a file: "
        f"looked for {places[0]} and {places[1]}"
    )
    assert width.startswith("data/rows.csv, row 2, column 'Width' (width): '1' should be")
    assert "row 3, column 'Source Image' (source_image): './img' is a folder, not a file" in folder


def posters_of_lines(*lines: str) -> list[sunset_poster.Params]:
    return read_jsonl(written("\n".join(lines), "rows.jsonl"), POSTER, POSTERS)


def test_lines_have_the_values_that_to_dict_writes() -> None:
    given_rows = [POSTERS(title="a\u2028b", width=300, sky_color=Color(1, 2, 3)), POSTERS(glow=1, poster_board="x")]
    lines = [json.dumps(row.to_dict(), ensure_ascii=False) for row in given_rows]
    assert posters_of_lines(*lines) == given_rows


def test_keys_are_labels_names_or_indices_and_empty_lines_do_not_count() -> None:
    text = '\ufeff{"Title": "a", "3": 300, "glow": 1}\r\n\r\n{"Title": ""}\r\n'
    base = POSTERS(width=400)
    first, second = read_jsonl(written(text, "rows.jsonl"), POSTER, POSTERS, base)
    assert (first.title, first.height, first.glow, first.width) == ("a", 300, 1.0, 400)
    assert (second.title, second.height, second.width) == ("", 512, 400)


def test_null_is_none() -> None:
    plan = a_plan(an_input("Size", name="size", index=0, value=UNSET), an_input("Steps", name="steps", index=1))
    path = written('{"size": null, "steps": 1}\n{"size": 1, "steps": null}', "rows.jsonl")
    (message,) = refused(lambda: read_jsonl(path, plan, params_type(plan)))
    assert message == "rows.jsonl, line 2, key 'steps' (Steps): null should be a valid integer"


def test_everything_wrong_with_lines_is_reported_at_once() -> None:
    lines = [
        '{"Width": "768", "sky_color": {"r": 300, "g": 2, "b": 3}}',
        "",
        '[1, "ü"]',
        '{"Title": "a",',
        '{"Widht": 768}',
        '{"width": 300, "Width": 301}',
    ]
    assert refused(lambda: posters_of_lines(*lines)) == [
        "rows.jsonl, line 1, key 'Width' (width): \"768\" should be a valid integer",
        ("rows.jsonl, line 1, key 'sky_color' (Sky Color): {\"r\": 300, \"g\": 2, \"b\": 3} cannot be used: "
        "channel r of a colour is 300, not a whole number from 0 to 255"),
        'rows.jsonl, line 3: [1, "ü"] should be a JSON object, {NAME: VALUE, …}',
        ("rows.jsonl, line 4: not JSON (Expecting property name enclosed in double quotes at character 15): "
        "each line should be one object, {NAME: VALUE, …}"),
        "rows.jsonl, line 5, key 'Widht': unknown input 'Widht'; did you mean Width (width)?",
        "rows.jsonl, line 6, key 'Width' (width): Width (width) is named in two places, 'width' and 'Width': keep one",
    ]  # fmt: skip


def test_a_line_without_a_required_input() -> None:
    path = written('{"Width": 100}\n{"Sauce Image": "x"}', "rows.jsonl")
    assert refused(lambda: read_jsonl(path, IMAGE, IMAGES)) == [
        "rows.jsonl, line 1: Source Image (source_image) is required: the workflow has no usable value for it",
        "rows.jsonl, line 2, key 'Sauce Image': unknown input 'Sauce Image'; did you mean Source Image (source_image)?",
    ]  # fmt: skip


def test_a_file_without_lines() -> None:
    assert refused(lambda: posters_of_lines("", " ")) == ["rows.jsonl has no lines of values"]


def test_images_in_lines_are_paths_texts_or_references() -> None:
    written(b"", "data/a.png")
    values = [{"path": "a.png"}, "a.png", {"image_name": "a.png"}, "b.png"]
    lines = [json.dumps({"source_image": value}) for value in values]
    rows = read_jsonl(written("\n".join(lines), "data/rows.jsonl"), IMAGE, IMAGES)
    assert [row.source_image for row in rows] == [Path("data/a.png"), Path("data/a.png"), ImageRef("a.png"), "b.png"]
    path = written('{"source_image": {"path": "b.png"}}', "rows.jsonl")
    (message,) = refused(lambda: read_jsonl(path, IMAGE, IMAGES))
    assert message == (
        "rows.jsonl, line 1, key 'source_image' (Source Image): "
        f'{{"path": "b.png"}} is not a file: looked for {os.path.abspath("b.png")}'
    )


PIECES = [
    *(
        "Title",
        "Width",
        "0",
        "Source Image",
        "CFG Scale",
        "names",
        "Seeds",
        ",",
        ";",
        "\t",
        "\n",
        "\r\n",
        '"',
        "{",
        "}",
    ),
    *("[", "]", ":", "null", "1", "7.9", "1e999", "9" * 500, '{"Title":', '{"path": 3}', "../", "\\ud800", "é", "\0"),
]


@given(st.binary() | st.lists(st.sampled_from(PIECES)).map(lambda pieces: "".join(pieces).encode()))
@settings(deadline=None, derandomize=True)
def test_no_file_leads_to_any_other_error(data: bytes) -> None:
    for module in (sunset_poster, sd15_image_to_image, color_study_batch):
        workflow: Any = module.WORKFLOW
        for read in (read_csv, read_jsonl):
            try:
                assert read(written(data, "rows"), workflow.plan, workflow.params_type)
            except TableError as error:
                assert str(error).startswith(("rows", f"{len(error.problems)} problems:\n  rows"))


def test_prompts_stand_one_in_a_line() -> None:
    text = "\ufeff# animals\r\n\r\n  a fox, in snow \r\n  # not this\r\na hare #1\u2028 and a hat\r\n"
    assert read_prompts(written(text, "prompts.txt")) == ["a fox, in snow", "a hare #1\u2028 and a hat"]


def test_a_file_without_prompts() -> None:
    (message,) = refused(lambda: read_prompts(written("\n# only this\n", "prompts.txt")))
    assert message == (
        "prompts.txt has no prompts: write one in each line (lines that start with '#' do not count)"
    )  # fmt: skip
    assert (
        "is not a text in UTF-8, first in line 1" in refused(lambda: read_prompts(written(b"\xe4", "prompts.txt")))[0]
    )


def names(paths: list[Path]) -> list[str]:
    return [path.as_posix() for path in paths]


@pytest.fixture
def photos() -> None:
    for name in ("img10.png", "img2.PNG", "Img1.jpg", "b.tiff", "notes.txt", ".hidden.png", "more/img1.webp"):
        written(b"", f"photos/{name}")
    Path("photos/folder.png").mkdir()


@pytest.mark.usefixtures("photos")
def test_images_of_a_folder_in_natural_order() -> None:
    found = ["photos/b.tiff", "photos/Img1.jpg", "photos/img2.PNG", "photos/img10.png"]
    assert names(image_files("photos")) == names(image_files(Path("photos"))) == found


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("photos/*.png", ["photos/img2.PNG", "photos/img10.png"]),
        ("photos/i*", ["photos/img2.PNG", "photos/img10.png"]),
        ("photos/**/*.webp", ["photos/more/img1.webp"]),
        ("photos/*/*", ["photos/more/img1.webp"]),
        ("photos/b.tiff", ["photos/b.tiff"]),
    ],
)
def test_images_of_a_pattern(pattern: str, found: list[str]) -> None:
    assert [name for name in names(image_files(pattern)) if "Img1" not in name] == found


@pytest.mark.usefixtures("photos")
def test_two_stars_find_the_images_of_all_folders_once() -> None:
    try:
        Path("photos/more/round").symlink_to(Path("photos").absolute(), target_is_directory=True)
        Path("photos/link.png").symlink_to(Path("photos/b.tiff").absolute())
    except OSError:
        pytest.skip("this system makes no links")
    assert names(image_files("photos/**")) == [
        "photos/b.tiff", "photos/Img1.jpg", "photos/img2.PNG", "photos/img10.png", "photos/link.png",
        "photos/more/img1.webp",
    ]  # fmt: skip


def test_a_folder_may_have_the_signs_of_a_pattern_in_its_name() -> None:
    written(b"", "[a]/[b].png")
    assert names(image_files("[a]")) == names(image_files("[a]/[b].png")) == ["[a]/[b].png"]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nix", "nix is neither a folder nor a file: looked for {}; give a folder, or a pattern such as photos/*.png"),
        ("photos/notes.txt", "photos/notes.txt is not the name of an image; give a folder, or a pattern"),
        ("photos/*.txt", "photos/*.txt has no images, but 1 other file (looked for {}); images end in png, jpg, jpeg,"),
        ("photos/x*.png", "photos/x*.png has no images: nothing was found (looked for {}); images end in png"),
        ("photos/folder.png", "photos/folder.png has no images: nothing was found (looked for {})"),
    ],
)
def test_where_there_are_no_images(where: str, message: str) -> None:
    assert refused(lambda: image_files(where))[0].startswith(message.format(os.path.abspath(where)))


@pytest.mark.parametrize(
    "text",
    [
        ",title,seed\n0,A,1\n1,B,2\n",
        "Unnamed: 0;title;seed\n0;A;1\n1;B;2\n",
        "# title,seed\nA,1\nB,2\n",
    ],
)
def test_the_index_of_pandas_and_the_header_of_numpy_are_read(text: str) -> None:
    rows = read_csv(written(text), POSTER, POSTERS)
    assert [(row.title, row.seed) for row in rows] == [("A", 1), ("B", 2)]


def test_a_column_without_a_name_that_does_not_count_rows_is_refused() -> None:
    with pytest.raises(TableError, match="in a column that the first row does not name"):
        read_csv(written(",title\n0,A\n7,B\n"), POSTER, POSTERS)
