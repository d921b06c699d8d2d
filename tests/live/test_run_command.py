"""`run` and `python -m` of a generated module, on a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from invokeai_gen import InvokeAIClient
from invokeai_gen.schema import Schema
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.sweeps.files.manifest import read_manifest
from tests.cli import Cli, adder, save
from tests.server import Server
from tests.unit.workflow_builder import Builder

ROOT = Path(__file__).parents[2]
POSTER = ROOT / "data/workflows/sunset_poster.json"
SMALL = ("--width", "256", "--height", "256")
PATIENCE = 120.0
"""Seconds until a test gives up waiting for another process."""


@pytest.fixture
def blur(cli: Cli, schema: Schema) -> Path:
    """A workflow that blurs an image, and needs no model."""
    builder = Builder(schema).node("b", "img_blur", radius=1).node("s", "save_image", label="Blurred")
    data = builder.edge("b.image", "s.image").field("b.image").field("b.radius").field("s.board").data()
    data["name"] = "Blur"
    data["nodes"][1]["data"]["isIntermediate"] = False
    data["nodes"][1]["data"]["useCache"] = False
    return save(Path("blur.json"), data)


def _photos(count: int) -> Path:
    """A folder of small images, no two alike."""
    folder = Path("photos")
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (16, 16), (number, 0, 255 - number)).save(folder / f"{number}.png")
    return folder


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _python(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


# -- one run -----------------------------------------------------------------------------------------------------------


def test_a_run_saves_its_images_and_prints_their_paths(cli: Cli) -> None:
    answer = cli("run", POSTER, *SMALL, "-o", "out")
    assert answer.code == 0, answer.err
    assert (answer.lines, answer.err) == (["out/poster.png", "out/pixel_art.png"], "")
    assert _size(Path("out/poster.png")) == (256, 256)
    assert sorted(path.name for path in Path("out").iterdir()) == ["pixel_art.png", "poster.png"]


def test_intermediate_images_and_metadata_are_saved_on_request(cli: Cli) -> None:
    module = ROOT / "generated" / "ink_wash.py"
    answer = cli("run", module, "-o", "all", "--intermediate", "--metadata")
    assert answer.code == 0, answer.err
    images = [line for line in answer.lines if line.endswith(".png")]
    assert len(images) > 1 and sorted(answer.lines) == sorted(str(path) for path in Path("all").iterdir())
    for path in images:
        assert _size(Path(path))[0] > 0
        assert isinstance(json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8")), dict)
    refused = cli("run", module, "-o", "all", "--metadata")
    assert (refused.code, "exists already" in refused.err) == (1, True)


def test_of_many_runs_too(cli: Cli) -> None:
    module = ROOT / "generated" / "ink_wash.py"
    answer = cli("run", module, "--runs", "2", "-o", "all", "--intermediate", "--metadata", "--file", "it.sweep")
    assert answer.code == 0, answer.err
    images = [line for line in answer.lines if line.endswith(".png")]
    assert {Path(path).name.partition("_")[0] for path in images} == {"0000", "0001"}
    assert len({Path(path).stem.partition("_")[2] for path in images}) == len(images) / 2 > 1
    files = {str(path) for path in Path("all").iterdir()} - {"all/manifest.csv"}
    assert {*answer.lines} == files and len(files) == 2 * len(images)
    for path in images:
        assert isinstance(json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8")), dict)
    assert len(Path("all/manifest.csv").read_text(encoding="utf-8-sig").splitlines()) == 1 + len(images)
    again = cli("run", module, "--resume", "it.sweep", "-o", "all", "--intermediate", "--metadata")
    assert (again.code, again.lines) == (0, answer.lines), again.err


def test_each_run_has_a_new_folder_unless_one_is_named(cli: Cli) -> None:
    for folder in ("sunset_poster-out", "sunset_poster-out-2"):
        answer = cli("run", POSTER, *SMALL)
        assert answer.lines == [f"{folder}/poster.png", f"{folder}/pixel_art.png"], answer.err


def test_json_tells_files_and_names(cli: Cli, client: InvokeAIClient) -> None:
    answer = cli("run", POSTER, *SMALL, "-o", "out", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    poster = told["outputs"]["poster"]
    assert (poster["file"], poster["width"]) == ("out/poster.png", 256)
    assert client.images.get(poster["image_name"]).image_name == poster["image_name"]
    (item,) = client.queue.items([told["item_id"]])
    assert item.status == "completed"


def test_results_can_stay_on_the_server(cli: Cli) -> None:
    answer = cli("run", POSTER, *SMALL, "--no-save")
    assert answer.code == 0, answer.err
    assert [line.partition(": ")[0] for line in answer.lines] == ["poster", "pixel_art"]
    assert list(Path().iterdir()) == []


def test_numbers_are_printed_with_their_names(cli: Cli) -> None:
    save(Path("adder.json"), adder())
    answer = cli("run", "adder.json", "--first", "40")
    assert (answer.code, answer.lines) == (0, ["sum: 42"]), answer.err
    assert json.loads(cli("run", "adder.json", "--json").out)["outputs"] == {"sum": 3}


def test_an_upload_can_be_deleted_at_the_end(cli: Cli, client: InvokeAIClient, blur: Path) -> None:
    folder = _photos(1)
    answer = cli("run", blur, "--image", folder / "0.png", "-o", "out", "--json", "--cleanup", "inputs")
    assert answer.code == 0, answer.err
    (item,) = client.queue.items([json.loads(answer.out)["item_id"]])
    uploaded = item.session["graph"]["nodes"]["b"]["image"]["image_name"]
    with pytest.raises(NotFoundError):
        client.images.get(uploaded)
    assert _size(Path("out/blurred.png")) == (16, 16)


def test_a_board_that_is_not_there_is_reported(cli: Cli) -> None:
    answer = cli("run", POSTER, *SMALL, "--poster-board", "no such board")
    assert (answer.code, answer.out, len(answer.errors)) == (1, "", 1)
    assert answer.err.startswith("error: 'Poster Board': no board has the name or id 'no such board'")


@pytest.fixture
def ratio(cli: Cli, schema: Schema) -> Path:
    """A workflow that fails for `b=0`."""
    data = Builder(schema).node("d", "div", label="Ratio", a=1, b=1).field("d.b").data()
    data["nodes"][0]["data"]["isIntermediate"] = False
    return save(Path("ratio.json"), data)


def test_the_servers_traceback_is_printed_on_request(cli: Cli, ratio: Path) -> None:
    quiet = cli("run", ratio, "--set", "b=0")
    assert (quiet.code, quiet.errors[-1]) == (1, "hint: --verbose prints the server's traceback")
    assert "Traceback" not in quiet.err
    for options in ((), ("--runs", 2)):
        answer = cli("run", ratio, "--set", "b=0", "--verbose", *options)
        assert answer.code == 1
        assert answer.err.count("Traceback (most recent call last):") == (2 if options else 1)
        assert "ZeroDivisionError" in answer.err
        assert "on the server:" in answer.err


def test_a_run_that_fails_is_reported_with_its_node(cli: Cli, ratio: Path) -> None:
    answer = cli("run", "ratio.json", "--b", "0")
    assert (answer.code, answer.out) == (1, "")
    assert "Ratio" in answer.err and "ZeroDivisionError" in answer.err
    many = cli("run", ratio, "--product", "b=1,0,2")
    assert (many.code, many.errors[-2]) == (1, "error: 2 of 3 completed, 1 failed; saved in ratio-out")
    assert many.errors[0].startswith("error: item 1 (b=0): ")


# -- the first ten minutes ---------------------------------------------------------------------------------------------


def test_a_workflow_of_the_library_runs_by_its_name(cli: Cli, client: InvokeAIClient) -> None:
    shown = cli("inspect", "Text to Image - SD1.5")
    assert shown.code == 0, shown.err
    refused = cli("run", "Text to Image - SD1.5")
    assert refused.code == 1
    assert any(line.startswith("error: --model ") and "is required" in line for line in refused.errors), refused.err
    hint = f"hint: --model: {client.url} has "
    assert any(line.startswith(hint) and "'tiny-sd15'" in line for line in refused.errors), refused.err
    small = ("--width", "64", "--height", "64", "--steps", "1")
    options = [option for pair in zip(small[::2], small[1::2], strict=True) if pair[0] in _help(cli) for option in pair]
    answer = cli("run", "Text to Image - SD1.5", "--model", "tiny-sd15", *options, "-o", "out")
    assert answer.code == 0, answer.err
    assert answer.lines and all(Path(line).is_file() for line in answer.lines)


def _help(cli: Cli) -> str:
    return cli("run", "Text to Image - SD1.5", "--help").out


def test_a_misspelt_name_of_the_library_gets_a_suggestion(cli: Cli) -> None:
    answer = cli("run", "Text to Image SD1.5")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "did you mean 'Text to Image - SD1.5'?" in answer.err


def test_events_are_lines_of_json(cli: Cli) -> None:
    save(Path("adder.json"), adder())
    answer = cli("run", "adder.json", "--first", "40", "--events", "--json")
    assert answer.code == 0, answer.err
    *events, result = map(json.loads, answer.lines)
    assert events[-1]["event"] == "status"
    assert events[-1]["status"] == "completed"
    assert result["outputs"] == {"sum": 42}


def test_an_interrupt_while_results_are_saved_says_where_they_are(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("invokeai_gen.cli.run.single._save_outputs", interrupt)
    answer = cli("run", POSTER, *SMALL, "-o", "out")
    assert (answer.code, answer.out) == (130, "")
    assert answer.errors == ["interrupted: the run is completed; what is not in out is on the server"]


def test_saved_results_can_be_deleted_from_the_server(cli: Cli, client: InvokeAIClient) -> None:
    options = (*SMALL, "--seed", "random", "-o", "out", "--json", "--cleanup", "outputs")
    answer = cli("run", POSTER, *options)
    assert answer.code == 0, answer.err
    for output in json.loads(answer.out)["outputs"].values():
        assert Path(output["file"]).is_file()
        with pytest.raises(NotFoundError):
            client.images.get(output["image_name"])


def test_a_gallery_is_saved(cli: Cli) -> None:
    answer = cli("run", POSTER, *SMALL, "--seed", "random", "--runs", "2", "-o", "out", "--gallery", "out/all.html")
    assert answer.code == 0, answer.err
    assert answer.lines[-1] == "out/all.html"
    assert "<html" in Path("out/all.html").read_text(encoding="utf-8").lower()
    assert len({row["seed"] for row in read_manifest("out/manifest.csv")}) == 2
    again = cli("run", POSTER, *SMALL, "--csv", "out/manifest.csv", "-o", "again", "--quiet")
    assert again.code == 0, again.err
    seeds = [
        sorted({int(str(row["seed"])) for row in read_manifest(f"{folder}/manifest.csv")})
        for folder in ("out", "again")
    ]
    assert seeds[0] == seeds[1]


def test_an_image_is_a_workflow_with_its_values(cli: Cli, client: InvokeAIClient) -> None:
    made = cli("run", POSTER, *SMALL, "--product", "seed=11,12", "--mood", "stormy", "-o", "out", "--json")
    assert made.code == 0, made.err
    image = next(file for file in json.loads(made.out)["files"] if "poster" in file and "1" in Path(file).name)
    for name in (image, read_manifest("out/manifest.csv")[-1]["name"]):
        recalled = cli("recall", name, "--set", "width=320", "--json")
        assert recalled.code == 0, recalled.err
        values = json.loads(recalled.out)
        assert (values["seed"], values["mood"], values["width"], values["height"]) == (12, "stormy", 320, 256)
    assert any(line.startswith("  seed (Seed): 12") for line in cli("recall", image).lines)
    assert cli("inspect", image).lines[0] == "Sunset Poster"
    again = cli("recall", image, "--run", "--width", "320", "-o", "again", "-q")
    assert again.code == 0, again.err
    assert _size(Path("again/poster.png")) == (320, 256)
    assert cli("recall", image, "--width", "320").code == 2
    assert "no image of that name on" in cli("recall", "nothing.png").err


# -- python -m ---------------------------------------------------------------------------------------------------------


def test_a_generated_module_can_be_run(tmp_path: Path, server_url: str) -> None:
    helped = _python("-m", "generated.sunset_poster", "--help", cwd=ROOT)
    out, err = helped.communicate(timeout=PATIENCE)
    assert (helped.returncode, err) == (0, "")
    assert "--horizon-color COLOR" in out
    ran = _python(
        "-m", "generated.sunset_poster", *SMALL, "--seed", "3", "-o", tmp_path, "--server", server_url, cwd=ROOT
    )
    out, err = ran.communicate(timeout=PATIENCE)
    assert (ran.returncode, err) == (0, "")
    assert out.splitlines() == [str(tmp_path / "poster.png"), str(tmp_path / "pixel_art.png")]


# -- many runs ---------------------------------------------------------------------------------------------------------


def test_a_product_saves_a_grid(cli: Cli) -> None:
    answer = cli(
        "run", POSTER, *SMALL, "--product", "seed=1..3", "--product", "mood=calm,stormy", "-o", "out",
        "--pattern", "{mood}/{seed}.png", "--contact-sheet", "sheet.png",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.errors == ["6 of 6 completed; saved in out"]
    names = [f"out/{mood}/{seed}_{output}.png" for seed in (1, 2, 3) for mood in ("calm", "stormy") for output in ("pixel_art", "poster")]  # fmt: skip
    assert answer.lines == [*names, "sheet.png"]
    assert all(Path(line).is_file() for line in answer.lines)
    rows = read_manifest("out/manifest.csv")
    assert [(row["seed"], row["mood"]) for row in rows][::2] == [
        (seed, mood) for seed in (1, 2, 3) for mood in ("calm", "stormy")
    ]


def test_a_table_with_a_bad_cell_sends_nothing(cli: Cli, client: InvokeAIClient) -> None:
    Path("rows.csv").write_text("Width,Seed\n256,1\n7,2\n300,x\n", encoding="utf-8")
    before = client.queue.counts().total
    answer = cli("run", POSTER, "--csv", "rows.csv", "-o", "out")
    assert (answer.code, answer.out, len(answer.errors)) == (1, "", 2)
    assert answer.errors[0].startswith("error: rows.csv, row 3, column 'Width' (width): '7' should be")
    assert answer.errors[1].startswith("error: rows.csv, row 4, column 'Seed' (seed): 'x' should be")
    assert client.queue.counts().total == before
    assert not Path("out").exists()


def test_a_table_is_run_row_by_row(cli: Cli) -> None:
    Path("rows.csv").write_text("Width,Height\n256,\n320,400\n", encoding="utf-8")
    answer = cli("run", POSTER, "--csv", "rows.csv", "--height", "300", "-o", "out", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert (told["completed"], told["total"], told["failures"]) == (2, 2, [])
    assert [_size(Path(file)) for file in told["files"] if "poster" in file] == [(256, 300), (320, 400)]


def test_each_image_of_a_folder_is_a_run(cli: Cli, blur: Path) -> None:
    folder = _photos(50)
    answer = cli("run", blur, "--each", f"image={folder}", "-o", "out", "--pattern", "{image}.png", "-q")
    assert answer.code == 0, answer.err
    assert answer.err == ""
    assert answer.lines == [f"out/{number}.png" for number in range(50)]
    for number in (0, 7, 49):
        with Image.open(f"out/{number}.png") as image:
            assert image.convert("RGB").getpixel((8, 8)) == pytest.approx((number, 0, 255 - number), abs=1)


def test_a_file_that_is_no_image_is_reported_before_anything_is_queued(cli: Cli, blur: Path) -> None:
    folder = _photos(2)
    (folder / "1.png").write_bytes(b"no image")
    answer = cli("run", blur, "--each", f"image={folder}", "-o", "out")
    assert (answer.code, answer.out, len(answer.errors)) == (1, "", 1)
    assert "the server cannot read '1.png' as an image" in answer.err
    assert not Path("out").exists()


def test_a_manifest_with_lists_is_a_table_of_values_again(cli: Cli, schema: Schema) -> None:
    builder = Builder(schema).node("b", "blank_image").field("b.width")
    builder = builder.node("l", "string_collection", collection=["x", "y, z"]).field("l.collection")
    save(Path("lists.json"), builder.data())
    assert cli("run", "lists.json", "--product", "width=64,128", "-o", "out").code == 0
    again = cli("run", "lists.json", "--csv", "out/manifest.csv", "--dry-run")
    assert again.code == 0, again.err
    request = json.loads(again.out)
    assert request["batch"]["graph"]["nodes"]["l"]["collection"] == ["x", "y, z"]
    assert request["batch"]["data"][0][0]["items"] == [64, 128]


def test_a_failed_run_is_run_again_as_often_as_wanted(cli: Cli, client: InvokeAIClient, ratio: Path) -> None:
    before = len(client.queue.item_ids())
    answer = cli("run", ratio, "--product", "b=1,0", "--retries", "2")
    assert (answer.code, answer.errors[-2]) == (1, "error: 1 of 2 completed, 1 failed; saved in ratio-out")
    assert len(client.queue.item_ids()) - before == 4


def test_several_servers_share_the_runs_also_when_they_are_resumed(cli: Cli, server_url: str, ratio: Path) -> None:
    with Server.start() as other:
        servers = ("--server", server_url, "--server", other.url)
        answer = cli("run", ratio, "--product", "b=1,2,0", "--file", "all.sweep", *servers)
        resume = f"--resume all.sweep -o ratio-out --server {server_url} --server {other.url}"
        assert (answer.code, answer.errors[-1]) == (1, f"error: to go on: invokeai-gen run {ratio} {resume}")
        with InvokeAIClient(server_url) as one, InvokeAIClient(other.url) as two:
            before = len(one.queue.item_ids()) + len(two.queue.item_ids())
            again = cli("run", ratio, *resume.split())
            assert again.errors[-2].startswith("error: 2 of 3 completed, 1 failed"), again.err
            assert again.errors[-1] == answer.errors[-1]
            assert len(one.queue.item_ids()) + len(two.queue.item_ids()) - before == 1, "only the failed run was sent"
            alone = cli("run", ratio, "--resume", "all.sweep", "-o", "ratio-out", "--server", server_url)
            assert alone.errors[-2].startswith("error: 2 of 3 completed, 1 failed"), alone.err
            assert len(one.queue.item_ids()) + len(two.queue.item_ids()) - before == 2, "and once more on one of them"


def test_the_server_expands_dynamic_prompts(cli: Cli, schema: Schema) -> None:
    builder = Builder(schema).node("t", "string", label="Prompt").field("t.value")
    save(Path("text.json"), builder.data())
    answer = cli("run", "text.json", "--dynamic", "value=a {red|blue} fox", "--dry-run")
    assert answer.code == 0, answer.err
    ((column,),) = json.loads(answer.out)["batch"]["data"]
    assert column["items"] == ["a red fox", "a blue fox"]
    many = cli("run", "text.json", "--dynamic", "value=a {red|blue} {fox|owl}", "--max-prompts", "3", "--dry-run")
    assert (many.code, many.out) == (1, "")
    assert "makes more than 3 prompts, the limit: allow more (max_prompts=, --max-prompts)" in many.err


def test_a_failure_cancels_the_others_where_that_is_wanted(cli: Cli, ratio: Path) -> None:
    answer = cli("run", ratio, "--product", "b=0,1..2000", "--no-save", "--errors", "raise")
    assert (answer.code, answer.out) == (1, "")
    assert answer.errors[0].startswith("error: item 0 (b=0): ")
    assert ", 1 failed, " in answer.errors[-2] and " canceled" in answer.errors[-2]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_cancels_what_is_queued_and_tells_how_to_go_on(
    sent: signal.Signals, cli: Cli, client: InvokeAIClient, tmp_path: Path, server_url: str
) -> None:
    file = tmp_path / "many.sweep"
    arguments = ("-m", "invokeai_gen", "run", POSTER, "--product", "seed=1..80", "--width", "1024", "-o", "out")
    running = _python(*arguments, "--file", file, "--server", server_url, cwd=tmp_path)
    deadline = time.monotonic() + PATIENCE
    while not list(tmp_path.glob("out/*.png")) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(sent)
    out, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, out) == (130, ""), err
    interrupted, how = err.splitlines()
    assert interrupted.startswith("interrupted: ")
    assert interrupted.endswith(" of 80 completed (saved in out); the rest is canceled")
    assert how == f"to go on: invokeai-gen run {POSTER} --resume {file} -o out --server {server_url}"
    entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    (ids,) = (entry["items"] for entry in entries if "sent" in entry)
    statuses = [item.status for item in client.queue.items(ids, with_sessions=False)]
    assert interrupted.startswith(f"interrupted: {statuses.count('completed')} of 80")
    assert len(list(Path("out").glob("*.png"))) == 2 * statuses.count("completed"), "what was completed is saved"
    assert statuses.count("canceled") > 0
    assert not {"pending", "waiting"} & set(statuses)

    answer = cli("run", POSTER, "--resume", file, "-o", "out")
    assert answer.code == 0, answer.err
    assert answer.errors == ["80 of 80 completed; saved in out"]
    assert len(answer.lines) == len(list(Path("out").glob("*.png"))) == 160


def test_what_takes_too_long_is_canceled(cli: Cli) -> None:
    answer = cli("run", POSTER, "--product", "seed=1..200", "--width", "1024", "-o", "out", "--timeout", "1")
    assert answer.code == 1
    assert "error: timed out after 1 s" in answer.errors
    assert any(" of 200 completed, " in line and " canceled" in line for line in answer.errors)
