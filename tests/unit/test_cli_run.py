"""`run` before it talks to a server: its options, its help, what it refuses, and what a dry run shows."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete

from invokeai_gen.cli import cli as group
from invokeai_gen.cli.run.command_line import CommandLine
from invokeai_gen.cli.run.input_options import peek
from invokeai_gen.cli.run.run import command
from invokeai_gen.schema import Schema
from invokeai_gen.sweeps.files.manifest import write_manifest
from tests.cli import Answer, Cli, adder, save
from tests.unit.workflow_builder import Builder

ROOT = Path(__file__).parents[2]


def _labelled(builder: Builder, **labels: str) -> dict[str, Any]:
    """The workflow with labels by `node__field`."""
    data = builder.data()
    for place, label in labels.items():
        node_id, name = place.split("__")
        (node,) = (node for node in data["nodes"] if node["id"] == node_id)
        node["data"]["inputs"][name]["label"] = label
    for node in data["nodes"]:
        node["data"]["isIntermediate"] = False
    return data


@pytest.fixture
def cli(cli: Cli, monkeypatch: pytest.MonkeyPatch, schema: Schema) -> Cli:
    """The command in a folder with some workflows; nothing answers at the address of its server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("INVOKEAI_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    save(Path("adder.json"), adder())
    blur = Builder(schema).node("b", "img_blur").node("s", "save_image", label="Result").edge("b.image", "s.image")
    blur.field("b.image").field("b.radius").field("b.blur_type").field("s.board")
    save(Path("blur.json"), _labelled(blur, b__radius="Radius", s__board="Output"))
    text = Builder(schema).node("t", "string", value="a fox").node("n", "integer", value=3).node("c", "color")
    text.node("y", "boolean").node("i", "integer_collection", collection=[1])
    text.field("t.value").field("n.value").field("c.color").field("y.value").field("i.collection")
    save(
        Path("text.json"),
        _labelled(text, t__value="Prompt", n__value="Größe", c__color="Tint", y__value="Loud", i__collection="Sizes"),
    )
    return cli


def _request(answer: Answer) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    batch: dict[str, Any] = json.loads(answer.out)["batch"]
    return batch


def _nodes(answer: Answer) -> Any:
    return _request(answer)["graph"]["nodes"]


# -- which workflow ----------------------------------------------------------------------------------------------------


def test_a_module_is_found_by_file_by_plan_and_by_name(cli: Cli) -> None:
    assert cli("generate", "adder.json", "-o", "generated").code == 0
    for name in ("generated/adder.py", "generated/adder.json", "generated.adder", "adder.json"):
        answer = cli("run", name, "--first", "5", "--dry-run")
        assert _nodes(answer)["sum"]["a"] == 5, name


def test_a_module_is_not_imported(cli: Cli) -> None:
    assert cli("generate", "adder.json", "-o", "generated").code == 0
    Path("generated/adder.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    assert cli("run", "generated.adder", "--dry-run").code == 0


def test_a_module_without_its_plan_is_told(cli: Cli) -> None:
    assert cli("generate", "adder.json", "-o", "generated").code == 0
    Path("generated/adder.json").unlink()
    answer = cli("run", "generated/adder.py", "--dry-run")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "generated/adder.json is missing: it belongs to adder.py" in answer.err


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing.json", "nothing.json: no such file"),
        ("generated.nothing", "generated.nothing: no such file, no generated module of that name"),
        (".", ".: this is a folder; name a workflow file or a module in it"),
        ("broken.json", "broken.json: not JSON"),
        ("other.json", "other.json: not a workflow: it has no meta.version"),
    ],
)
def test_what_is_no_workflow_is_one_line(cli: Cli, name: str, problem: str) -> None:
    Path("broken.json").write_text("{", encoding="utf-8")
    save(Path("other.json"), {"hello": "world"})
    for options in ((), ("--help",), ("--dry-run",)):
        answer = cli("run", name, *options)
        assert (answer.code, answer.out, len(answer.errors)) == (1, "", 1)
        assert answer.err.startswith(f"error: {problem}")


def test_the_file_may_come_after_options(cli: Cli) -> None:
    answer = cli("run", "--first", "4", "--set", "b=7", "adder.json", "--dry-run")
    assert (_nodes(answer)["sum"]["a"], _nodes(answer)["sum"]["b"]) == (4, 7)


