"""`run` before it talks to a server: its options, its help, what it refuses, and what a dry run shows."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete

from invokeai_gen.cli import cli as group
from invokeai_gen.cli.run.command_line import CommandLine, peek
from invokeai_gen.cli.run.run import command
from invokeai_gen.schema import Schema
from tests.cli import Cli, adder, labelled, save, sent_batch, sent_items, sent_nodes
from tests.unit.workflow_builder import Builder

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("examples")


# -- which workflow ----------------------------------------------------------------------------------------------------


def test_a_module_is_found_by_file_by_plan_and_by_name(cli: Cli) -> None:
    assert cli("generate", "adder.json", "-o", "generated").code == 0
    for name in ("generated/adder.py", "generated/adder.json", "generated.adder", "adder.json"):
        answer = cli("run", name, "--first", "5", "--dry-run")
        assert sent_nodes(answer)["sum"]["a"] == 5, name


def test_a_module_is_not_imported(cli: Cli) -> None:
    assert cli("generate", "adder.json", "-o", "generated").code == 0
    Path("generated/adder.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    assert cli("run", "generated.adder", "--dry-run").code == 0


def test_a_module_without_its_plan_is_reported(cli: Cli) -> None:
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
    assert (sent_nodes(answer)["sum"]["a"], sent_nodes(answer)["sum"]["b"]) == (4, 7)


def test_a_value_that_looks_like_an_option_is_no_option(cli: Cli) -> None:
    assert sent_nodes(cli("run", "text.json", "--prompt", "-o", "--dry-run"))["t"]["value"] == "-o"
    assert sent_nodes(cli("run", "text.json", "--prompt=--server", "--dry-run"))["t"]["value"] == "--server"


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


def test_help_without_a_file_says_how_to_see_inputs(cli: Cli) -> None:
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


def test_help_shows_ranges_choices_and_what_is_required(cli: Cli) -> None:
    text = " ".join(cli("run", "blur.json", "--help").out.split())
    assert "--image IMAGE" in text
    assert "Required." in text
    assert "One of gaussian, box. Default 'gaussian'." in text
    assert "0 or more. Default 8.0." in text


def test_an_input_called_like_an_option_is_set_by_name(cli: Cli) -> None:
    text = " ".join(cli("run", "blur.json", "--help").out.split())
    assert "--set output=BOARD Output (input 3)." in text
    nodes = sent_nodes(
        cli("run", "blur.json", "--image", "x.png", "--set", "output=none", "--output", "here", "--dry-run")
    )
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
        assert sent_nodes(cli("run", "long.json", spelling, "9", "--dry-run"))["sum"]["a"] == 9


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
    nodes = sent_nodes(answer)
    assert nodes["t"]["value"] == "a, b"
    assert nodes["n"]["value"] == 7
    assert nodes["c"]["color"] == {"r": 1, "g": 2, "b": 3, "a": 255}
    assert nodes["y"]["value"] is True
    assert nodes["i"]["collection"] == [4, 5]
    assert sent_nodes(cli("run", "text.json", "--loud", "no", "--dry-run"))["y"]["value"] is False


def test_options_win_over_set_and_set_over_a_file(cli: Cli) -> None:
    save(Path("params.json"), {"First": 10, "b": 20})
    nodes = sent_nodes(
        cli("run", "adder.json", "--params", "params.json", "--set", "0=11", "--first", "12", "--dry-run")
    )
    assert (nodes["sum"]["a"], nodes["sum"]["b"]) == (12, 20)


def test_all_mistakes_are_reported_at_once(cli: Cli) -> None:
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


def test_a_required_input_is_reported_with_its_index(cli: Cli) -> None:
    answer = cli("run", "blur.json", "--radius", "3")
    assert (answer.code, answer.out) == (1, "")
    told = "error: --image (input 0): Image (image) is required: the workflow has no usable value for it"
    assert answer.errors == [told]


def test_a_path_that_leads_to_no_file_is_reported_before_anything_is_sent(cli: Cli) -> None:
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
        ["--events", "--runs", "2"],
        ["--events", "--resume", "x"],
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


# -- seeds -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def seeded(cli: Cli, schema: Schema) -> str:
    builder = Builder(schema).node("r", "rand_int").node("n", "noise", seed=7, width=64, height=64)
    builder.field("n.seed").field("n.width")
    save(Path("seeded.json"), labelled(builder))
    return "seeded.json"


def test_a_random_seed_is_drawn_for_each_run(cli: Cli, seeded: str) -> None:
    answer = cli("run", seeded, "--seed", "random", "--runs", "4", "--dry-run")
    ((seeds,),) = sent_items(answer)
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert sent_batch(answer)["runs"] == 1
    grid = sent_items(
        cli("run", seeded, "--set", "seed=random", "--runs", "3", "--product", "width=64,128", "--dry-run")
    )
    assert sorted(len(column) for (column,) in grid) == [2, 3], "each combination has the same seeds"
    once = {sent_nodes(cli("run", seeded, "--seed", "random", "--dry-run"))["n"]["seed"] for _ in range(4)}
    assert len(once) > 1


def test_random_values_keep_to_what_the_input_accepts(cli: Cli, seeded: str) -> None:
    width = sent_nodes(cli("run", seeded, "--width", "random", "--dry-run"))["n"]["width"]
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
        assert "seed also has a list of values in --product: keep one" in answer.err


def test_a_list_replaces_a_value_from_a_file_whatever_else_is_set(cli: Cli, seeded: str) -> None:
    save(Path("params.json"), {"seed": 9})
    lists = ["--params", "params.json", "--product", "seed=1,2", "--dry-run"]
    for others in ([], ["--set", "width=64"]):
        assert sent_items(cli("run", seeded, *lists, *others)) == [[[1, 2]]]
    save(Path("params.json"), {"seed": 9})
    assert cli("run", seeded, "--product", "seed=1,2", "--params", "params.json", "--dry-run").code == 0


# -- questions ---------------------------------------------------------------------------------------------------------


def _typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_interactive_asks_for_each_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _typed(monkeypatch, "x", "5", "")
    answer = cli("run", "adder.json", "--interactive", "--dry-run")
    assert (sent_nodes(answer)["sum"]["a"], sent_nodes(answer)["sum"]["b"]) == (5, 2)
    assert "First: integer" in answer.err
    assert "error: First (first) is 'x', but should be a whole number" in answer.err


def test_a_question_shows_the_default_as_it_is(cli: Cli, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    save(Path("fox.json"), Builder(schema).node("t", "string", value="A Red Fox").field("t.value").data())
    _typed(monkeypatch, "")
    assert "['A Red Fox']" in cli("run", "fox.json", "--interactive", "--dry-run").err


def test_choices_are_numbered_and_required_inputs_asked_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.png").write_bytes(b"")
    _typed(monkeypatch, "", "a.png", "", "2", "")
    answer = cli("run", "blur.json", "--interactive", "--dry-run")
    node = sent_nodes(answer)["b"]
    assert node["image"] == {"image_name": "<upload of a.png>"}
    assert (node["radius"], node["blur_type"]) == (8, "box")
    assert "   2  box" in answer.err


def test_a_file_that_does_not_exist_is_asked_for_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.png").write_bytes(b"")
    _typed(monkeypatch, "photos/a.png", "a.png", "", "", "")
    answer = cli("run", "blur.json", "--interactive", "--dry-run")
    assert sent_nodes(answer)["b"]["image"] == {"image_name": "<upload of a.png>"}
    assert "is 'photos/a.png', but this file does not exist" in answer.err


def test_a_default_is_shown_as_it_is(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    poster = Path(__file__).parents[2] / "data" / "workflows" / "sunset_poster.json"
    _typed(monkeypatch, *[""] * 20)
    assert "\n['Evening at the lake'] " in cli("run", str(poster), "--interactive", "--dry-run").err


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
    save(Path("model.json"), labelled(Builder(schema).node("m", "main_model_loader").field("m.model")))
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
    assert parsed.how_to_resume(Path("x.sweep"), Path("out"), parsed.servers) == (
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
    given = sent_nodes(answer)["n"][field]
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
    assert "invokeai_gen.sweeps.layout" in loaded
    packages = {f"invokeai_gen.{name}" for name in ("codegen", "compiler", "handle", "schema", "workflow")}
    assert not loaded & (packages | {"pydantic", "jinja2", "black", "rich"})
