"""Sweeps on a real server: what is sent, what comes back, and that nothing is run twice."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import gc
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from generated import color_study_batch, sd15_text_to_image, sunset_poster
from invokeai_gen import AsyncInvokeAIClient, InvokeAIClient, Sweep, image_files
from invokeai_gen.core.file_pattern import FileClashError
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.server import pacing
from invokeai_gen.server.errors import JobCanceledError, NotFoundError
from invokeai_gen.server.run_errors import DownloadError, JobFailedError
from invokeai_gen.server.status_errors import RejectedError
from invokeai_gen.sweeps.dynamic_prompts import DynamicPrompts
from invokeai_gen.sweeps.files.saving import Saver
from invokeai_gen.sweeps.journal import SweepFileError
from invokeai_gen.sweeps.results import SweepResult
from tests import plans
from tests.live.proxy import FOR_GOOD, Proxy, lost, silent
from tests.server import Server

TIME = 120.0
IMAGE = "GET .*/full"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(server_url: str) -> Iterator[InvokeAIClient]:
    with InvokeAIClient(server_url) as made:
        yield made


@pytest.fixture(scope="module")
def small_queue() -> Iterator[Server]:
    with Server.start(settings={"max_queue_size": 20}) as running:
        yield running


def batches_of(client: InvokeAIClient, item_ids: list[int | None]) -> Counter[str]:
    """How many items the server has of each batch that these items belong to."""
    items = client.queue.items(client.queue.item_ids(), with_sessions=False)
    ours = {item.batch_id for item in items if item.item_id in set(item_ids)}
    return Counter(item.batch_id for item in items if item.batch_id in ours)


def pixel(data: bytes) -> tuple[int, ...]:
    """The colour in the middle of an image file."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        found: Any = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
        return tuple(found)


def color_of(data: bytes) -> str:
    """The same, each channel full or empty: a blur takes a little off."""
    return "#" + "".join("ff" if channel > 127 else "00" for channel in pixel(data))


def test_a_hundred_runs_take_one_enqueue_and_few_requests(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "FAST", 0.0)  # with events, however slow this machine is; without: test_sweep_polling
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        sweep = plans.picture().sweep(product={"width": range(8, 108)}, client=client)
        assert sweep.total == len(sweep) == 100
        results = [*sweep]
        assert Counter(result.index for result in results) == Counter(range(100))
        for result in results:
            assert result.outputs.picture.width == result.params.width == 8 + result.index
        assert proxy.asked("enqueue_batch") == 1
        assert len(proxy.requests) < 30
        proxy.requests.clear()
        assert [result.params.width for result in sweep.results()] == list(range(8, 108))
        assert len(proxy.requests) == 1


def test_what_events_tell_is_what_the_server_says_when_it_is_asked(server_url: str) -> None:
    base, values = color_study_batch.Params(), range(3)
    name = next(item.name for item in color_study_batch.Params.inputs() if isinstance(getattr(base, item.name), int))
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        sweeps: list[Sweep[Any, Any]] = [
            sunset_poster.sweep(sunset_poster.Params(width=256, height=256), product={"seed": values}, client=client),
            color_study_batch.WORKFLOW.sweep(
                base, product={name: [getattr(base, name) + n for n in values]}, client=client
            ),
        ]
        for sweep in sweeps:
            proxy.requests.clear()
            heard = sorted(sweep, key=lambda result: result.index)
            assert proxy.asked("items_by_ids") == 0
            asked = sweep.results()
            assert proxy.asked("items_by_ids") == 1
            for one, other in zip(heard, asked, strict=True):
                assert one.params == other.params
                assert one.outputs.nodes.keys() == other.outputs.nodes.keys()
                assert {**one.outputs.nodes} == {**other.outputs.nodes}
                assert one.outputs.user_outputs == other.outputs.user_outputs
                assert one.outputs.batch_values == other.outputs.batch_values != {}
                assert one.outputs.timings == other.outputs.timings
                assert one.outputs.session_id == other.outputs.session_id


