"""A sweep over several real servers, one of which does not live to see its end; and what travels to other processes."""

from __future__ import annotations

import contextlib
import io
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from generated import sunset_poster as wf
from invokeai_gen import InvokeAIClient, ParamsError
from invokeai_gen.runtime import ImageOutput
from invokeai_gen.server import constants
from invokeai_gen.server.errors import ConnectionFailedError, NotFoundError
from invokeai_gen.sweeps import multi_server
from invokeai_gen.sweeps.journal import SweepFileError
from invokeai_gen.sweeps.results import NoServerError, SweepCounts, SweepResult
from tests import plans
from tests.server import Server

COLORS = ["#ff0000", "#00ff00"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def other() -> Iterator[Server]:
    """A second server; whoever kills it starts it again."""
    with Server.start() as running:
        yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is silent for a second counts as gone."""
    monkeypatch.setattr(constants, "UNREACHABLE_AFTER", 1.0)


def width_of(file: Path) -> int:
    with PIL.Image.open(file) as image:
        return image.width


def ran(client: InvokeAIClient) -> set[int]:
    return {item.item_id for item in client.queue.items(client.queue.item_ids(), with_sessions=False)}


def test_servers_share_the_items_and_what_one_leaves_undone_the_others_do(
    server_url: str, other: Server, impatient: None, tmp_path: Path
) -> None:
    with InvokeAIClient(server_url) as lasting, InvokeAIClient(other.url) as dying:
        before = ran(lasting)
        sweep = plans.picture().sweep(
            product={"width": range(8, 38), "color": COLORS}, servers=[lasting, dying], errors="collect"
        )
        results = []
        for result in sweep:
            results.append(result)
            served = Counter(one.outputs.picture.client.url for one in results if one.outputs.picture.client)
            if served[other.url] == 3:
                other.kill()
        sweep.close()
        assert Counter(result.index for result in results) == Counter(range(60))
        for result in results:
            assert result.outputs.picture.width == result.params.width
        done_by = Counter(result.outputs.picture.client.url for result in results if result.outputs.picture.client)
        assert done_by[server_url] + done_by[other.url] == 60
        assert done_by[other.url] >= 3
        assert len(ran(lasting) - before) == done_by[server_url], "nothing was run twice"
        other.restart()
        items = dying.queue.items(dying.queue.item_ids(), with_sessions=False)
        assert sum(item.status == "completed" for item in items) == done_by[other.url]
        assert not [item for item in items if item.status in ("pending", "in_progress")], "nor will it be"


def test_a_server_that_comes_back_takes_items_again(
    server_url: str, other: Server, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multi_server, "RETURN_POLL", 0.2)
    with InvokeAIClient(other.url) as client:
        before = ran(client)
        with plans.picture().sweep(
            product={"width": range(8, 308), "color": COLORS}, servers=[server_url, client], errors="collect"
        ) as sweep:
            last: int | None = None
            for result in sweep:
                image = result.outputs.picture
                if image.client is None or image.client.url != other.url:
                    continue
                if last is None:
                    other.kill()
                    other.restart()
                    last = max(ran(client))
                elif result.item_id is not None and result.item_id > last:
                    break
            else:
                pytest.fail("it got no item after it was back")
        items = client.queue.items(ran(client) - before, with_sessions=False)
        assert not [item for item in items if item.status in ("pending", "in_progress")]


def test_each_server_gets_its_own_uploads_and_they_are_saved_as_they_come(
    server_url: str, other: Server, tmp_path: Path
) -> None:
    PIL.Image.new("RGB", (30, 30), "#0000ff").save(tmp_path / "a.png")
    base = plans.ResizeParams(picture=tmp_path / "a.png")
    sweep = plans.resize().sweep(base, product={"width": range(4, 16)}, servers=[server_url, other.url])
    files = sweep.download(tmp_path / "out", "{width}.png")
    assert [width_of(file) for file in files] == list(range(4, 16))
    assert len(sweep.cleanup_inputs().deleted) == 2
    sweep.close()


def test_batches_of_the_workflow_are_shared_too(server_url: str, other: Server) -> None:
    sweep = plans.batched().sweep(product={"widths": [[8, 16], [24]]}, servers=[server_url, other.url], runs=2)
    assert [result.outputs.picture.width for result in sweep.results()] == [8, 16, 24] * 2
    sweep.close()


def test_images_of_a_batch_go_to_the_server_that_runs_them(server_url: str, other: Server, tmp_path: Path) -> None:
    pictures: list[Any] = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(pictures):
        PIL.Image.new("RGB", (30, 30), (0, 0, number)).save(path)
    base = plans.ShrinkAllParams(pictures=pictures)
    sweep = plans.shrink_all().sweep(base, servers=[server_url, other.url], runs=4)
    results = sweep.results()
    assert [result.params.pictures for result in results] == [[path] for path in pictures] * 4
    assert [result.outputs.small.pil().getpixel((0, 0)) for result in results] == [(0, 0, n) for n in range(3)] * 4
    used = {result.outputs.small.client.url for result in results if result.outputs.small.client is not None}
    assert used == {server_url, other.url}
    assert not sweep.cleanup_inputs().kept
    sweep.close()


def test_without_any_server_left_the_sweep_ends_with_an_error_and_can_go_on(other: Server, impatient: None) -> None:
    sweep = plans.picture().sweep(product={"width": range(8, 48)}, servers=[other.url])
    with pytest.raises(ConnectionFailedError):
        for _ in sweep:
            if other.running:
                other.kill()
    done = sweep.counts.completed
    assert 0 < done < 40
    other.restart()
    assert sweep.retry() == 40 - done
    assert sweep.wait(60).completed == 40
    sweep.close()


@pytest.mark.parametrize("servers", [[], "http://localhost:9090"])
def test_servers_are_a_list_of_addresses(servers: object) -> None:
    with pytest.raises(ParamsError, match="should be a list of addresses"):
        plans.picture().sweep(product={"width": [8]}, servers=servers)


class Elsewhere(BaseHTTPRequestHandler):
    """A web server that is not InvokeAI."""

    def do_GET(self) -> None:
        self.send_error(404)

    do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def color_of(image: ImageOutput) -> str:
    """The colour of an image, each channel full or empty."""
    with PIL.Image.open(io.BytesIO(image.bytes())) as opened:
        found = opened.convert("RGB").getpixel((opened.width // 2, opened.height // 2))
    assert isinstance(found, tuple)
    return "#" + "".join("ff" if channel > 127 else "00" for channel in found)


def check(results: Sequence[SweepResult[plans.PictureParams, plans.PictureOutputs]], count: int) -> None:
    """Every item was run once, and its pixels are those of its values."""
    assert Counter(result.index for result in results) == Counter(range(count))
    for result in results:
        assert result.outputs.picture.width == result.params.width
        assert color_of(result.outputs.picture) == result.params.color


def test_a_server_that_is_not_invokeai_is_named_and_left_out(
    server_url: str, elsewhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = plans.picture().sweep(
        product={"width": [8, 16, 24], "color": COLORS}, servers=[elsewhere, server_url], errors="collect"
    )
    check(sweep.results(), 6)
    (line,) = [record.message for record in caplog.records if "left out" in record.message]
    assert line.startswith(f"{elsewhere} is left out of the sweep")
    sweep.close()


def test_models_decide_where_an_item_may_run(server_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with Server.start(models=False) as bare:
        base = plans.TextToImageParams(model="tiny-sd15", steps=1)
        sweep = plans.text_to_image().sweep(base, product={"seed": [1, 2]}, servers=[bare.url, server_url])
        assert {image.client.url for r in sweep.results() if (image := r.outputs.picture).client} == {server_url}
        assert [record.message for record in caplog.records if record.message.startswith(f"{bare.url} is left out")]
        sweep.close()
        nowhere = plans.text_to_image().sweep(
            base, product={"model": ["tiny-sd15", "no-such-model"]}, servers=[bare.url, server_url], errors="collect"
        )
        results = nowhere.results()
        assert [result.status for result in results] == ["completed", "failed"]
        assert isinstance(results[1].error, NoServerError)
        assert {bare.url, server_url} <= {*str(results[1].error).replace("; ", " ").replace(": ", " ").split()}
        nowhere.close()


def test_servers_join_and_leave_while_it_runs(server_url: str, other: Server) -> None:
    sweep = plans.picture().sweep(product={"width": range(8, 28), "color": COLORS}, servers=[server_url])
    results = []
    for result in sweep:
        results.append(result)
        if len(results) == 3:
            sweep.add_server(other.url)
        if {image.client.url for r in results if (image := r.outputs.picture).client} == {server_url, other.url}:
            sweep.remove_server(server_url)
    check(results, 40)
    urls = [
        image.client.url for r in sorted(results, key=lambda r: r.item_id or 0) if (image := r.outputs.picture).client
    ]
    assert {*urls} == {server_url, other.url}
    sweep.close()
    with pytest.raises(TypeError, match="several servers"):
        plans.picture().sweep(product={"width": [8]}, client=InvokeAIClient(server_url)).add_server(other.url)


KILLED = """
import sys
from tests import plans
sweep = plans.picture().sweep(
    product={"width": range(8, 28), "color": ["#ff0000", "#00ff00"]}, servers=sys.argv[2:], file=sys.argv[1]
)
for number, result in enumerate(sweep):
    print(number, flush=True)
"""


def test_over_several_servers_it_goes_on_after_its_process_was_killed(
    server_url: str, other: Server, tmp_path: Path
) -> None:
    file = tmp_path / "it.sweep"
    with InvokeAIClient(server_url) as one, InvokeAIClient(other.url) as two:
        before = len(ran(one)) + len(ran(two))
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(file), server_url, other.url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        while int(process.stdout.readline()) < 9:
            pass
        process.kill()
        process.wait()
        process.stdout.close()
        sweep = plans.picture().resume_sweep(file)
        check(sweep.results(), 40)
        sweep.close()
        assert len(ran(one)) + len(ran(two)) - before == 40, "nothing was run twice"


def test_resuming_sends_what_was_never_sent_and_only_retry_what_failed(
    server_url: str, other: Server, tmp_path: Path
) -> None:
    file, saved, picture = tmp_path / "it.sweep", tmp_path / "out", tmp_path / "a.png"
    PIL.Image.new("RGB", (30, 30), "#0000fc").save(picture)
    rows = [plans.ResizeParams(picture=one, width=width) for width in (8, 16) for one in (picture, None)]
    with InvokeAIClient(server_url) as one, InvokeAIClient(other.url) as two:
        before = len(ran(one)) + len(ran(two))
        with plans.resize().sweep(
            rows=rows, file=file, servers=[server_url, other.url], errors="collect"
        ) as sweep:  # a resize of nothing fails
            sweep.download(saved)
            assert sweep.counts == SweepCounts(total=4, completed=2, failed=2)
        with plans.resize().resume_sweep(file, errors="collect") as resumed:
            assert resumed.wait(60) == SweepCounts(total=4, completed=2, failed=2)
            assert len(ran(one)) + len(ran(two)) - before == 4, "nothing was sent"
        with plans.resize().resume_sweep(file, errors="collect", servers=[server_url]) as resumed:
            assert resumed.retry() == 2
            assert resumed.wait(60).failed == 2
            assert len(ran(one)) + len(ran(two)) - before == 6, "what failed was sent once more"
        one.queue.prune()
        two.queue.prune()
        with plans.resize().resume_sweep(file, errors="collect") as resumed:
            assert resumed.counts.other == 2, "what was completed is no longer in a queue"
            assert resumed.retry(deleted=True, unless_saved_in=saved) == 2
            resumed.wait(60)
            (saved / "0000.png").unlink()
            assert resumed.retry(deleted=True, unless_saved_in=saved) == 3
            assert resumed.wait(60) == SweepCounts(total=4, completed=1, failed=2, other=1)


def test_what_a_server_has_run_that_is_gone_counts_as_deleted(
    server_url: str, other: Server, impatient: None, tmp_path: Path
) -> None:
    file, saved = tmp_path / "it.sweep", tmp_path / "out"
    with plans.picture().sweep(product={"width": [8, 16]}, servers=[other.url], file=file) as sweep:
        sweep.download(saved)
    other.kill()
    (saved / "0001.png").unlink()
    try:
        with plans.picture().resume_sweep(file, servers=[server_url], errors="collect") as resumed:
            assert resumed.retry(deleted=True, unless_saved_in=saved) == 1
            assert [path.name for path in resumed.download(saved)] == ["0000.png", "0001.png"]
            (gone, _) = resumed.results()
            assert gone.status == "deleted"
            assert f"is on {other.url}, which cannot be reached" in str(gone.error)
    finally:
        other.restart()


def test_what_is_retried_while_others_run_does_not_wait_for_them(server_url: str, other: Server) -> None:
    sweep = plans.picture().sweep(product={"width": range(8, 40)}, servers=[server_url, other.url], errors="collect")
    sweep.cancel()
    assert sweep.counts.canceled
    assert sweep.retry() == sweep.total - sweep.counts.completed
    assert sweep.retry() > 0, "what is on its way already counts, and is not sent twice"
    assert sweep.wait(60).completed == 32
    sweep.close()


def test_a_file_of_one_server_is_not_resumed_on_several(server_url: str, other: Server, tmp_path: Path) -> None:
    file = tmp_path / "it.sweep"
    with InvokeAIClient(server_url) as client:
        plans.picture().sweep(product={"width": [8, 16]}, client=client, file=file).close()
    with pytest.raises(SweepFileError, match=f"is a sweep on '{server_url}', not on several: name that server"):
        plans.picture().resume_sweep(file, servers=[server_url, other.url])
    with pytest.raises(SweepFileError, match=f"not on {other.url}"):
        plans.picture().resume_sweep(file, servers=[other.url])
    with plans.picture().resume_sweep(file, servers=[server_url]) as sweep:
        assert sweep.wait(60).completed == 2


def test_an_item_that_a_restart_canceled_is_run_again() -> None:
    with Server.start(models=True) as slow, InvokeAIClient(slow.url) as client:
        base = plans.TextToImageParams(model="tiny-sd15", steps=20)
        for target in ({"servers": [slow.url]}, {"client": client}):
            before = ran(client)
            sweep = plans.text_to_image().sweep(base, product={"seed": [1, 2]}, errors="collect", **target)
            while (current := client.queue.current()) is None or current.item_id in before:
                time.sleep(0.05)
            slow.kill()
            slow.restart()
            assert client.queue.get(current.item_id).status == "canceled"
            assert [result.status for result in sweep.results()] == ["completed", "completed"], target
            sweep.close()


@contextlib.contextmanager
def cluster_of(*urls: str) -> Iterator[Any]:
    """The client of a dask cluster with a worker process for each server."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    workers = {
        url: {"cls": Nanny, "options": {"nthreads": 2, "env": {"INVOKEAI_URL": url}, "dashboard": False}}
        for url in urls
    }
    scheduler = {"cls": Scheduler, "options": {"dashboard": False}}
    with SpecCluster(workers, scheduler) as cluster, Client(cluster, set_as_default=False) as dask:
        yield dask


