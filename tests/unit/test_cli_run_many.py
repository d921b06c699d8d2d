"""`run` for many values, without a server: what lists, rows and prompts become in a dry run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from invokeai_gen.schema import Schema
from invokeai_gen.sweeps.files.manifest import write_manifest
from tests.cli import Answer, Cli, labelled, save, sent_batch, sent_items, sent_nodes
from tests.unit.workflow_builder import Builder

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("examples")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2, 3", [1, 2, 3]),
        ("[4, 5]", [4, 5]),
        ("1..4", [1, 2, 3, 4]),
        ("0..100..40", [0, 40, 80]),
        ("3..1", [3, 2, 1]),
        ("1..2,9", [1, 2, 9]),
        ("-1..1", [-1, 0, 1]),
    ],
)
def test_lists_of_numbers(cli: Cli, text: str, values: list[int]) -> None:
    assert sent_items(cli("run", "adder.json", "--product", f"first={text}", "--dry-run")) == [[values]]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a fox,an owl", ["a fox", "an owl"]),
        ('"a fox, red",owl', ["a fox, red", "owl"]),
        ('["a, b", "c"]', ["a, b", "c"]),
        ("1..3", ["1..3"]),
    ],
)
def test_lists_of_texts(cli: Cli, text: str, values: list[str]) -> None:
    assert sent_items(cli("run", "text.json", "--product", f"prompt={text}", "--runs", "2", "--dry-run")) == [[values]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1..5..-1", "is the range '1..5..-1', whose step leads away from its end"),
        ("1..5..0", "is the range '1..5..0', whose step leads away from its end"),
        ("0..9999999999", "is the range '0..9999999999' of 10000000000 values; more than 1000000"),
        ("[1,", "is '[1,', which is not a JSON list"),
        ("", "has an empty list of values"),
    ],
)
def test_lists_that_cannot_be_are_reported(cli: Cli, text: str, problem: str) -> None:
    answer = cli("run", "adder.json", "--product", f"first={text}", "--dry-run")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert answer.err.startswith(f"error: --product (input 0): First (first) {problem}")


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["fox:owl,cat"], ["a owl", "a cat"]),
        (["fox:owl", "a:the,one"], ["the owl", "one owl"]),
        (['fox: "owl, red", cat'], ["a owl, red", "a cat"]),
        (['"fox":"b:c"'], ["a b:c"]),
    ],
)
def test_words_of_a_text_are_replaced(cli: Cli, texts: list[str], values: list[str]) -> None:
    options = [word for text in texts for word in ("--replace", f"prompt={text}")]
    assert sent_items(cli("run", "text.json", "--prompt", "a fox", *options, "--dry-run")) == [[values]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fox=owl", "Prompt (prompt) has 'fox=owl' to replace: write WORD:OTHER,OTHER, such as fox:owl,cat"),
        (":owl", "Prompt (prompt) has ':owl' to replace: write WORD:OTHER,OTHER, such as fox:owl,cat"),
        ("fox:owl,,cat", "Prompt (prompt) has 'fox:owl,,cat' to replace: write WORD:OTHER,OTHER, such as fox:owl,cat"),
        ("wolf:owl", "Prompt (prompt): replace cannot find 'wolf' in 'a fox'"),
    ],
)
def test_words_that_cannot_be_replaced_are_reported(cli: Cli, text: str, problem: str) -> None:
    answer = cli("run", "text.json", "--prompt", "a fox", "--replace", f"prompt={text}", "--dry-run")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert problem in answer.err


def test_every_wrong_replacement_of_one_text_is_reported(cli: Cli) -> None:
    texts = ["prompt=fox=owl", "prompt=fox:cat", "prompt=:dog"]
    answer = cli("run", "text.json", *(word for text in texts for word in ("--replace", text)), "--dry-run")
    assert answer.code == 1
    assert [line.partition(" to replace")[0] for line in answer.errors] == [
        "error: --replace (input 0): Prompt (prompt) has 'fox=owl'",
        "error: --replace (input 0): Prompt (prompt) has ':dog'",
    ]


def test_dynamic_prompts_are_for_texts(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--dynamic", "first={1|2}", "--dry-run")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "First (first) takes no --dynamic, which is for texts: use --product" in answer.err


def test_an_input_with_two_lists_is_reported(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--product", "first=1,2", "--zip", "0=3,4")
    told = "error: --zip (input 0): First (first) has several lists of values, --product and --zip: keep one"
    assert (answer.code, answer.errors) == (1, [told])


def test_zipped_lists_of_unequal_length_are_reported(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--zip", "first=1,2", "--zip", "b=1,2,3")
    assert (answer.code, answer.errors) == (1, ["error: the lists of zip differ in length: first has 2, b has 3"])


def test_a_dry_run_counts_and_shows_the_first_request(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--product", "first=1,2,3", "--zip", "b=4,5", "--runs", "2", "--dry-run")
    assert answer.errors == [
        "Adder: 12 items in 1 enqueue; nothing was sent",
        "varies: B (b): 2 values",
        "varies: First (first): 3 values",
    ]
    assert sent_items(answer) == [[[4, 5]], [[1, 2, 3]]]
    assert sent_batch(answer)["runs"] == 2


def test_what_a_server_cannot_vary_makes_enqueues(cli: Cli) -> None:
    answer = cli("run", "text.json", "--product", "tint=#000000,#ffffff", "--product", "prompt=a,b,c", "--dry-run")
    assert answer.errors[0].endswith(": 6 items in 2 enqueues; nothing was sent")
    assert sent_items(answer) == [[["a", "b", "c"]]]
    lists = cli("run", "text.json", "--product", "sizes=[1, 2], [3]", "--dry-run")
    assert lists.errors[0].endswith(": 2 items in 2 enqueues; nothing was sent")
    assert sent_nodes(lists)["i"]["collection"] == [1, 2]


def test_a_dry_run_of_one_is_the_request_of_payload(cli: Cli) -> None:
    dry = json.loads(cli("run", "text.json", "--prompt", "x", "--dry-run").out)
    payload = json.loads(cli("payload", "text.json", "--set", "prompt=x").out)
    for request in (dry, payload):
        del request["batch"]["graph"]["id"]
        request["batch"].pop("batch_id", None)
    assert dry == payload


def test_files_and_names_stand_in_a_dry_run_for_what_a_server_makes_of_them(cli: Cli) -> None:
    photos = Path("photos")
    photos.mkdir()
    for name in ("b10.png", "b2.PNG", "notes.txt"):
        (photos / name).write_bytes(b"")
    answer = cli("run", "blur.json", "--each", "image=photos/*.png", "--set", "output=Cats", "--dry-run")
    assert sent_items(answer) == [
        [[{"image_name": "<upload of photos/b2.PNG>"}, {"image_name": "<upload of photos/b10.png>"}]]
    ]
    assert sent_nodes(answer)["s"]["board"] == {"board_id": "<board Cats>"}
    whole = cli("run", "blur.json", "--image", "photos/b10.png", "--dry-run")
    assert sent_nodes(whole)["b"]["image"] == {"image_name": "<upload of photos/b10.png>"}
    named = cli("run", "blur.json", "--image", "on-the-server.png", "--dry-run")
    assert sent_nodes(named)["b"]["image"] == {"image_name": "on-the-server.png"}


def test_each_line_of_a_file_is_a_prompt(cli: Cli) -> None:
    Path("prompts.txt").write_text("a fox, red\n\n# no\n an owl \n", encoding="utf-8")
    answer = cli("run", "text.json", "--each", "prompt=prompts.txt", "--product", "größe=1,2", "--dry-run")
    assert sent_items(answer) == [[["a fox, red", "an owl"]], [[1, 2]]]


def test_lines_of_a_prompt_file_have_options_of_their_own(cli: Cli) -> None:
    lines = "a fox's tail --größe 7\nan owl --no text\n--größe=8\ncats"
    Path("prompts.txt").write_text(lines, encoding="utf-8")
    options = ("--each", "prompt=prompts.txt", "--größe", "5", "--dry-run")
    assert sent_items(cli("run", "text.json", *options)) == [[
        ["a fox's tail", "an owl --no text", "a fox", "cats"], [7, 5, 8, 5],
    ]]  # fmt: skip
    grid = sent_items(cli("run", "text.json", *options, "--product", "sizes=[1],[2]"))
    assert len(grid[0][0]) == 4


def test_options_in_a_prompt_file_are_spelled_as_on_the_command_line(cli: Cli) -> None:
    Path("prompts.txt").write_text("cats --loud --tint '#ff0000'\nan owl\n", encoding="utf-8")
    answer = cli("run", "text.json", "--each", "prompt=prompts.txt", "--dry-run")
    assert "varies: Prompt (prompt), Loud (loud), Tint (tint): 2 values" in answer.err
    nodes = sent_nodes(answer)
    assert (nodes["y"]["value"], nodes["c"]["color"]) == (True, {"r": 255, "g": 0, "b": 0, "a": 255})


def test_wrong_options_in_a_prompt_file_are_reported_with_their_lines(cli: Cli) -> None:
    Path("prompts.txt").write_text("a fox --größe x\nan owl --größse 7\n", encoding="utf-8")
    answer = cli("run", "text.json", "--each", "prompt=prompts.txt", "--dry-run")
    assert (answer.code, len(answer.errors)) == (1, 2)
    assert "'a fox --größe x': Größe (größe)" in answer.errors[0]
    assert "unknown input 'größse'; did you mean Größe (größe)?" in answer.errors[1]
    Path("lines.txt").write_text("3 --image a.png\n", encoding="utf-8")


def test_each_is_for_files(cli: Cli) -> None:
    answer = cli("run", "text.json", "--each", "größe=prompts.txt", "--each", "prompt=none.txt")
    assert answer.code == 1
    assert answer.errors[0].startswith("error: --each (input 1): Größe (größe) takes no --each")
    assert answer.errors[1].startswith("error: --each (input 0): none.txt cannot be read")
    answer = cli("run", "blur.json", "--each", "image=photos")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert answer.err.startswith("error: --each (input 0): photos is neither a folder nor a file")


def test_rows_of_a_file_keep_what_options_say(cli: Cli) -> None:
    Path("rows.csv").write_text("First,b\n1,\n2,7\n", encoding="utf-8")
    answer = cli("run", "adder.json", "--csv", "rows.csv", "--b", "9", "--dry-run")
    assert sent_items(answer) == [[[1, 2], [9, 7]]]
    Path("rows.jsonl").write_text('{"First": 1}\n{"First": 5}\n', encoding="utf-8")
    answer = cli("run", "adder.json", "--jsonl", "rows.jsonl", "--product", "b=1,2", "--dry-run")
    assert sent_items(answer) == [[[1, 5]], [[1, 2]]]


def test_a_required_input_may_come_from_rows_or_lists(cli: Cli) -> None:
    Path("a.png").write_bytes(b"")
    Path("rows.csv").write_text("image,radius\na.png,1\na.png,2\n", encoding="utf-8")
    assert cli("run", "blur.json", "--csv", "rows.csv", "--dry-run").code == 0
    Path("rows.csv").write_text("radius\n1\n2\n", encoding="utf-8")
    assert cli("run", "blur.json", "--csv", "rows.csv", "--image", "a.png", "--dry-run").code == 0
    assert cli("run", "blur.json", "--csv", "rows.csv", "--each", "image=a.png", "--dry-run").code == 0
    answer = cli("run", "blur.json", "--csv", "rows.csv", "--dry-run")
    assert answer.errors == [
        "error: rows.csv, row 1: no column for Image (image), which needs one: the workflow has no usable value for it"
    ]


def test_cells_that_do_not_fit_are_reported_with_row_and_column(cli: Cli) -> None:
    Path("rows.csv").write_text("First,b\n1,x\n2,7\ny,1\n", encoding="utf-8")
    answer = cli("run", "adder.json", "--csv", "rows.csv")
    assert (answer.code, len(answer.errors)) == (1, 2)
    assert answer.errors[0].startswith("error: rows.csv, row 2, column 'b' (B): 'x' should be a whole number")
    assert answer.errors[1].startswith("error: rows.csv, row 4, column 'First' (first): 'y' should be a whole number")


def test_batch_nodes_multiply_a_dry_run(cli: Cli, schema: Schema) -> None:
    builder = Builder(schema).node("b", "string_batch", strings=["x", "y"]).node("t", "string").node("n", "integer")
    builder.edge("b.value", "t.value").field("n.value")
    save(Path("batch.json"), labelled(builder, n__value="Number"))
    answer = cli("run", "batch.json", "--product", "number=1,2,3", "--dry-run")
    assert answer.errors[0].endswith(": 6 items in 1 enqueue; nothing was sent")
    assert sent_items(answer) == [[[1, 2, 3]], [["x", "y"]]]


def test_a_manifest_is_a_table_of_values(cli: Cli) -> None:
    own = ("file", "index", "run", "item_id", "output", "name", "server", "error")
    rows = [
        {
            **dict.fromkeys(own, ""),
            "file": f"{index}_{output}.png",
            "index": index,
            "run": 0,
            "prompt": text,
            "loud": True,
        }
        for index, text in enumerate(["=a fox", "12"])
        for output in ("poster", "sketch")
    ]
    for name in ("manifest.csv", "manifest.jsonl"):
        write_manifest(name, rows)
        option = "--csv" if name.endswith(".csv") else "--jsonl"
        answer = cli("run", "text.json", option, name, "--dry-run")
        assert sent_items(answer) == [[["=a fox", "12"]]], answer.err
        assert sent_nodes(answer)["y"]["value"] is True


def test_a_table_can_come_from_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(content: str, *options: str) -> Answer:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        return cli("run", "adder.json", *options, "--dry-run")

    assert sent_items(answered("First,b\n1,2\n3,4\n", "--csv", "-")) == [[[1, 3], [2, 4]]]
    assert sent_items(answered('{"First": 1}\n{"First": 3}\n', "--jsonl", "-")) == [[[1, 3]]]
    wrong = answered("First\nx\n", "--csv", "-")
    assert wrong.errors[0].startswith("error: stdin, row 2, column 'First' (first): 'x' should be a whole number")


def test_extra_columns_are_ignored_only_if_wanted(cli: Cli) -> None:
    Path("rows.csv").write_text("id,First,note\nA1,1,x\nA2,5,\n", encoding="utf-8")
    Path("rows.jsonl").write_text('{"id": "A1", "First": 1}\n{"id": "A2", "First": 5}\n', encoding="utf-8")
    for option, file in (("--csv", "rows.csv"), ("--jsonl", "rows.jsonl")):
        assert "unknown input 'id'" in cli("run", "adder.json", option, file, "--dry-run").err
        answer = cli("run", "adder.json", option, file, "--ignore-extra-columns", "--dry-run")
        assert sent_items(answer) == [[[1, 5]]], answer.err
    assert cli("run", "adder.json", "--ignore-extra-columns", "--dry-run").code == 2