def test_iterated_nodes_are_asked_for(client: InvokeAIClient) -> None:
    (result,) = plans.iterated().sweep(client=client)
    assert [image.width for image in result.outputs.each] == [16, 24, 32, 40]


def test_all_kinds_of_arguments_multiply(client: InvokeAIClient) -> None:
    sweep = plans.picture().sweep(
        zip={"width": [8, 16], "color": ["#ff0000", "#0000ff"]},
        product={"board": ["none", "auto"]},
        runs=2,
        client=client,
    )
    results = sweep.results()
    assert [(result.run, result.params.width, result.params.board) for result in results] == [
        (run, width, board) for run in (0, 1) for width in (8, 16) for board in ("none", "auto")
    ]
    for result in results:
        assert color_of(result.outputs.picture.bytes()) == result.params.color
    assert sorted(batches_of(client, [result.item_id for result in results]).values()) == [2, 2, 2, 2]


def test_the_workflows_own_batches_multiply_as_in_the_gui(client: InvokeAIClient) -> None:
    base = color_study_batch.Params()
    (own,) = {len(color_study_batch.WORKFLOW.run_all(base, client=client, timeout=TIME))}
    name = next(item.name for item in color_study_batch.Params.inputs() if isinstance(getattr(base, item.name), int))
    first = getattr(base, name)
    sweep = color_study_batch.WORKFLOW.sweep(base, product={name: [first, first + 1]}, client=client)
    assert sweep.total == 2 * own > 2
    values = [(getattr(result.params, name), *result.outputs.batch_values.values()) for result in sweep.results()]
    assert len({repr(value) for value in values}) == 2 * own


def test_lists_of_a_batch_node_can_change_too(client: InvokeAIClient) -> None:
    sweep = plans.batched().sweep(product={"widths": [[8, 16], [24]]}, client=client)
    assert [result.outputs.picture.width for result in sweep.results()] == [8, 16, 24]


def test_what_does_not_fit_is_refused_before_anything_is_sent(server_url: str) -> None:
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        with pytest.raises(ParamsError, match=r"Width \(width\) is 'x', but .*value 2 of the list"):
            plans.picture().sweep(product={"width": [8, "x"]}, client=client)
        with pytest.raises(ParamsError, match="Seed"):
            sunset_poster.sweep(product={"seed": [1, -1]}, client=client)
        with pytest.raises(TypeError, match="unknown option 'product_'"):
            plans.picture().sweep(product_={"width": [8]}, client=client)  # type: ignore[call-arg]
        assert proxy.requests == []