def test_a_value_that_looks_like_an_option_is_no_option(cli: Cli) -> None:
    assert _nodes(cli("run", "text.json", "--prompt", "-o", "--dry-run"))["t"]["value"] == "-o"
    assert _nodes(cli("run", "text.json", "--prompt=--server", "--dry-run"))["t"]["value"] == "--server"


def test_the_first_look_finds_file_and_server_wherever_they_are() -> None:
    context = click.Context(command)
    own = command.get_params(context)
    assert peek(["--width", "7", "a.json", "--server", "http://x"], own) == ("a.json", {"servers": "http://x"})
    assert peek(["--loud", "--server=http://x", "--server", "http://y", "a.json"], own) == (
        "a.json",
        {"servers": "http://x"},
    )
    assert peek(["-oout", "--dry-run", "a.json", "b"], own) == ("a.json", {"output": "out"})
    assert peek(["--", "-a.json"], own) == ("-a.json", {})
    assert peek(["--server"], own) == (None, {})


# -- help --------------------------------------------------------------------------------------------------------------


def test_help_without_a_file_tells_how_to_see_inputs(cli: Cli) -> None:
    answer = cli("run", "--help")
    assert answer.code == 0
    assert "Name a workflow to list its inputs here." in answer.out
    assert "--dry-run" in answer.out
    assert "WORKFLOW [OPTIONS]" in answer.lines[0]


def test_help_explains_the_inputs_first_and_in_their_order(cli: Cli) -> None:
    answer = cli("run", "text.json", "--help")
    assert answer.code == 0, answer.err
    text = " ".join(answer.out.split())
    order = ["--prompt TEXT", "--größe INTEGER", "--tint COLOR", "--loud [true|false]", "--sizes JSON"]
    places = [
        text.index(part) for part in (*order, "--set NAME=VALUE Set an input", "Many runs:", "Results:", "Examples:")
    ]
    assert places == sorted(places)
    assert "Prompt (input 0)." in text
    assert "Default 'a fox'." in text


def test_help_tells_ranges_choices_and_what_is_required(cli: Cli) -> None:
    text = " ".join(cli("run", "blur.json", "--help").out.split())
    assert "--image IMAGE" in text
    assert "Required." in text
    assert "One of gaussian, box. Default 'gaussian'." in text
    assert "0 or more. Default 8.0." in text


def test_an_input_called_like_an_option_is_set_by_name(cli: Cli) -> None:
    text = " ".join(cli("run", "blur.json", "--help").out.split())
    assert "--set output=BOARD Output (input 3)." in text
    nodes = _nodes(cli("run", "blur.json", "--image", "x.png", "--set", "output=none", "--output", "here", "--dry-run"))
    assert "board" not in nodes["s"]


def test_text_of_the_workflow_cannot_steer_the_terminal(cli: Cli) -> None:
    data = adder(label="Fir\x1b[31mst\n\b")
    data["name"] = "Add\x1b]0;er"
    save(Path("bad.json"), data)
    for answer in (cli("run", "bad.json", "--help"), cli("run", "bad.json", "--dry-run", "--product", "0=1,2")):
        assert answer.code == 0
        assert not {"\x1b", "\b"} & set(answer.out + answer.err)


def test_names_with_underscores_do_too(cli: Cli) -> None:
    save(Path("long.json"), adder(label="First Number"))
    for spelling in ("--first-number", "--first_number"):
        assert _nodes(cli("run", "long.json", spelling, "9", "--dry-run"))["sum"]["a"] == 9


def test_choices_and_options_are_completed(cli: Cli) -> None:
    def completed(*words: str) -> list[str]:
        *arguments, incomplete = words
        found = ShellComplete(group, {}, "invokeai-gen", "_X").get_completions(["run", *arguments], incomplete)
        return [item.value for item in found]

    assert completed("blur.json", "--blur-type", "g") == ["gaussian"]
    assert completed("blur.json", "--rad") == ["--radius"]
    assert completed("text.json", "--loud", "") == ["true", "false"]
    assert completed("nothing.json", "--con") == ["--contact-sheet"]


# -- values ------------------------------------------------------------------------------------------------------------


