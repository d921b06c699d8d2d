"""Running workflows on a real server: to the end, in crowds, and into every kind of trouble."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from invokeai_gen import AsyncInvokeAIClient, ImageOutput, InvokeAIClient, Job, ModelRef
from invokeai_gen.server.client import _open
from invokeai_gen.server.errors import (
    JobCanceledError,
    JobDeletedError,
    JobTimeoutError,
    NotFoundError,
)
from invokeai_gen.server.events import (
    InvocationComplete,
    InvocationError,
    InvocationProgress,
    InvocationStarted,
    StatusChanged,
)
from invokeai_gen.server.run_errors import JobFailedError, MediaResolutionError, ModelResolutionError, SeveralItemsError
from invokeai_gen.server.status_errors import RejectedError
from tests import plans
from tests.live.proxy import Proxy, lost

TIME = 120.0
"""Seconds that anything may take here; the server may be busy with other tests."""
FOREVER = 900
"""Denoising steps of a run that is only there to be interrupted."""


def test_run_returns_the_outputs_of_the_values_given(client: InvokeAIClient) -> None:
    out = plans.picture().run(plans.PictureParams(width=80), client=client, timeout=TIME)
    assert (out.picture.width, out.picture.height) == (80, 48)
    assert out.blurred.name != out.picture.name
    assert out.user_outputs == {"picture": out.picture}
    seconds = out.timings.execution_seconds
    assert seconds is not None
    assert 0 < seconds < TIME
    assert client.queue.get(out.item_id).batch_id == out.batch_id


def test_text_to_image_runs_with_a_model_found_by_name(client: InvokeAIClient) -> None:
    out = plans.text_to_image().run(plans.TextToImageParams(seed=7), client=client, timeout=TIME)
    assert (out.picture.width, out.latents.width) == (64, 64)
    assert out.latents.name
    (loaded,) = out.by_node("loader")
    assert loaded["unet"]["unet"]["name"] == "tiny-sd15"


def test_a_model_of_another_server_is_found_by_its_hash_and_a_wrong_one_refused(client: InvokeAIClient) -> None:
    (here,) = client.models.find("tiny-sd15", type="main")
    elsewhere = ModelRef(key="00000000-0000-0000-0000-000000000000", hash=here.hash, name="renamed")
    out = plans.text_to_image().run(plans.TextToImageParams(model=elsewhere), client=client, timeout=TIME)
    assert out.by_node("loader")[0]["unet"]["unet"]["key"] == here.key
    with pytest.raises(ModelResolutionError, match=r"'Model': .*tiny-sd15 \(sd-1 main\)"):
        plans.text_to_image().run(plans.TextToImageParams(model="tiny-sdxl"), client=client)


def test_one_client_serves_event_loops_one_after_another(server_url: str) -> None:
    client = AsyncInvokeAIClient(server_url)

    async def run(width: int) -> int:
        out = await plans.picture().arun(plans.PictureParams(width=width), client=client, timeout=TIME)
        return out.picture.width

    assert [asyncio.run(run(width)) for width in (8, 16, 24)] == [8, 16, 24]
    asyncio.run(client.close())


def test_events_tell_everything_from_the_first_on(client: InvokeAIClient) -> None:
    job = plans.picture().submit(plans.PictureParams(), client=client)
    events = list(job.events())
    assert isinstance(events[0], StatusChanged)
    assert events[0].status == "in_progress"
    assert [event.node_label for event in events if isinstance(event, InvocationStarted)] == [
        "Canvas",
        "Soften",
        "Keep",
    ]
    complete = [event for event in events if isinstance(event, InvocationComplete)]
    assert complete[-1].result["image"]["image_name"] == job.outputs().picture.name
    assert isinstance(events[-1], StatusChanged)
    assert events[-1].status == job.last_status == "completed"
    assert [type(event) for event in job.events()] == [type(event) for event in events], (
        "a second listener hears the same"
    )


def test_progress_has_percentage_and_preview(client: InvokeAIClient) -> None:
    job = plans.text_to_image().submit(plans.TextToImageParams(steps=4), client=client)
    progress = [event for event in job.events() if isinstance(event, InvocationProgress) and event.preview]
    assert [event.node_label for event in progress] == ["Denoise"] * len(progress)
    assert progress[-1].percentage == 1.0
    assert progress[-1].preview is not None
    assert progress[-1].preview.bytes().startswith(b"\xff\xd8")


def test_outputs_stream_as_their_nodes_finish(client: InvokeAIClient) -> None:
    job = plans.picture().submit(plans.PictureParams(), client=client)
    streamed = list(job.stream_outputs(debug=True))
    assert [output.name for output in streamed] == ["blurred", "picture"]
    assert streamed[-1].value == job.outputs().picture


def test_iterations_come_in_the_order_of_their_items(client: InvokeAIClient) -> None:
    out = plans.iterated().run(plans.NoParams(), client=client, timeout=TIME)
    assert [image.width for image in out.each] == [16, 24, 32, 40]
    collected = [ImageOutput(image.name, image.width, 16, "images") for image in out.each]
    if client.version().startswith("6.8."):  # whose `collect` has its items in any order
        out.all_of_them.sort(key=lambda image: image.width)
    assert out.all_of_them == collected


def test_a_batch_gives_one_outputs_for_each_item_in_order(client: InvokeAIClient) -> None:
    workflow, params = plans.batched(), plans.BatchParams(widths=[16, 32, 48])
    outputs = workflow.run_all(params, client=client, timeout=TIME, runs=2)
    assert [out.picture.width for out in outputs] == [16, 32, 48] * 2
    assert [out.batch_values for out in outputs[:2]] == [{("blank", "width"): 16}, {("blank", "width"): 32}]
    assert [out.item_id for out in outputs] == sorted(out.item_id for out in outputs)
    with pytest.raises(SeveralItemsError, match="makes 3 queue items"):
        workflow.run(params, client=client)


def test_a_failure_names_node_field_and_reason(client: InvokeAIClient) -> None:
    job = plans.resize().submit(plans.ResizeParams(), client=client)
    with pytest.raises(JobFailedError) as caught:
        job.outputs()
    error = caught.value
    assert (error.node_id, error.node_label, error.node_type) == ("resize", "Shrink", "img_resize")
    assert error.error_type == "MissingInputException"
    assert "Traceback" in error.server_traceback
    assert error.field_labels == ("Picture", "New Width")
    assert any(isinstance(event, StatusChanged) and event.status == "failed" for event in job.events())


def test_the_error_of_a_node_is_the_last_event_of_a_failed_item(client: InvokeAIClient) -> None:
    job = plans.picture().submit(plans.PictureParams(width=-8), client=client)
    *_, status, error = job.events()
    assert isinstance(status, StatusChanged)
    assert status.status == "failed"
    assert isinstance(error, InvocationError)
    assert (error.node_label, error.error_type) == ("Canvas", "ValueError")


def test_one_failure_in_a_batch_leaves_the_others_their_outputs(client: InvokeAIClient) -> None:
    job = plans.batched().submit(plans.BatchParams(widths=[16, -8, 32]), client=client)
    first, failure, last = job.results()
    assert isinstance(first, plans.PictureOutputs)
    assert isinstance(failure, JobFailedError)
    assert isinstance(last, plans.PictureOutputs)
    assert (first.picture.width, last.picture.width) == (16, 32)
    with pytest.raises(JobFailedError, match="Width and height must be >= 0"):
        job.all_outputs()


def test_a_refusal_speaks_of_labels(client: InvokeAIClient) -> None:
    with pytest.raises(RejectedError, match=r"'Shrink', 'New Width': Input should be greater than 0 \(given: -8\)"):
        plans.resize().run(plans.ResizeParams(width=-8), client=client)


def test_a_running_item_can_be_canceled(client: InvokeAIClient) -> None:
    job = plans.text_to_image().submit(plans.TextToImageParams(steps=FOREVER), client=client)
    assert client.queue.position(job.item_id) is not None
    for event in job.events():
        if isinstance(event, InvocationProgress) and event.percentage:
            job.cancel()
    assert job.wait(TIME) == "canceled"
    assert job.position() is None
    with pytest.raises(JobCanceledError):
        job.outputs()


def test_a_run_that_takes_too_long_is_canceled(client: InvokeAIClient) -> None:
    with pytest.raises(
        JobTimeoutError, match=r"did not end within 4 s \(its status was (pending|in_progress), it is canceled now\)"
    ) as caught:
        plans.text_to_image().run(plans.TextToImageParams(steps=FOREVER), client=client, timeout=4)
    assert caught.value.item_id is not None
    assert Job.resume(client, caught.value.item_id).wait(TIME) == "canceled"


def test_waiting_for_a_while_does_no_harm_to_a_job(client: InvokeAIClient) -> None:
    with plans.text_to_image().submit(plans.TextToImageParams(steps=FOREVER), client=client) as job:
        with pytest.raises(JobTimeoutError):
            job.wait(0.5)
        assert job.status() in ("pending", "in_progress")
    assert client.queue.get(job.item_id).status == "canceled", "leaving the `with` block cancels what has not ended"


def test_cancelling_the_task_cancels_the_item(server_url: str) -> None:
    async def main() -> tuple[int, str]:
        async with AsyncInvokeAIClient(server_url) as client:
            seen: list[int] = []
            started = asyncio.Event()

            def note(event: InvocationStarted) -> None:
                seen.append(event.item_id)
                started.set()

            task = asyncio.create_task(
                plans.text_to_image().arun(
                    plans.TextToImageParams(steps=FOREVER), client=client, on_invocation_started=note
                )
            )
            await asyncio.wait_for(started.wait(), TIME)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return seen[0], (await client.queue.get(seen[0])).status

    assert asyncio.run(main())[1] == "canceled"


@pytest.mark.parametrize("call", ["workflow.run(params, {})", "asyncio.run(workflow.arun(params, {}))"])
def test_ctrl_c_cancels_the_item(server_url: str, call: str) -> None:
    arguments = "on_invocation_started=lambda event: print(event.item_id, flush=True)"
    script = f"""
        import asyncio
        from tests import plans
        workflow, params = plans.text_to_image(), plans.TextToImageParams(steps={FOREVER})
        {call.format(arguments)}
    """
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "INVOKEAI_URL": server_url, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    item_id = int(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIME)
    assert "KeyboardInterrupt" in errors
    with InvokeAIClient(server_url) as client:
        assert Job.resume(client, item_id).wait(TIME) == "canceled"


def test_two_hundred_waits_at_once_each_get_their_own(client: InvokeAIClient) -> None:
    async def main() -> list[int]:
        workflow = plans.picture()
        runs = (workflow.arun(plans.PictureParams(width=8 + n), client=client, timeout=TIME) for n in range(200))
        return [out.picture.width for out in await asyncio.gather(*runs)]

    assert asyncio.run(main()) == [8 + n for n in range(200)]


def test_threads_share_a_client(client: InvokeAIClient) -> None:
    workflow = plans.picture()
    with ThreadPoolExecutor(40) as pool:
        outs = pool.map(
            lambda n: workflow.run(plans.PictureParams(width=8 + n), client=client, timeout=TIME).picture.width,
            range(80),
        )
        assert list(outs) == [8 + n for n in range(80)]


def test_the_end_is_heard_of_by_event_long_before_anyone_would_ask(client: InvokeAIClient) -> None:
    """While events arrive, nobody asks for ten seconds. How fast it is stands in benchmarks/running.py."""
    late = []
    for _ in range(5):
        job = plans.picture().submit(plans.PictureParams(), client=client)
        job.wait(TIME)
        now = datetime.now(UTC)
        completed = job.items()[0].timings.completed
        assert completed is not None
        late.append((now - completed).total_seconds())
        job.close()
    assert min(late) < 2


def test_callbacks_may_use_the_client(client: InvokeAIClient) -> None:
    seen: list[tuple[str, str]] = []
    threads: set[int] = set()

    def on_complete(event: InvocationComplete) -> None:
        threads.add(threading.get_ident())
        seen.append((event.node_label, client.images.get(event.result["image"]["image_name"]).image_name))

    out = plans.picture().run(plans.PictureParams(), client=client, timeout=TIME, on_invocation_complete=on_complete)
    assert seen[-1] == ("Keep", out.picture.name)
    assert threading.get_ident() not in threads


def test_async_callbacks_are_awaited(server_url: str) -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def on_status(event: StatusChanged) -> None:
            await asyncio.sleep(0)
            seen.append(event.status)

        async with AsyncInvokeAIClient(server_url) as client:
            await plans.picture().arun(plans.PictureParams(), client=client, timeout=TIME, on_status=on_status)
        return seen

    assert asyncio.run(main()) == ["in_progress", "completed"]


def test_a_job_is_taken_up_again_by_its_item_id(client: InvokeAIClient, server_url: str) -> None:
    workflow = plans.picture()
    first = workflow.submit(plans.PictureParams(width=72), client=client)
    with InvokeAIClient(server_url) as other:
        assert workflow.resume(first.item_id, client=other).outputs().picture.width == 72
        nameless = Job.resume(other, first.item_id).outputs()
        assert {image.name for image in nameless.images} >= {first.outputs().picture.name}


def test_an_item_that_vanishes_is_reported(client: InvokeAIClient) -> None:
    job = plans.text_to_image().submit(plans.TextToImageParams(steps=FOREVER), client=client)
    assert job.cleanup_queue_items().deleted == (str(job.item_id),)
    with pytest.raises(JobCanceledError):
        job.outputs()
    with pytest.raises(NotFoundError):
        Job.resume(client, job.item_id)
    done = plans.picture().submit(plans.PictureParams(), client=client)
    done.wait(TIME)
    client.queue.delete([done.item_id])
    with pytest.raises(JobDeletedError, match="no longer in the queue"):
        done.outputs()


def test_progress_is_shown_to_those_who_ask(client: InvokeAIClient, capsys: pytest.CaptureFixture[str]) -> None:
    plans.picture().run(plans.PictureParams(), client=client, timeout=TIME)
    assert capsys.readouterr() == ("", "")
    plans.picture().run(plans.PictureParams(), client=client, timeout=TIME, progress=True)
    assert "A picture" in capsys.readouterr().err


def test_an_image_that_is_nowhere_is_reported_by_its_label(client: InvokeAIClient) -> None:
    with pytest.raises(MediaResolutionError, match="'Picture': 'nowhere.png' is neither a file here nor the name"):
        plans.resize().run(plans.ResizeParams(picture="nowhere.png"), client=client)


def test_a_client_that_nobody_uses_any_more_closes_its_connections(server_url: str) -> None:
    before = len(_open)
    plans.picture().run(plans.PictureParams(), client=InvokeAIClient(server_url), timeout=TIME)
    gc.collect()
    assert len(_open) == before


# -- when connections misbehave ---------------------------------------------------------------------------------------


def test_all_jobs_of_a_client_share_one_event_connection(server_url: str) -> None:
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client, ThreadPoolExecutor(8) as pool:
        outs = pool.map(
            lambda n: plans.picture().run(plans.PictureParams(width=8 + n), client=client, timeout=TIME), range(16)
        )
        assert [out.picture.width for out in outs] == [8 + n for n in range(16)]
        assert sum(b"/ws/socket.io" in line for line in proxy.requests) == 1


def test_without_events_the_server_is_asked(server_url: str) -> None:
    with Proxy(server_url) as proxy:
        proxy.refuse_events()
        with InvokeAIClient(proxy.url) as client:
            job = plans.picture().submit(plans.PictureParams(width=88), client=client)
            statuses = [event.status for event in job.events() if isinstance(event, StatusChanged)]
            assert statuses[-1] == "completed"
            assert [output.name for output in job.stream_outputs()] == ["picture"]
            assert job.outputs().picture.width == 88


def test_asking_takes_over_when_the_events_stop(server_url: str) -> None:
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        job = plans.text_to_image().submit(plans.TextToImageParams(steps=40), client=client)
        for event in job.events():
            if isinstance(event, InvocationStarted) and event.node_label == "Denoise":
                proxy.refuse_events()
                proxy.cut_websockets()
                break
        assert job.wait(TIME) == "completed"
        assert job.outputs().picture.width == 64


def test_a_lost_answer_to_an_enqueue_does_not_run_it_twice(server_url: str) -> None:
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        proxy.on("POST .*/enqueue_batch", lost)
        job = plans.batched().submit(plans.BatchParams(widths=[16, 24]), client=client)
        assert [out.picture.width for out in job.all_outputs()] == [16, 24]
        assert client.queue.batch_counts(job.batch_id).total == 2
        assert sum(b"/enqueue_batch" in line for line in proxy.requests) == 1