def test_a_rejected_sweep_leaves_nothing(server_url: str, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    file = tmp_path / "it.sweep"
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        with pytest.raises(ValueError, match="cannot read 'b.png' as an image"):
            plans.resize().sweep(
                product={"picture": [tmp_path / "a.png", tmp_path / "b.png"]}, client=client, file=file
            )
        assert proxy.asked("enqueue_batch") == 0
        assert proxy.asked("images/delete") == 1
    assert not file.exists()


def test_a_folder_of_fifty_images_is_uploaded_once_and_runs_in_one_enqueue(server_url: str, tmp_path: Path) -> None:
    for number in range(50):
        PIL.Image.new("RGB", (20, 20), (number, 0, 100)).save(tmp_path / f"photo {number}.png")
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        photos = image_files(tmp_path)
        assert [photo.name for photo in photos[:3]] == ["photo 0.png", "photo 1.png", "photo 2.png"]
        sweep = plans.resize().sweep(product={"picture": photos, "width": [10, 30]}, client=client)
        assert (proxy.asked("images/upload"), proxy.asked("enqueue_batch")) == (50, 1)
        for result in sweep:
            assert result.outputs.small.width == result.params.width
            assert pixel(result.outputs.small.bytes()) == (photos.index(Path(str(result.params.picture))), 0, 100)
        assert len(sweep.cleanup_inputs().deleted) == 50


@contextlib.contextmanager
def paused(client: InvokeAIClient) -> Iterator[None]:
    """The server finishes what it works on, and begins nothing."""
    client.ask("PUT", "/api/v1/queue/default/processor/pause")
    try:
        yield
    finally:
        client.ask("PUT", "/api/v1/queue/default/processor/resume")


def test_an_item_that_fails_is_collected_and_sent_again_on_demand(client: InvokeAIClient) -> None:
    image = plans.picture().run(plans.PictureParams(width=40), client=client, timeout=TIME).picture
    gone = plans.picture().run(plans.PictureParams(width=48), client=client, timeout=TIME).picture
    with paused(client):
        sweep = plans.resize().sweep(product={"picture": [image, gone]}, client=client, errors="collect")
        client.images.delete([gone.name])
    results = sweep.results()
    assert isinstance(results[1].error, JobFailedError)
    with pytest.raises(JobFailedError):
        _ = results[1].outputs
    assert (results[0].is_ok, results[1].is_ok) == (True, False)
    assert sweep.retry() == 1
    again = sweep.results()
    assert again[0].item_id == results[0].item_id
    assert again[1].item_id != results[1].item_id
    assert sum(batches_of(client, [result.item_id for result in [*results, *again]]).values()) == 3


def test_by_default_a_failure_is_raised_and_the_others_go_on(client: InvokeAIClient) -> None:
    with paused(client):
        sweep = plans.picture().sweep(product={"width": [8, 16, 24]}, client=client)
        client.queue.cancel(min(item.item_id for item in client.queue.list() if item.status == "pending"))
    with pytest.raises(JobCanceledError):
        sweep.results()
    sweep.wait(TIME)
    assert (sweep.counts.completed, sweep.counts.canceled) == (2, 1)
    assert sweep.retry() == 1
    assert [result.outputs.picture.width for result in sweep.results()] == [8, 16, 24]


def test_cancel_ends_all_of_it_and_retry_begins_again(client: InvokeAIClient) -> None:
    with paused(client):
        sweep = plans.picture().sweep(
            product={"width": [8, 16], "color": ["#ff0000", "#00ff00"]}, client=client, errors="collect"
        )
        counts = sweep.cancel()
    assert (counts.canceled, counts.finished) == (4, 4)
    assert all(isinstance(result.error, JobCanceledError) for result in sweep)
    assert sweep.retry() == 4
    assert all(result.is_ok for result in sweep.results())


def test_leaving_the_block_early_cancels_what_is_left(client: InvokeAIClient) -> None:
    with plans.picture().sweep(product={"width": range(8, 208)}, client=client) as sweep:
        first = next(iter(sweep))
    assert first.item_id is not None
    counts = client.queue.batch_counts(client.queue.get(first.item_id).batch_id)
    assert (counts.pending, counts.total) == (0, 200)
    assert counts.canceled > 0


def test_a_script_that_ends_early_says_what_it_has_not_sent(small_queue: Server) -> None:
    script = "from tests import plans; plans.picture().sweep(product={'width': range(8, 68)})"
    environment = {**os.environ, "INVOKEAI_URL": small_queue.url}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert re.fullmatch(
        r"\d+ items of a sweep were never sent: wait for it, or start it with file= and resume it\n", done.stderr
    )
    with InvokeAIClient(small_queue.url) as client:
        client.queue.clear()


def test_a_full_queue_is_filled_again_as_it_empties(small_queue: Server) -> None:
    with Proxy(small_queue.url) as proxy, InvokeAIClient(proxy.url) as client:
        sweep = plans.picture().sweep(product={"width": range(8, 78)}, client=client)
        assert sweep.counts.unsent > 0
        results = sweep.results()
        assert [result.outputs.picture.width for result in results] == list(range(8, 78))
        assert sum(batches_of(client, [result.item_id for result in results]).values()) == 70
        assert 4 <= proxy.asked("enqueue_batch") <= 12


def test_a_lost_answer_does_not_run_anything_twice(server_url: str) -> None:
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        proxy.on("enqueue_batch", lost)
        sweep = plans.picture().sweep(product={"width": range(8, 28)}, client=client)
        results = sweep.results()
        assert len(results) == 20
        assert proxy.asked("enqueue_batch") == 1
        assert list(batches_of(client, [result.item_id for result in results]).values()) == [20]


def test_without_events_a_sweep_comes_to_its_end_with_few_questions(server_url: str) -> None:
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        proxy.refuse_events()
        assert len(plans.picture().sweep(product={"width": range(8, 128)}, client=client).results()) == 120
        assert proxy.asked(r"/queue/default/i/") <= 1, "at most for the last one"
        assert proxy.asked("items_by_ids|summaries_by_ids") < 60


def test_awaited_it_does_the_same_and_a_canceled_task_cancels_it(server_url: str) -> None:
    async def main() -> None:
        async with AsyncInvokeAIClient(server_url) as client:
            sweep = await plans.picture().asweep(product={"width": range(8, 18)}, client=client)
            assert sorted([result.params.width async for result in sweep]) == list(range(8, 18))
            long = await plans.picture().asweep(product={"width": range(8, 408)}, client=client)
            task = asyncio.create_task(long.wait())
            while not long.counts.completed:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await long.cancel()).pending == 0

    asyncio.run(main())