def test_values_are_read_as_elsewhere(cli: Cli) -> None:
    answer = cli(
        "run", "text.json", "--prompt", "a, b", "--größe", "7", "--tint", "#010203", "--loud", "--sizes", "[4, 5]",
        "--dry-run",
    )  # fmt: skip
    nodes = _nodes(answer)
    assert nodes["t"]["value"] == "a, b"
    assert nodes["n"]["value"] == 7
    assert nodes["c"]["color"] == {"r": 1, "g": 2, "b": 3, "a": 255}
    assert nodes["y"]["value"] is True
    assert nodes["i"]["collection"] == [4, 5]
    assert _nodes(cli("run", "text.json", "--loud", "no", "--dry-run"))["y"]["value"] is False


def test_options_win_over_set_and_set_over_a_file(cli: Cli) -> None:
    save(Path("params.json"), {"First": 10, "b": 20})
    nodes = _nodes(cli("run", "adder.json", "--params", "params.json", "--set", "0=11", "--first", "12", "--dry-run"))
    assert (nodes["sum"]["a"], nodes["sum"]["b"]) == (12, 20)


def test_all_mistakes_are_told_at_once(cli: Cli) -> None:
    save(Path("params.json"), {"b": "x", "nothing": 1})
    answer = cli(
        "run", "adder.json", "--first", "many", "--params", "params.json", "--set", "nix=1", "--product", "0=1,x,2,y",
        "--zip", "second=1", "--dry-run",
    )  # fmt: skip
    assert (answer.code, answer.out) == (1, "")
    assert [line.split(", but")[0] for line in answer.errors] == [
        "error: params.json: unknown input 'nothing'; there are first, b",
        "error: --set: unknown input 'nix'; there are first, b",
        "error: params.json (input 1): B (b) is 'x'",
        "error: --first (input 0): First (first) is 'many'",
        "error: --product (input 0): First (first) is 'x'",
        "error: --product (input 0): First (first) is 'y'",
        "error: --zip: unknown input 'second'; there are first, b",
    ]
    assert "should be a whole number" in answer.errors[3]


def test_a_required_input_is_told_with_its_index(cli: Cli) -> None:
    answer = cli("run", "blur.json", "--radius", "3")
    assert (answer.code, answer.out) == (1, "")
    told = "error: --image (input 0): Image (image) is required: the workflow has no usable value for it"
    assert answer.errors == [told]


def test_a_path_that_leads_to_no_file_is_told_before_anything_is_sent(cli: Cli) -> None:
    answer = cli("run", "blur.json", "--image", "photos/in.png")
    told = "error: --image (input 0): Image (image) is 'photos/in.png', but this file does not exist"
    assert (answer.code, answer.errors) == (1, [told])
    answer = cli("run", "blur.json", "--product", "image=a/1.png,a/2.png")
    assert (answer.code, len(answer.errors)) == (1, 2)