def test_a_cluster_of_the_user_runs_each_item_once(server_url: str, other: Server) -> None:
    with InvokeAIClient(server_url) as one, InvokeAIClient(other.url) as two:
        before = len(ran(one)) + len(ran(two))
        with cluster_of(server_url, other.url) as dask:
            sweep = plans.picture().sweep(product={"width": range(8, 18), "color": COLORS}, servers=dask)
            results = sweep.results()
            check(results, 20)
            assert {image.client.url for r in results if (image := r.outputs.picture).client} == {server_url, other.url}
            sweep.close()
        assert len(ran(one)) + len(ran(two)) - before == 20


def test_what_workers_of_a_cluster_uploaded_can_be_deleted(server_url: str, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (30, 30), "#0000fe").save(tmp_path / "a.png")
    base = plans.ResizeParams(picture=tmp_path / "a.png")
    with cluster_of(server_url) as dask, InvokeAIClient(server_url) as client:
        sweep = plans.resize().sweep(base, product={"width": [4, 8, 12]}, servers=dask)
        assert [result.outputs.small.width for result in sweep.results()] == [4, 8, 12]
        (name,) = sweep.cleanup_inputs().deleted
        with pytest.raises(NotFoundError):
            client.images.get(name)
        sweep.close()


def test_over_several_servers_a_resumed_sweep_knows_what_was_uploaded(
    server_url: str, other: Server, tmp_path: Path
) -> None:
    PIL.Image.new("RGB", (30, 30), "#0000fd").save(tmp_path / "a.png")
    base, file = plans.ResizeParams(picture=tmp_path / "a.png"), tmp_path / "it.sweep"
    sweep = plans.resize().sweep(base, product={"width": range(4, 16)}, servers=[server_url, other.url], file=file)
    sweep.results()
    sweep.close()
    with plans.resize().resume_sweep(file) as resumed:
        assert len(resumed.cleanup_inputs().deleted) == 2
    with plans.resize().resume_sweep(file) as again:
        assert again.cleanup_inputs().deleted == ()


def test_params_and_results_go_to_other_processes_and_come_back(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOKEAI_URL", server_url)
    rows = [wf.Params(width=256, height=256, seed=seed, sky_color=(1, 2, 3)) for seed in (1, 2)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        outs = list(pool.map(wf.run, rows))
    assert [out.poster.width for out in outs] == [256, 256]
    assert outs[0].poster.bytes()[:4] == b"\x89PNG"
    assert pickle.loads(pickle.dumps(rows)) == rows
    with InvokeAIClient(server_url) as client:
        (result,) = wf.sweep(rows=rows[:1], client=client)
        again = pickle.loads(pickle.dumps(result))
        assert (again.params, again.outputs.poster) == (rows[0], result.outputs.poster)
