"""Runs in several processes: errors that travel, forks of a client in use, and processes that end although nobody reads on."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest

from invokeai_gen import InvokeAIClient, Job
from invokeai_gen.server.run_errors import JobFailedError
from tests import plans

TIME = 120.0
ROOT = Path(__file__).parents[2]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def run_width(width: int) -> int:
    """One row of a table: widths below 1 fail on the server."""
    return plans.picture().run(plans.PictureParams(width=width), timeout=TIME).picture.width


@pytest.fixture(autouse=True)
def _default_server(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOKEAI_URL", server_url)


def known_error(error: BaseException | None) -> None:
    assert isinstance(error, JobFailedError)
    assert error.item_id
    assert (error.node_label, error.error_type, error.field_labels) == ("Canvas", "ValueError", ("Width", "Color"))


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_pool_shows_the_error_of_a_row_and_keeps_the_others(method: str) -> None:
    run_width(16)  # the parent has connections open
    with multiprocessing.get_context(method).Pool(2) as pool:
        rows = [pool.apply_async(run_width, (8 * n,)) for n in (1, 2, 3)]
        broken = pool.apply_async(run_width, (-8,))
        with pytest.raises(JobFailedError) as caught:
            broken.get(TIME)
        known_error(caught.value)
        assert [row.get(TIME) for row in rows] == [8, 16, 24]


def test_an_executor_shows_the_error_of_a_row_and_keeps_the_others() -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        rows: list[Future[int]] = [pool.submit(run_width, 8 * n) for n in (1, 2)]
        broken = pool.submit(run_width, -8)
        known_error(broken.exception(TIME))
        assert [row.result(TIME) for row in rows] == [8, 16]


def test_a_pool_maps_run_itself() -> None:
    rows = [plans.PictureParams(width=8), plans.PictureParams(width=16)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert [out.picture.width for out in pool.map(plans.picture().run, rows)] == [8, 16]


def python(code: str, server_url: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, which must end by itself."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, "INVOKEAI_URL": server_url},
        capture_output=True,
        text=True,
        timeout=TIME,
        check=False,
    )


@forks
def test_a_client_and_a_job_of_the_parent_work_in_a_fork(server_url: str) -> None:
    done = python(
        """
        import os
        from invokeai_gen import InvokeAIClient
        from tests import plans

        client = InvokeAIClient()
        plans.picture().run(plans.PictureParams(width=16), client=client)
        job = plans.picture().submit(plans.PictureParams(width=24), client=client)
        reader, writer = os.pipe()
        if os.fork() == 0:
            width = plans.picture().run(plans.PictureParams(width=32), client=client, timeout=60).picture.width
            assert job.wait(60) == "completed"
            events = [type(event).__name__ for event in job.events()]
            assert events[-1] == "StatusChanged", events
            os.write(writer, f"{width} {job.outputs().picture.width}".encode())
            client.close()
            os._exit(0)
        os.close(writer)
        assert os.read(reader, 100) == b"32 24"
        assert os.wait()[1] == 0
        assert job.outputs().picture.width == 24
        assert plans.picture().run(plans.PictureParams(width=40), client=client, timeout=60).picture.width == 40
        """,
        server_url,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a program can handle")
def test_a_run_is_canceled_if_a_signal_raises(server_url: str) -> None:
    done = python(
        """
        import os, signal, sys
        from tests import plans

        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

        def end(event):
            print(event.item_id, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)

        plans.text_to_image().run(plans.TextToImageParams(steps=900), on_invocation_started=end)
        """,
        server_url,
    )
    assert (done.returncode, done.stderr) == (143, "")
    with InvokeAIClient(server_url) as client:
        assert client.queue.get(int(done.stdout.split()[0])).status == "canceled"


HALF_READ = {
    "events": """
        job = plans.picture().submit(plans.PictureParams(width=24), client=client)
        events = job.events()
        for event in events:
            break
    """,
    "images": """
        plans.picture().run(plans.PictureParams(width=24), client=client)
        images = client.images.list()
        next(images)
    """,
    "outputs": """
        job = plans.picture().submit(plans.PictureParams(width=24), client=client)
        outputs = job.stream_outputs()
        next(outputs)
    """,
    "sweep": """
        sweep = plans.picture().sweep(product={"width": [8, 16, 24]}, client=client)
        results = iter(sweep)
        next(results)
    """,
}


@pytest.mark.parametrize("left", HALF_READ)
def test_an_iterator_that_is_left_half_read_does_not_keep_the_process(left: str, server_url: str) -> None:
    code = "from invokeai_gen import InvokeAIClient\nfrom tests import plans\nclient = InvokeAIClient()\n"
    done = python(code + textwrap.dedent(HALF_READ[left]), server_url)
    assert (done.returncode, done.stderr) == (0, "")


def test_dropped_jobs_leave_nothing_in_the_client(server_url: str) -> None:
    with InvokeAIClient(server_url) as client:
        for number in range(20):
            plans.picture().submit(plans.PictureParams(width=8 + number % 3), client=client)
        kept = plans.picture().submit(plans.PictureParams(width=56), client=client)
        assert kept.wait(TIME) == "completed"
        follower = client._core._connections._follower
        assert follower is not None
        assert [watch.batch_id for watch in follower._all()] == [kept.batch_id]
        assert {*follower._watches} == {kept.batch_id}
        assert isinstance(kept, Job)


def test_dask_processes_show_the_error_of_a_row_and_keep_the_others() -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as dask,
    ):
        rows = dask.map(run_width, [8, -8, 16], pure=False)
        known_error(rows[1].exception(timeout=TIME))
        assert dask.gather(rows, errors="skip") == [8, 16]


@forks
@pytest.mark.parametrize("results", ["json", "pickle"])
def test_a_celery_worker_shows_the_error_of_a_row_and_keeps_the_others(results: str, tmp_path: Path) -> None:
    """With pickle as `result_serializer` the error comes back whole, with JSON as an exception with its text."""
    from tests.live import celery_tasks

    app = celery_tasks.app_in(tmp_path, results)
    worker = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "-A", "tests.live.celery_tasks", "worker", "--pool", "prefork"),
            *("--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"),
        ],
        cwd=ROOT,
        env={**os.environ, "CELERY_FOLDER": str(tmp_path), "CELERY_RESULTS": results},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        rows = [app.send_task(celery_tasks.ROW, [width]) for width in (8, -8, 16)]
        with pytest.raises(
            JobFailedError if results == "pickle" else Exception, match="'Canvas'.*ValueError"
        ) as caught:
            rows[1].get(timeout=TIME)
        if results == "pickle":
            known_error(caught.value)
        assert [rows[index].get(timeout=TIME) for index in (0, 2)] == [8, 16]
    finally:
        worker.terminate()
        assert worker.wait(TIME) == 0