@pytest.mark.parametrize(
    "options",
    [
        ["--frist", "1"],
        ["--first"],
        ["--runs", "0"],
        ["--product", "first"],
        ["--csv", "a.csv", "--jsonl", "b.jsonl"],
        ["--no-save", "-o", "out"],
        ["--resume", "x", "--first", "1"],
        ["--resume", "x", "--csv", "a.csv"],
        ["--errors", "ignore"],
        ["--timeout", "0"],
    ],
)
def test_wrong_usage_is_2(cli: Cli, options: list[str]) -> None:
    answer = cli("run", "adder.json", *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")


def test_a_server_that_is_not_there_is_one_line(cli: Cli) -> None:
    for options in ((), ("--product", "first=1,2")):
        answer = cli("run", "adder.json", *options)
        assert (answer.code, answer.out, len(answer.errors)) == (1, "", 1)
        assert not list(Path().glob("adder-out*"))


# -- many runs, dry ----------------------------------------------------------------------------------------------------


def _items(answer: Answer) -> list[list[list[Any]]]:
    """The lists of the batch data."""
    return [[column["items"] for column in entry] for entry in _request(answer)["data"]]


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
    assert _items(cli("run", "adder.json", "--product", f"first={text}", "--dry-run")) == [[values]]


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
    assert _items(cli("run", "text.json", "--product", f"prompt={text}", "--runs", "2", "--dry-run")) == [[values]]


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
def test_lists_that_cannot_be_are_told(cli: Cli, text: str, problem: str) -> None:
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
    assert _items(cli("run", "text.json", "--prompt", "a fox", *options, "--dry-run")) == [[values]]


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


def test_dynamic_prompts_are_for_texts(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--dynamic", "first={1|2}", "--dry-run")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "First (first) takes no --dynamic, which is for texts: use --product" in answer.err


def test_an_input_with_two_lists_is_told(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--product", "first=1,2", "--zip", "0=3,4")
    told = "error: --zip (input 0): First (first) has several lists of values, --product and --zip: keep one"
    assert (answer.code, answer.errors) == (1, [told])


def test_zipped_lists_of_unequal_length_are_told(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--zip", "first=1,2", "--zip", "b=1,2,3")
    assert (answer.code, answer.errors) == (1, ["error: the lists of zip differ in length: first has 2, b has 3"])


def test_a_dry_run_counts_and_shows_the_first_request(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--product", "first=1,2,3", "--zip", "b=4,5", "--runs", "2", "--dry-run")
    assert answer.errors == [
        "Adder: 12 items in 1 enqueue; nothing was sent",
        "varies: B (b): 2 values",
        "varies: First (first): 3 values",
    ]
    assert _items(answer) == [[[4, 5]], [[1, 2, 3]]]
    assert _request(answer)["runs"] == 2


def test_what_a_server_cannot_vary_makes_enqueues(cli: Cli) -> None:
    answer = cli("run", "text.json", "--product", "tint=#000000,#ffffff", "--product", "prompt=a,b,c", "--dry-run")
    assert answer.errors[0].endswith(": 6 items in 2 enqueues; nothing was sent")
    assert _items(answer) == [[["a", "b", "c"]]]
    lists = cli("run", "text.json", "--product", "sizes=[1, 2], [3]", "--dry-run")
    assert lists.errors[0].endswith(": 2 items in 2 enqueues; nothing was sent")
    assert _nodes(lists)["i"]["collection"] == [1, 2]


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
    assert _items(answer) == [
        [[{"image_name": "<upload of photos/b2.PNG>"}, {"image_name": "<upload of photos/b10.png>"}]]
    ]
    assert _nodes(answer)["s"]["board"] == {"board_id": "<board Cats>"}
    whole = cli("run", "blur.json", "--image", "photos/b10.png", "--dry-run")
    assert _nodes(whole)["b"]["image"] == {"image_name": "<upload of photos/b10.png>"}
    named = cli("run", "blur.json", "--image", "on-the-server.png", "--dry-run")
    assert _nodes(named)["b"]["image"] == {"image_name": "on-the-server.png"}


def test_each_line_of_a_file_is_a_prompt(cli: Cli) -> None:
    Path("prompts.txt").write_text("a fox, red\n\n# no\n an owl \n", encoding="utf-8")
    answer = cli("run", "text.json", "--each", "prompt=prompts.txt", "--product", "größe=1,2", "--dry-run")
    assert _items(answer) == [[["a fox, red", "an owl"]], [[1, 2]]]


def test_lines_of_a_prompt_file_have_options_of_their_own(cli: Cli) -> None:
    lines = "a fox's tail --größe 7\nan owl --no text\n--größe=8\ncats"
    Path("prompts.txt").write_text(lines, encoding="utf-8")
    options = ("--each", "prompt=prompts.txt", "--größe", "5", "--dry-run")
    assert _items(cli("run", "text.json", *options)) == [[
        ["a fox's tail", "an owl --no text", "a fox", "cats"], [7, 5, 8, 5],
    ]]  # fmt: skip
    grid = _items(cli("run", "text.json", *options, "--product", "sizes=[1],[2]"))
    assert len(grid[0][0]) == 4


def test_options_in_a_prompt_file_are_spelled_as_on_the_command_line(cli: Cli) -> None:
    Path("prompts.txt").write_text("cats --loud --tint '#ff0000'\nan owl\n", encoding="utf-8")
    answer = cli("run", "text.json", "--each", "prompt=prompts.txt", "--dry-run")
    assert "varies: Prompt (prompt), Loud (loud), Tint (tint): 2 values" in answer.err
    nodes = _nodes(answer)
    assert (nodes["y"]["value"], nodes["c"]["color"]) == (True, {"r": 255, "g": 0, "b": 0, "a": 255})


def test_wrong_options_in_a_prompt_file_are_told_with_their_lines(cli: Cli) -> None:
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
    assert _items(answer) == [[[1, 2], [9, 7]]]
    Path("rows.jsonl").write_text('{"First": 1}\n{"First": 5}\n', encoding="utf-8")
    answer = cli("run", "adder.json", "--jsonl", "rows.jsonl", "--product", "b=1,2", "--dry-run")
    assert _items(answer) == [[[1, 5]], [[1, 2]]]


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


def test_cells_that_do_not_fit_are_told_with_row_and_column(cli: Cli) -> None:
    Path("rows.csv").write_text("First,b\n1,x\n2,7\ny,1\n", encoding="utf-8")
    answer = cli("run", "adder.json", "--csv", "rows.csv")
    assert (answer.code, len(answer.errors)) == (1, 2)
    assert answer.errors[0].startswith("error: rows.csv, row 2, column 'b' (B): 'x' should be a whole number")
    assert answer.errors[1].startswith("error: rows.csv, row 4, column 'First' (first): 'y' should be a whole number")


def test_batch_nodes_multiply_a_dry_run(cli: Cli, schema: Schema) -> None:
    builder = Builder(schema).node("b", "string_batch", strings=["x", "y"]).node("t", "string").node("n", "integer")
    builder.edge("b.value", "t.value").field("n.value")
    save(Path("batch.json"), _labelled(builder, n__value="Number"))
    answer = cli("run", "batch.json", "--product", "number=1,2,3", "--dry-run")
    assert answer.errors[0].endswith(": 6 items in 1 enqueue; nothing was sent")
    assert _items(answer) == [[[1, 2, 3]], [["x", "y"]]]


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
        assert _items(answer) == [[["=a fox", "12"]]], answer.err
        assert _nodes(answer)["y"]["value"] is True


def test_a_table_can_come_from_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(content: str, *options: str) -> Answer:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        return cli("run", "adder.json", *options, "--dry-run")

    assert _items(answered("First,b\n1,2\n3,4\n", "--csv", "-")) == [[[1, 3], [2, 4]]]
    assert _items(answered('{"First": 1}\n{"First": 3}\n', "--jsonl", "-")) == [[[1, 3]]]
    wrong = answered("First\nx\n", "--csv", "-")
    assert wrong.errors[0].startswith("error: stdin, row 2, column 'First' (first): 'x' should be a whole number")


def test_extra_columns_are_ignored_only_if_wanted(cli: Cli) -> None:
    Path("rows.csv").write_text("id,First,note\nA1,1,x\nA2,5,\n", encoding="utf-8")
    Path("rows.jsonl").write_text('{"id": "A1", "First": 1}\n{"id": "A2", "First": 5}\n', encoding="utf-8")
    for option, file in (("--csv", "rows.csv"), ("--jsonl", "rows.jsonl")):
        assert "unknown input 'id'" in cli("run", "adder.json", option, file, "--dry-run").err
        answer = cli("run", "adder.json", option, file, "--ignore-extra-columns", "--dry-run")
        assert _items(answer) == [[[1, 5]]], answer.err
    assert cli("run", "adder.json", "--ignore-extra-columns", "--dry-run").code == 2


# -- seeds -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def seeded(cli: Cli, schema: Schema) -> str:
    builder = Builder(schema).node("r", "rand_int").node("n", "noise", seed=7, width=64, height=64)
    builder.field("n.seed").field("n.width")
    save(Path("seeded.json"), _labelled(builder))
    return "seeded.json"


def test_a_random_seed_is_drawn_for_each_run(cli: Cli, seeded: str) -> None:
    answer = cli("run", seeded, "--seed", "random", "--runs", "4", "--dry-run")
    ((seeds,),) = _items(answer)
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert _request(answer)["runs"] == 1
    grid = _items(cli("run", seeded, "--set", "seed=random", "--runs", "3", "--product", "width=64,128", "--dry-run"))
    assert sorted(len(column) for (column,) in grid) == [2, 3], "each combination has the same seeds"
    once = {_nodes(cli("run", seeded, "--seed", "random", "--dry-run"))["n"]["seed"] for _ in range(4)}
    assert len(once) > 1


def test_random_values_keep_to_what_the_input_accepts(cli: Cli, seeded: str) -> None:
    width = _nodes(cli("run", seeded, "--width", "random", "--dry-run"))["n"]["width"]
    assert width > 0 and width % 8 == 0


def test_runs_with_one_seed_are_pointed_out(cli: Cli, seeded: str) -> None:
    hint = "hint: all runs have the same seed; --seed random draws one for each"
    assert hint in cli("run", seeded, "--runs", "3", "--dry-run").errors
    for options in (["--seed", "random"], ["--quiet"], ["--product", "seed=1,2"]):
        assert hint not in cli("run", seeded, "--runs", "3", *options, "--dry-run").errors


def test_a_value_and_a_list_for_one_input_exclude_each_other(cli: Cli, seeded: str) -> None:
    for value in (["--seed", "9"], ["--set", "seed=9"]):
        answer = cli("run", seeded, "--product", "seed=1,2", *value)
        assert (answer.code, len(answer.errors)) == (1, 1)
        assert "seed also has a list of values in --product or --each: keep one" in answer.err
    save(Path("params.json"), {"seed": 9})
    assert cli("run", seeded, "--product", "seed=1,2", "--params", "params.json", "--dry-run").code == 0


# -- questions ---------------------------------------------------------------------------------------------------------


def _typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_interactive_asks_for_each_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _typed(monkeypatch, "x", "5", "")
    answer = cli("run", "adder.json", "--interactive", "--dry-run")
    assert (_nodes(answer)["sum"]["a"], _nodes(answer)["sum"]["b"]) == (5, 2)
    assert "First: integer" in answer.err
    assert "error: First (first) is 'x', but should be a whole number" in answer.err


def test_choices_are_numbered_and_required_inputs_asked_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.png").write_bytes(b"")
    _typed(monkeypatch, "", "a.png", "", "2", "")
    answer = cli("run", "blur.json", "--interactive", "--dry-run")
    node = _nodes(answer)["b"]
    assert node["image"] == {"image_name": "<upload of a.png>"}
    assert (node["radius"], node["blur_type"]) == (8, "box")
    assert "   2  box" in answer.err


def test_the_end_of_the_answers_is_an_interrupt(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _typed(monkeypatch)
    assert cli("run", "adder.json", "--interactive", "--dry-run").code == 130


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_is_asked_for_what_is_required(cli: Cli) -> None:
    Path("a.png").write_bytes(b"")
    ours, theirs = os.openpty()
    os.write(ours, b"a.png\n")
    done = subprocess.run(
        [sys.executable, "-m", "invokeai_gen", "run", "blur.json"],
        stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"}, check=False,
    )  # fmt: skip
    os.close(theirs)
    assert done.returncode == 1
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "Image: image" in said
    assert "[required]" in said
    assert "cannot be reached" in said, "nothing else was asked, and the run began"


def test_the_help_of_a_workflow_fits_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (["--help"], ["run", "--help"], ["run", "text.json", "--help"], ["recall", "--help"]):
        answer = cli(*arguments)
        assert answer.code == 0, answer.err
        assert max(map(len, answer.lines)) <= 80, max(answer.lines, key=len)


def test_a_missing_model_names_its_option_even_without_a_server(cli: Cli, schema: Schema) -> None:
    save(Path("model.json"), _labelled(Builder(schema).node("m", "main_model_loader").field("m.model")))
    answer = cli("run", "model.json")
    assert (answer.code, len(answer.errors)) == (1, 2)
    assert answer.errors[0].startswith("error: --model (input 0): Model (model) is required")
    assert answer.errors[1].startswith("hint: --model: the models that fit are not known: ")


# -- going on ----------------------------------------------------------------------------------------------------------


def test_the_line_to_go_on_repeats_what_still_matters(cli: Cli) -> None:
    line = [
        "-o", "out", "--pattern", "{index}.png", "--manifest", "jsonl", "--gallery", "all.html", "--timeout", "9",
        "--errors", "raise", "--cleanup", "inputs", "--cleanup", "outputs", "--overwrite", "-q", "--server", "http://a",
        "--server", "http://b", "--openapi", str(ROOT / "data/openapi.json"), "--file", "x.sweep", "--product", "first=1,2",
    ]  # fmt: skip
    context = command.make_context("run", ["adder.json", *line])
    parsed = CommandLine.of(context)
    assert parsed.how_to_resume("adder.json", Path("x.sweep"), Path("out"), parsed.servers) == (
        "invokeai-gen run adder.json --resume x.sweep -o out --pattern '{index}.png' --manifest jsonl "
        f"--gallery all.html --timeout 9 --errors raise --openapi {ROOT / 'data/openapi.json'} "
        "--cleanup inputs --cleanup outputs --overwrite --quiet --server http://a --server http://b"
    )


def test_files_of_a_killed_run_are_removed_by_the_next(cli: Cli) -> None:
    Path("out").mkdir()
    old, young = (Path(f"out/.{digit * 32}.part") for digit in "ab")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    cli("run", "adder.json", "-o", "out")
    assert (old.exists(), young.exists()) == (False, True)


# -- where it is saved -------------------------------------------------------------------------------------------------


def test_results_are_never_saved_over_files(cli: Cli) -> None:
    assert cli("generate", ROOT / "data/workflows/sunset_poster.json", "-o", "made").code == 0
    Path("out").mkdir()
    Path("out/poster.png").write_bytes(b"mine")
    answer = cli("run", "made/sunset_poster.py", "-o", "out")
    told = "error: out/poster.png: exists already; --overwrite replaces it, -o names another folder"
    assert (answer.code, answer.errors) == (1, [told])
    Path("out/manifest.csv").write_bytes(b"")
    answer = cli("run", "made/sunset_poster.py", "-o", "out", "--product", "seed=1,2")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert answer.err.startswith("error: out/manifest.csv: the folder has the results of other runs")
    answer = cli("run", "made/sunset_poster.py", "-o", "out/poster.png")
    assert (answer.code, answer.errors) == (1, ["error: out/poster.png: is a file, not a folder"])


def test_a_pattern_is_checked_before_anything_is_sent(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--product", "first=1,2", "--pattern", "{frist}.png")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "did you mean {first}?" in answer.err
    answer = cli("run", "adder.json", "--product", "first=1,2", "--pattern", "{b}.png")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert answer.err.startswith("error: items 0 and 1 would both be saved as")


# -- one spelling ------------------------------------------------------------------------------------------------------


LORA_MODEL = {"key": "k", "hash": "blake3:1", "name": "Ink Wash", "base": "sdxl", "type": "lora"}
SPELLINGS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "LoRAs": (
        "sdxl_lora_collection_loader",
        "loras",
        {"loras": [{"lora": LORA_MODEL, "weight": 0.75}]},
        "Ink Wash@0.75",
    ),
    "color": ("color", "color", {"color": {"r": 255, "g": 128, "b": 0, "a": 255}}, "#ff8000"),
    "box": (
        "crop_image_to_bounding_box",
        "bounding_box",
        {"bounding_box": {"x_min": 0, "y_min": 1, "x_max": 64, "y_max": 32}, "image": {"image_name": "x.png"}},
        "0,1-64,32",
    ),
    "numbers": ("integer_collection", "collection", {"collection": [1, 2]}, "[1, 2]"),
    "switch": ("boolean", "value", {"value": True}, "true"),
    "scheduler": ("scheduler", "scheduler", {"scheduler": "ddim"}, "ddim"),
}


@pytest.mark.parametrize("kind", SPELLINGS)
def test_a_default_is_spelled_as_it_can_be_given(cli: Cli, schema: Schema, kind: str) -> None:
    node_type, field, values, spelling = SPELLINGS[kind]
    save(Path("one.json"), Builder(schema).node("n", node_type, **values).field(f"n.{field}").data())
    shown = spelling if kind != "scheduler" else repr(spelling)
    if kind != "box":  # the GUI drops the box of a file when it loads it
        help_text = " ".join(cli("run", "one.json", "--help").out.split())
        assert f"Default {shown}." in help_text
        assert f"default {shown}" in cli("inspect", "one.json").out
    answer = cli("run", "one.json", "--set", f"0={spelling}", "--dry-run")
    assert answer.code == 0, answer.err
    given = _nodes(answer)["n"][field]
    if kind == "LoRAs":
        assert given == [{"lora": {"key": "<model Ink Wash>", "name": "Ink Wash"}, "weight": 0.75}]
    else:
        assert given == values[field]


# -- what is loaded ----------------------------------------------------------------------------------------------------


def test_a_generated_module_runs_without_the_generator(cli: Cli) -> None:
    assert cli("generate", "adder.json", "-o", "generated").code == 0
    code = (
        "import sys; from invokeai_gen.cli import cli\n"
        "cli.main(['run', 'generated/adder.py', '--dry-run'], standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "invokeai_gen.sweeps.dry_run" in loaded
    packages = {f"invokeai_gen.{name}" for name in ("codegen", "compiler", "handle", "schema", "workflow")}
    assert not loaded & (packages | {"pydantic", "jinja2", "black", "rich"})