def test_an_interrupt_while_files_are_saved_cancels_the_rest(
    server_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(sweep: Any, proxy: Proxy) -> None:
        task = asyncio.create_task(sweep.download(tmp_path))
        while not proxy.asked(IMAGE):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        proxy.on(IMAGE, silent, FOR_GOOD)
        sweep = plans.picture().sweep(product={"width": range(8, 408)}, client=client)
        asyncio.run(main(sweep._core, proxy))
        counts = sweep.counts
        assert counts.canceled > 0
        assert counts.finished == counts.total == 400
        sweep.close()
        gc.collect()
    assert "never retrieved" not in caplog.text


KILLED = """
import sys
from tests import plans
sweep = plans.picture().sweep(
    product={"width": range(8, 48), "color": ["#ff0000", "#00ff00", "#0000ff"]}, file=sys.argv[1]
)
sweep.download(sys.argv[2], "{color}/{width}.png")
"""


@pytest.mark.parametrize("saved", [0, 1, 10, 60])
def test_a_sweep_goes_on_after_its_process_was_killed(server_url: str, tmp_path: Path, saved: int) -> None:
    file, folder = tmp_path / "it.sweep", tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(file), str(folder)], cwd=ROOT, env={**os.environ, "INVOKEAI_URL": server_url}
    )
    while not file.exists() or len([*folder.rglob("[0-9]*.png")]) < saved:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    for image in folder.rglob("[0-9]*.png"):
        assert color_of(image.read_bytes()) == image.parent.name, "no half of a file has its final name"
    with InvokeAIClient(server_url) as client:
        sweep = plans.picture().resume_sweep(file, client=client)
        results = sweep.results()
        assert [result.index for result in results] == list(range(120))
        for result in results:
            assert result.outputs.picture.width == result.params.width
        assert sum(batches_of(client, [result.item_id for result in results]).values()) == 120
        files = sweep.download(folder, "{color}/{width}.png")
    assert [file.stem for file in files] == [str(result.params.width) for result in results]
    assert all(color_of(file.read_bytes()) == file.parent.name for file in files)


