"""The scripts in examples/ run as they are, and print what they promise."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from generated import sunset_poster
from invokeai_gen import InvokeAIClient

EXAMPLES = Path(__file__).parents[2] / "examples"
TRIED = {
    "list_inputs.py",
    "set_inputs.py",
    "submit_and_track.py",
    "outputs_and_cleanup.py",
    "sweep_grid.py",
    "pipelines/flux_image_to_image.py",
    "pipelines/sdxl_text_to_image.py",
    "pipelines/three_stage_refine.py",
    "raw_apis/boards.py",
    "raw_apis/latest_image.py",
    "raw_apis/queue_items.py",
    "raw_apis/starred_images.py",
    "raw_apis/upload_image.py",
}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture that was never uploaded before."""
    path = tmp_path / "picture.png"
    Image.new("RGB", (96, 64), tuple(os.urandom(3))).save(path)
    return path


def printed(server_url: str, script: str, *arguments: Path | str) -> str:
    """Return what a script prints, run from another folder. Nothing may go to stderr."""
    done = ran(server_url, script, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def ran(server_url: str, script: str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "INVOKEAI_URL": server_url, "PYTHONIOENCODING": "utf-8"},
        timeout=600,
        check=False,
    )


def test_every_script_is_tried() -> None:
    """The demo has a session of its own."""
    assert {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py")} - {"demo.py"} == TRIED


def test_inputs_are_listed(server_url: str) -> None:
    lines = printed(server_url, "list_inputs.py").splitlines()
    assert lines[0] == "Sunset Poster 1.0.0, by invokeai-gen"
    assert lines[2].split() == ["[", "0]", "Title", "IvkStringField", "'Evening", "at", "the", "lake'"]
    assert re.fullmatch(r"\[ 4\] Sky Color +IvkColorField +Color\(r=\d+, g=\d+, b=\d+, a=255\)", lines[6])
    assert len(lines) == 2 + 16 + 1
    assert lines[-1] == "still needed: nothing"


def test_inputs_of_another_workflow_are_listed_too(server_url: str) -> None:
    path = EXAMPLES.parent / "data" / "workflows" / "sd15_image_to_image.json"
    assert printed(server_url, "list_inputs.py", path).endswith("still needed: Source Image\n")


def test_inputs_are_set(server_url: str, tmp_path: Path) -> None:
    lines = printed(server_url, "set_inputs.py", tmp_path / "map.json").splitlines()
    assert lines == [
        "refused: Mood (mood) is 'grumpy', but should be 'calm', 'stormy' or 'dreamlike'",
        "Mood is 'calm', of calm, stormy, dreamlike",
        "Title: {'value': 'First light'}",
        "Width: {'value': 512}",
        "Sky Color: {'r': 43, 'g': 76, 'b': 126, 'a': 255}",
        "Sun Size: {'value': 90}",
        "problems: none",
        "16 inputs where they were, 0 moved, 0 missing",
    ]
    assert (tmp_path / "map.json").exists()


def test_a_run_is_tracked_blocking_and_by_events(server_url: str) -> None:
    blocking, by_events = printed(server_url, "submit_and_track.py").split("blocking: completed, 2 images\n")
    first, *statuses = blocking.splitlines()
    assert first == "blocking: 1 item in the queue"
    assert statuses[-1] == "  completed"
    lines = by_events.splitlines()
    assert (lines[0], lines[-2]) == ("  in_progress", "  completed")
    assert sorted(lines[1:-2]) == ["  Pixel Art is ready: 384 x 256", "  Poster is ready: 768 x 512"]
    assert re.fullmatch(r"events: completed after \d+\.\d s", lines[-1])


def test_outputs_are_saved_and_the_server_is_left_clean(server_url: str, picture: Path, tmp_path: Path) -> None:
    lines = printed(server_url, "outputs_and_cleanup.py", picture, tmp_path / "out").splitlines()
    lines = [line for line in lines if not line.startswith("model ")]
    assert lines[0] == "user outputs: result; latents: 3"
    assert lines[1] == "user Result: 64 x 64"
    assert lines[-5:-3] == ["saved: result.png", "uploaded: 1"]
    assert lines[-3] == "deleted inputs: 1"
    assert re.fullmatch(r"deleted outputs: [1-9]\d*, kept: \d+", lines[-2])
    assert lines[-1] == "deleted queue items: 1"
    with Image.open(tmp_path / "out" / "result.png") as saved:
        assert saved.size == (64, 64)
    assert (tmp_path / "out" / "result.json").exists()


@pytest.mark.parametrize("script", sorted(TRIED))
def test_a_script_says_what_it_is_for_and_how_to_call_it(script: str) -> None:
    text = (EXAMPLES / script).read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert f"python examples/{script}" in text


def test_a_grid_is_run_and_saved(server_url: str, tmp_path: Path) -> None:
    lines = printed(server_url, "sweep_grid.py", tmp_path).splitlines()
    assert lines[0] == "6 runs, of which sun_size, sky_color differ"
    assert lines[1:3] == ["00_sun-40_sky-#261654_pixel_art.png", "00_sun-40_sky-#261654_poster.png"]
    assert len(lines) == 1 + 12 + 1
    assert {path.name for path in tmp_path.iterdir()} == {*lines[1:13], "sheet.png", "manifest.csv"}
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert lines[13].startswith(f"sheet.png, {sheet.width} x {sheet.height};")


def test_an_image_is_made_with_sdxl(server_url: str, tmp_path: Path) -> None:
    lines = printed(server_url, "pipelines/sdxl_text_to_image.py", "a fox", tmp_path, "64", "2").splitlines()
    assert re.fullmatch(r"result\.png after \d+\.\d s", lines[-1])
    with Image.open(tmp_path / "result.png") as saved:
        assert saved.size == (64, 64)


def test_each_stage_is_saved(server_url: str, tmp_path: Path) -> None:
    lines = printed(server_url, "pipelines/three_stage_refine.py", tmp_path).splitlines()
    assert sorted(lines[:3]) == [f"save_{stage} is ready" for stage in ("draft", "final", "refinement")]
    assert lines[-3:] == ["save_draft.png", "save_refinement.png", "save_final.png"]
    assert {path.name for path in tmp_path.iterdir()} == set(lines[-3:])


def test_flux_runs_or_says_which_models_are_missing(server_url: str, picture: Path, tmp_path: Path) -> None:
    done = ran(server_url, "pipelines/flux_image_to_image.py", picture, "snow", tmp_path)
    if done.returncode == 0:  # a server with FLUX
        assert done.stdout.strip().endswith("result.png")
        return
    assert re.search(r"has no model for FLUX Model \(flux main\).*; the request is in ", done.stderr)
    assert '"value": "snow"' in (tmp_path / "request.json").read_text(encoding="utf-8")


def test_a_board_is_used_and_deleted(server_url: str, picture: Path) -> None:
    lines = printed(server_url, "raw_apis/boards.py", picture).splitlines()
    assert lines == ["on An example: 96 x 64", "starred: True", "left on it: 0", "moved back: 1"]


def test_a_picture_is_uploaded_and_deleted(server_url: str, picture: Path) -> None:
    lines = printed(server_url, "raw_apis/upload_image.py", picture).splitlines()
    assert lines[0] == "uploaded: 96 x 64, category user"
    assert re.fullmatch(r"file: [1-9]\d* bytes thumbnail: [1-9]\d* bytes", " ".join(lines[1:3]))
    assert lines[3] == "deleted: 1"


def test_the_queue_and_the_newest_and_the_starred_images_are_shown(
    server_url: str, picture: Path, tmp_path: Path
) -> None:
    with InvokeAIClient(server_url) as client:
        outputs = sunset_poster.run(sunset_poster.Params(seed=random.randrange(2**31)), client=client)
        client.images.star(outputs.poster.name)
        try:
            lines = printed(server_url, "raw_apis/starred_images.py", tmp_path).splitlines()
            assert f"{outputs.poster.name}: 768 x 512" in lines
            assert (tmp_path / outputs.poster.name).exists()
            assert re.fullmatch(r"[1-9]\d* starred images", lines[-1])
        finally:
            client.images.star(outputs.poster.name, starred=False)
        made, prompt = printed(server_url, "raw_apis/latest_image.py", tmp_path).splitlines()
        assert re.fullmatch(r"latest\.png: \d+ x \d+, \d+ bytes, made at \d{4}-\d\d-\d\d \d\d:\d\d", made)
        assert prompt.startswith("prompt: ")
        assert (tmp_path / "latest.png").exists()
        lines = printed(server_url, "raw_apis/queue_items.py").splitlines()
        assert re.fullmatch(r"\d+ wait, \d+ run, [1-9]\d* of \d+ have ended", lines[0])
        assert any(line.startswith(f"{outputs.item_id}: completed after ") for line in lines)
