"""What a program can rely on: callbacks, resumed jobs, deadlines, missing assets, values of a batch, and files."""

import os
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import PIL.Image
import pytest

from invokeai_gen import InvokeAIClient, Job, Workflow
from invokeai_gen.core.plan import PlanField
from invokeai_gen.server.errors import JobTimeoutError, NotFoundError
from invokeai_gen.server.events import (
    InvocationComplete,
    InvocationError,
    InvocationProgress,
    JobEvent,
    StatusChanged,
)
from invokeai_gen.server.run_errors import DownloadError, ModelResolutionError, ValueResolutionError
from tests import plans
from tests.live.proxy import FOR_GOOD, Proxy, silent

TIME = 120.0
FOREVER = 900


def status_of(client: InvokeAIClient, item_id: int) -> str:
    return client.queue.get(item_id).status


# -- callbacks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_exception_in_a_callback_cancels_the_item(client: InvokeAIClient, raised: type[BaseException]) -> None:
    seen: list[int] = []

    def stop(event: InvocationProgress) -> None:
        seen.append(event.item_id)
        raise raised("enough")

    with pytest.raises(raised, match="enough"):
        plans.text_to_image().run(
            plans.TextToImageParams(steps=FOREVER), client=client, timeout=TIME, on_invocation_progress=stop
        )
    assert status_of(client, seen[0]) == "canceled"
    assert client.version(), "the background loop still runs"


def test_a_done_callback_is_called_though_nobody_keeps_the_job(client: InvokeAIClient) -> None:
    called, ended = [], Event()

    def note(job: Job[Any]) -> None:
        called.append((job.last_status, job.client.url))
        ended.set()

    plans.picture().submit(plans.PictureParams(), client=client).add_done_callback(note)
    assert ended.wait(TIME)
    assert called == [("completed", client.url)]


# -- resumed jobs ------------------------------------------------------------------------------------------------------


def kinds(events: list[JobEvent]) -> list[tuple[type, str]]:
    return [
        (type(event), event.status if isinstance(event, StatusChanged) else event.prepared_id)
        for event in events
        if not isinstance(event, InvocationProgress)
    ]


def test_a_resumed_job_tells_what_has_happened_so_far(client: InvokeAIClient) -> None:
    workflow = plans.picture()
    job = workflow.submit(plans.PictureParams(), client=client)
    heard = list(job.events())
    statuses: list[str] = []
    resumed = workflow.resume(job.item_id, client=client)
    assert kinds(list(resumed.events())) == kinds(heard)
    resumed.wait(TIME, on_status=lambda event: statuses.append(event.status))
    assert statuses == ["in_progress", "completed"]


def test_a_job_that_failed_before_it_was_resumed_tells_the_error(client: InvokeAIClient) -> None:
    workflow = plans.picture()
    job = workflow.submit(plans.PictureParams(width=-8), client=client)
    job.wait(TIME)
    *_, failed, error = workflow.resume(job.item_id, client=client).events()
    assert isinstance(failed, StatusChanged) and failed.status == "failed"
    assert isinstance(error, InvocationError) and error.node_label == "Canvas"


def test_a_running_job_that_is_resumed_begins_in_progress(client: InvokeAIClient) -> None:
    workflow = plans.text_to_image()
    with workflow.submit(plans.TextToImageParams(steps=FOREVER), client=client) as job:
        for event in job.events():
            if isinstance(event, InvocationProgress):
                break
        resumed = workflow.resume(job.item_id, client=client)
        first = next(iter(resumed.events()))
        assert isinstance(first, StatusChanged) and first.status == "in_progress"
        job.cancel()
        events = list(resumed.events())
    complete = [event.node_label for event in events if isinstance(event, InvocationComplete)]
    assert len(complete) == len(set(complete)), "each node once"
    assert isinstance(events[-1], StatusChanged) and events[-1].status == "canceled"


# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_clean_up_keeps_to_the_deadline_of_the_run(server_url: str) -> None:
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url, timeout=3600.0) as client:
        proxy.on("DELETE .*", silent, times=FOR_GOOD)
        out = plans.picture().run(plans.PictureParams(), client=client, timeout=20, cleanup=("queue_items",))
        assert out.cleanup is not None
        assert out.cleanup.failed["queue_items"].startswith("it was not deleted within")


def test_outputs_are_waited_for_no_longer_than_asked(client: InvokeAIClient) -> None:
    with plans.text_to_image().submit(plans.TextToImageParams(steps=FOREVER), client=client) as job:
        with pytest.raises(JobTimeoutError, match=r"did not end within 0\.2 s"):
            job.outputs(timeout=0.2)
        assert not job.is_done


def test_a_timeout_has_the_last_status_and_that_the_server_does_not_answer_any_more(client: InvokeAIClient) -> None:
    with Proxy(client.url) as proxy, InvokeAIClient(proxy.url) as other:
        job = plans.text_to_image().submit(plans.TextToImageParams(steps=FOREVER), client=other)
        with pytest.raises(JobTimeoutError, match=r"within 0\.2 s \(its status was \w+\)$"):
            job.wait(0.2)
        proxy.hang_up()
        proxy.cut_websockets()
        end, about = time.monotonic() + TIME, ""
        while "answer" not in about:  # until it is known
            assert time.monotonic() < end, about
            with pytest.raises(JobTimeoutError) as caught:
                job.wait(0.2)
            about = str(caught.value)
        assert re.search(rf"\(its status was \w+; {re.escape(proxy.url)} fails to answer\)$", about), about
        client.queue.cancel(job.item_id)


# -- missing assets ----------------------------------------------------------------------------------------------------

GONE = {
    "key": "00000000-0000-0000-0000-000000000000",
    "hash": "blake3:0",
    "name": "gone",
    "base": "sd-1",
    "type": "main",
}


def hidden(workflow: Workflow[Any, Any], **assets: Any) -> Workflow[Any, Any]:
    """A workflow whose first node has fields that are not on the form, and refer to these things."""
    node, *others = workflow.plan.nodes
    fields = tuple(PlanField(name=kind, value=value, asset=kind, label=kind.title()) for kind, value in assets.items())  # type: ignore[arg-type]
    plan = replace(workflow.plan, nodes=(replace(node, fields=node.fields + fields), *others))
    return Workflow(plan, params=workflow.params_type, outputs=workflow.outputs_type)


def test_everything_that_is_missing_is_reported_at_once_before_anything_is_sent(server_url: str) -> None:
    workflow = hidden(plans.picture(), model=GONE, image={"image_name": "gone.png"}, board={"board_id": "gone"})
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        with pytest.raises(ValueResolutionError) as caught:
            workflow.run(plans.PictureParams(board="No such board"), client=client, create_boards=False)
        sent = [line for line in proxy.requests if not line.startswith(b"GET")]
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "'Board'", "'Canvas → Model'", "'Canvas → Image'", "'Canvas → Board'"
    ]  # fmt: skip
    assert sent == []


def test_a_file_is_not_uploaded_for_a_run_whose_model_is_missing(server_url: str) -> None:
    picture = BytesIO()
    PIL.Image.new("RGB", (8, 8)).save(picture, "PNG")
    workflow = hidden(plans.resize(), model=GONE)
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as client:
        with pytest.raises(ModelResolutionError, match="→ Model"):
            workflow.run(plans.ResizeParams(picture=picture.getvalue()), client=client)
        assert not any(line.startswith(b"POST") for line in proxy.requests)