def test_a_finished_sweep_can_be_read_again_from_its_file(client: InvokeAIClient, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    file = tmp_path / "it.sweep"
    base = plans.ResizeParams(picture=tmp_path / "a.png")
    sweep = plans.resize().sweep(base, product={"width": [4, 8]}, client=client, file=file)
    first = sweep.results()
    again = plans.resize().resume_sweep(file, client=client)
    assert [result.item_id for result in again.results()] == [result.item_id for result in first]
    assert again.results()[0].params == first[0].params
    assert again.retry() == 0
    assert len(again.cleanup_inputs().deleted) == 1
    with pytest.raises(SweepFileError, match="of another version|is another one"):
        sunset_poster.WORKFLOW.resume_sweep(file, client=client)
    with InvokeAIClient("http://127.0.0.1:9") as other, pytest.raises(SweepFileError, match="name that server"):
        plans.resize().resume_sweep(file, client=other)


def test_the_outputs_of_a_sweep_can_be_deleted(client: InvokeAIClient) -> None:
    sweep = plans.picture().sweep(product={"width": [8, 16], "color": ["#0a0b0d"]}, client=client)
    made = {result.outputs.picture.name for result in sweep.results()}
    assert made <= {*sweep.cleanup_outputs().deleted}
    for name in made:
        with pytest.raises(NotFoundError):
            client.images.get(name)


def test_an_image_in_memory_has_no_place_in_a_sweep_file(client: InvokeAIClient, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"Picture \(picture\): .*path of a file"):
        plans.resize().sweep(product={"picture": [b"x", b"y"]}, client=client, file=tmp_path / "it.sweep")
    assert not (tmp_path / "it.sweep").exists()


def test_all_images_are_saved_under_names_made_of_their_values(server_url: str, tmp_path: Path) -> None:
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        sweep = plans.picture().sweep(product={"color": ["#ff0000", "#00ff00"], "width": [8, 16]}, client=client)
        files = sweep.download(tmp_path, "{color}/{width:03d}.png")
        assert [file.relative_to(tmp_path).as_posix() for file in files] == [
            "#ff0000/008.png",
            "#ff0000/016.png",
            "#00ff00/008.png",
            "#00ff00/016.png",
        ]
        for file, result in zip(files, sweep.results(), strict=True):
            assert color_of(file.read_bytes()) == result.params.color
        with (tmp_path / "manifest.csv").open(encoding="utf-8-sig", newline="") as lines:
            rows = [*csv.DictReader(lines)]
        assert [(row["file"], row["width"], row["color"]) for row in rows] == [
            (file.relative_to(tmp_path).as_posix(), row["width"], file.parent.name)
            for file, row in zip(files, rows, strict=True)
        ]
        proxy.requests.clear()
        assert sweep.download(tmp_path, "{color}/{width:03d}.png") == files
        assert proxy.asked("/full") == 0
        (tmp_path / "manifest.csv").unlink()
        assert sweep.download(tmp_path, "{color}/{width:03d}.png", manifest="jsonl") == files
        assert proxy.asked("/full") == 4, "compared, because nothing says what they are"
        texts = (tmp_path / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(text)["index"] for text in texts] == [0, 1, 2, 3]


def test_other_files_are_left_alone_and_equal_names_refused(client: InvokeAIClient, tmp_path: Path) -> None:
    sweep = plans.picture().sweep(product={"width": [8, 16]}, client=client)
    (tmp_path / "0001.png").write_text("mine")
    with pytest.raises(DownloadError, match="its content is different") as caught:
        sweep.download(tmp_path)
    assert [path.name for path in caught.value.saved] == ["0000.png"]
    assert (tmp_path / "0001.png").read_text(encoding="utf-8") == "mine"
    assert len(sweep.download(tmp_path, overwrite=True)) == 2
    assert (tmp_path / "0001.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(FileClashError, match="{index}"):
        sweep.download(tmp_path / "other", "{color}")


def test_what_was_pruned_is_kept_if_it_is_saved_and_run_again_if_not(client: InvokeAIClient, tmp_path: Path) -> None:
    product, file = {"width": [8, 16, 24], "color": ["#ff0000", "#00ff00"]}, tmp_path / "it.sweep"
    sweep = plans.picture().sweep(product=product, client=client, file=file)
    first = sweep.download(tmp_path / "out", "{width}-{color}.png")
    sweep.close()
    manifest = (tmp_path / "out/manifest.csv").read_bytes()
    client.queue.prune()
    again = plans.picture().resume_sweep(file, client=client)
    assert (again.counts.completed, again.counts.other) == (0, 6)
    assert again.retry(deleted=True, unless_saved_in=tmp_path / "out") == 0
    assert again.download(tmp_path / "out", "{width}-{color}.png") == first
    assert again.failures() == []
    assert (tmp_path / "out/manifest.csv").read_bytes() == manifest
    again.close()
    first[1].unlink()
    last = plans.picture().resume_sweep(file, client=client)
    assert last.retry(deleted=True, unless_saved_in=tmp_path / "out") == 1
    assert last.download(tmp_path / "out", "{width}-{color}.png") == first
    assert color_of(first[1].read_bytes()) == "#00ff00"
    rows = [*csv.DictReader(io.StringIO((tmp_path / "out/manifest.csv").read_text(encoding="utf-8-sig")))]
    assert [(row["index"], row["status"], float(row["seconds"]) > 0) for row in rows] == [
        (str(index), "completed", True) for index in range(6)
    ]


def test_every_row_has_the_values_of_its_own_run(client: InvokeAIClient, tmp_path: Path) -> None:
    sweep = plans.batched().sweep(product={"widths": [[8, 16], [24]]}, client=client)
    for result in sweep:
        assert result.outputs.picture.width == result.values["widths"] == result.params.widths[0]
        assert len(result.params.widths) == 1
    files = sweep.download(tmp_path, "{widths}.png", manifest="jsonl")
    assert [file.name for file in files] == ["8.png", "16.png", "24.png"]
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["file"], row["widths"], row["status"]) for row in rows] == [
        ("8.png", 8, "completed"),
        ("16.png", 16, "completed"),
        ("24.png", 24, "completed"),
    ]