def test_a_hidden_model_of_another_server_is_found_by_its_hash(client: InvokeAIClient) -> None:
    (here,) = client.models.find("tiny-sd15", type="main")
    elsewhere = {**GONE, "hash": here.hash}
    nodes = tuple(
        replace(node, fields=tuple(
            replace(field, value=elsewhere, asset="model", label="Model") if field.name == "model" else field
            for field in node.fields
        ))
        for node in plans.text_to_image().plan.nodes
    )  # fmt: skip
    plan = plans.text_to_image().plan
    inputs = tuple(planned for planned in plan.inputs if planned.field_name != "model")
    workflow = Workflow(replace(plan, nodes=nodes, inputs=inputs), params=plans.NoParams, outputs=plans.PictureOutputs)
    out = workflow.run(plans.NoParams(), client=client, timeout=TIME)
    assert out.by_node("loader")[0]["unet"]["unet"]["key"] == here.key


# -- batches -----------------------------------------------------------------------------------------------------------


def test_each_result_of_a_batch_has_its_own_values(client: InvokeAIClient) -> None:
    outputs = plans.batched().run_all(plans.BatchParams(widths=[16, 24]), client=client, timeout=TIME)
    assert [out.input_values["widths"] for out in outputs] == [16, 24]
    assert [out.input_params for out in outputs] == [plans.BatchParams(widths=[16]), plans.BatchParams(widths=[24])]
    again = plans.batched().run(outputs[1].input_params, client=client, timeout=TIME)  # type: ignore[arg-type]
    assert again.picture.width == 24


# -- files -------------------------------------------------------------------------------------------------------------


def test_no_file_is_replaced_by_another_run(client: InvokeAIClient, tmp_path: Path) -> None:
    outputs = plans.batched().run_all(plans.BatchParams(widths=[16, 24]), client=client, timeout=TIME)
    (first,) = outputs[0].download_outputs(tmp_path)
    kept = first.read_bytes()
    assert outputs[0].download_outputs(tmp_path) == [first], "the same results again are no clash"
    with pytest.raises(DownloadError, match="already exists, and its content is different"):
        outputs[1].download_outputs(tmp_path)
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        outputs[1].picture.save(first)
    assert first.read_bytes() == kept
    named = [out.download_outputs(tmp_path, pattern="{item_id}/{output}-{widths}") for out in outputs]
    assert [path.relative_to(tmp_path).as_posix() for (path,) in named] == [
        f"{out.item_id}/picture-{width}.png" for out, width in zip(outputs, (16, 24), strict=True)
    ]
    assert outputs[1].download_outputs(tmp_path, overwrite=True) == [first]
    assert first.read_bytes() != kept
    assert [*tmp_path.glob("**/.*")] == [], "no temporary file is left"


# -- memory ------------------------------------------------------------------------------------------------------------

SUBMITS = """
import gc, sys, tracemalloc
from tests import plans
from invokeai_gen import InvokeAIClient
from invokeai_gen.server.watch import Watch

client = InvokeAIClient()
workflow, params = plans.picture(use_cache=True), plans.PictureParams(width=8)
def submit(times):
    for _ in range(times):
        workflow.submit(params, client=client).wait(120)
    gc.collect()
    return sum(isinstance(each, Watch) for each in gc.get_objects())
submit(20)
tracemalloc.start()
before = tracemalloc.get_traced_memory()[0]
print(submit(60), (tracemalloc.get_traced_memory()[0] - before) // 60)
"""


def test_jobs_that_were_dropped_leave_nothing_behind(server_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SUBMITS],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "INVOKEAI_URL": server_url},
        cwd=Path(__file__).parents[2],
    )
    watches, bytes_each = map(int, done.stdout.split())
    assert watches <= 1
    assert bytes_each < 3000, "a single event takes more"


def test_what_a_run_leaves_is_named_when_it_is_gone(client: InvokeAIClient) -> None:
    out = plans.picture().run(plans.PictureParams(width=random.randrange(1000, 4000)), client=client, timeout=TIME)
    out.cleanup_outputs().raise_for_failures()
    with pytest.raises(NotFoundError):
        out.picture.bytes()