def test_what_a_generator_drew_is_recorded_and_can_be_run_again(client: InvokeAIClient) -> None:
    settings = {"type": "string_generator_dynamic_prompts_random", "input": "{a|b|c|d|e|f}", "count": 3}
    for result in plans.prompts().sweep(plans.PromptsParams(prompts=settings), client=client):
        assert result.values == {"prompts": result.outputs.prompt}
        (alone,) = plans.prompts().run_all(result.params, client=client, timeout=TIME)
        assert alone.prompt == result.outputs.prompt


def test_the_server_expands_dynamic_prompts(client: InvokeAIClient) -> None:
    base = plans.TextToImageParams(steps=1)
    sweep = plans.text_to_image().sweep(
        base, product={"prompt": DynamicPrompts("a {red|blue} fox"), "seed": [1, 2]}, client=client, errors="collect"
    )
    found = [(sweep.params(index).prompt, sweep.params(index).seed) for index in range(sweep.total)]
    assert found == [("a red fox", 1), ("a red fox", 2), ("a blue fox", 1), ("a blue fox", 2)]
    sweep.cancel()
    with pytest.raises(ParamsError, match=r"^Prompt \(prompt\): the server cannot expand 'a \{red\|': "):
        plans.text_to_image().sweep(base, product={"prompt": DynamicPrompts("a {red|")}, client=client)


def test_a_gallery_has_every_image_and_links_those_that_are_saved(client: InvokeAIClient, tmp_path: Path) -> None:
    sweep = plans.picture().sweep(product={"width": [8, 16], "color": ["#ff0000", "#00ff00"]}, client=client)
    sweep.download(tmp_path / "out", "{color}/{width}.png")
    html = sweep.gallery(tmp_path / "out").read_text(encoding="utf-8")
    assert re.findall(r'href="([^"]*)"', html) == [
        "./%23ff0000/8.png", "./%2300ff00/8.png", "./%23ff0000/16.png", "./%2300ff00/16.png"
    ]  # fmt: skip
    assert len(re.findall(r'<img src="data:image/webp;base64,', html)) == 4
    with PIL.Image.open(io.BytesIO(base64.b64decode(re.findall(r"webp;base64,([^\"]*)", html)[0]))) as thumbnail:
        assert thumbnail.size == (8, 8) or thumbnail.width < thumbnail.height
    client.images.delete([result.outputs.picture.name for result in sweep.results()])
    html = sweep.gallery(tmp_path / "out").read_text(encoding="utf-8")
    assert html.count('<img src="./%23ff0000/8.png"') == 1, "the file itself, once the server has it no more"
    assert "Not Found" in sweep.gallery(tmp_path / "elsewhere.html").read_text(encoding="utf-8")


def test_rows_of_a_file_can_be_awaited(server_url: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("width\n8\n16\n", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"width": 24}\n', encoding="utf-8")

    async def main() -> list[int]:
        async with AsyncInvokeAIClient(server_url) as client:
            one = await plans.picture().asweep_csv(tmp_path / "rows.csv", client=client)
            two = await plans.picture().asweep_jsonl(tmp_path / "rows.jsonl", client=client)
            return [result.outputs.picture.width for result in await one.results() + await two.results()]

    assert asyncio.run(main()) == [8, 16, 24]


def test_what_failed_is_in_the_manifest(client: InvokeAIClient, tmp_path: Path) -> None:
    sweep = plans.resize().sweep(
        rows=[plans.ResizeParams(picture=None), plans.ResizeParams(picture=PIL.Image.new("RGB", (5, 5)))],
        client=client,
        errors="collect",
    )
    assert [path.name for path in sweep.download(tmp_path, manifest="jsonl")] == ["0001.png"]
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["index"], row["file"], bool(row["error"])) for row in rows] == [
        (0, "", True),
        (1, "0001.png", False),
    ]


def test_what_is_sent_again_while_files_are_saved_counts_as_saved(
    client: InvokeAIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, save = threading.Event(), Saver.save

    async def spied(saver: Saver, results: Sequence[SweepResult[Any, Any]]) -> None:
        await save(saver, results)
        seen.set()

    monkeypatch.setattr(Saver, "save", spied)
    with ThreadPoolExecutor(1) as pool:
        with paused(client):
            sweep = plans.picture().sweep(product={"width": [8, 16]}, client=client)
            client.queue.cancel(min(item.item_id for item in client.queue.list() if item.status == "pending"))
            files = pool.submit(sweep.download, tmp_path, manifest="jsonl")
            assert seen.wait(TIME)
            assert sweep.retry() == 1
        assert [path.name for path in files.result(TIME)] == ["0000.png", "0001.png"]
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["index"], row["error"]) for row in rows] == [(0, ""), (1, "")]


def test_a_grid_of_seeds_and_schedulers_becomes_a_contact_sheet(client: InvokeAIClient, tmp_path: Path) -> None:
    base = sd15_text_to_image.Params(steps=2, width=64, height=64)
    sweep = sd15_text_to_image.sweep(base, product={"scheduler": ["euler", "ddim"], "seed": [1, 2, 3]}, client=client)
    sheet = sweep.contact_sheet(tmp_path / "sheet.png", size=96)
    assert sweep.counts.completed == 6
    with PIL.Image.open(tmp_path / "sheet.png") as saved:
        assert saved.size == sheet.size
        assert saved.width > 3 * 96
        assert len(saved.getcolors(1_000_000) or ()) > 500


def test_rows_of_a_file_are_run_and_a_bad_cell_is_reported(server_url: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("Width,color\n8,#ff0000\n16,#0000ff\n", encoding="utf-8")
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        sweep = plans.picture().sweep_csv(file, client=client)
        assert [(result.outputs.picture.width, result.params.color) for result in sweep.results()] == [
            (8, "#ff0000"),
            (16, "#0000ff"),
        ]
        proxy.requests.clear()
        file.write_text("Width,color\n8,#ff0000\nsixteen,#0000ff\n", encoding="utf-8")
        with pytest.raises(ParamsError, match=r"rows\.csv, row 3, column 'Width' \(width\): 'sixteen'"):
            plans.picture().sweep_csv(file, client=client)
        assert proxy.requests == []


def test_a_schema_that_rejects_is_reported_in_labels(client: InvokeAIClient) -> None:
    with pytest.raises(RejectedError, match="Canvas"):
        plans.picture().sweep(product={"color": [{"r": "x"}]}, client=client)
