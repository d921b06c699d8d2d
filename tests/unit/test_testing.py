"""Programs that run workflows, tested without a server."""

from __future__ import annotations

import asyncio
import copy
import gc
import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest

from generated import color_study_batch, sd15_image_to_image, sd15_text_to_image
from generated import sunset_poster as wf
from invokeai_gen.core.values import BoardRef
from invokeai_gen.runtime import async_job
from invokeai_gen.server.errors import JobCanceledError, JobTimeoutError
from invokeai_gen.server.events import InvocationProgress, StatusChanged
from invokeai_gen.server.run_errors import JobFailedError, ModelResolutionError, SeveralItemsError, ValueResolutionError
from invokeai_gen.testing import FakeInvokeAI
from tests import plans


def make_poster(mood: str, path: Path) -> None:
    """The program under test: it names no client."""
    wf.run(wf.Params(mood=mood)).poster.save(path)  # type: ignore[arg-type]


def test_a_program_is_tested_without_a_server(invokeai: FakeInvokeAI, tmp_path: Path) -> None:
    invokeai.returns(poster=PIL.Image.new("RGB", (768, 512), "navy"))
    make_poster("calm", tmp_path / "poster.png")
    assert invokeai.runs[0].params == wf.Params(mood="calm")
    with PIL.Image.open(tmp_path / "poster.png") as saved:
        assert (saved.size, saved.getpixel((0, 0))) == ((768, 512), (0, 0, 128))


def test_results_follow_one_another_and_the_last_one_repeats(invokeai: FakeInvokeAI) -> None:
    invokeai.returns(poster=(8, 8))
    invokeai.returns(poster=(16, 16))
    assert [wf.run(wf.Params(seed=seed)).poster.size for seed in range(3)] == [(8, 8), (16, 16), (16, 16)]
    assert [run.params.seed for run in invokeai.runs if isinstance(run.params, wf.Params)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (lambda fake: fake.returns(postre=(8, 8)), "no output 'postre'; it has .*poster"),
        (lambda fake: fake.fails("out of memory", node="Postre"), "no node 'Postre'; it has .*Poster"),
    ],
)
def test_a_script_with_a_misspelt_name_fails_the_run(
    invokeai: FakeInvokeAI, script: Callable[[FakeInvokeAI], None], reason: str
) -> None:
    script(invokeai)
    with pytest.raises(JobFailedError, match=reason):
        wf.run(wf.Params())


def test_a_failure_is_the_error_of_a_real_run(invokeai: FakeInvokeAI) -> None:
    invokeai.fails("CUDA out of memory", error_type="OutOfMemoryError", node="Poster")
    with pytest.raises(JobFailedError, match="'Poster'.*OutOfMemoryError: CUDA out of memory"):
        wf.run(wf.Params())


def test_a_run_that_hangs_is_cancelled_at_its_timeout(invokeai: FakeInvokeAI) -> None:
    invokeai.hangs()
    with pytest.raises(JobTimeoutError, match="it is canceled now"):
        wf.run(wf.Params(), timeout=3.0)


def test_a_run_that_is_cancelled_at_its_very_end_stays_cancelled(invokeai: FakeInvokeAI) -> None:
    server, canceling = invokeai._server, []

    def cancel(name: str, data: dict[str, Any]) -> None:
        if name == "invocation_complete" and data["invocation_source_id"] == "save":
            request = httpx.Request("PUT", "http://invokeai.test")
            canceling.append(asyncio.ensure_future(server._cancel(request, str(data["item_id"]))))

    server.listeners.add(cancel)
    job = plans.picture().submit(plans.PictureParams(width=8))
    job.wait(60)
    assert invokeai.client.queue.get(job.item_id).status == "canceled"
    assert len(canceling) == 1


def test_progress_and_every_item_of_a_batch(invokeai: FakeInvokeAI) -> None:
    invokeai.returns(progress=(0.5, 1.0))
    seen: list[float | None] = []

    def note(event: InvocationProgress) -> None:
        seen.append(event.percentage)

    wf.run(wf.Params(), on_invocation_progress=note)
    assert set(seen) == {0.5, 1.0}
    outputs = plans.batched().run_all(plans.BatchParams(widths=[16, 24]), runs=2, client=invokeai.client)
    assert [out.input_values["widths"] for out in outputs] == [16, 24, 16, 24]
    with pytest.raises(SeveralItemsError):
        plans.batched().run(plans.BatchParams(widths=[16, 24]), client=invokeai.client)


def test_models_and_boards_are_looked_up_as_on_a_real_server(invokeai: FakeInvokeAI) -> None:
    with pytest.raises(ModelResolutionError, match="no model 'dreamshaper'"):
        sd15_text_to_image.run(sd15_text_to_image.Params(model="dreamshaper"))
    with pytest.raises(ValueResolutionError, match="no board has the name or id 'Cats'"):
        wf.run(wf.Params(poster_board="Cats"))
    invokeai.has_model("dreamshaper", base="sd-1")
    invokeai.has_board("Cats")
    sd15_text_to_image.run(sd15_text_to_image.Params(model="dreamshaper"))
    wf.run(wf.Params(poster_board="Cats"))
    assert len(invokeai.runs) == 2


def test_an_image_is_uploaded_and_cleaned_up(invokeai: FakeInvokeAI) -> None:
    file = io.BytesIO()
    PIL.Image.new("RGB", (24, 16), "red").save(file, "PNG")
    params = sd15_image_to_image.Params(source_image=file.getvalue(), model="tiny-sd15")
    out = sd15_image_to_image.run(params, cleanup=("inputs", "queue_items"))
    assert invokeai.calls.count("POST /api/v1/images/upload") == 1
    assert out.cleanup is not None and len(out.cleanup.deleted) == 2


def test_a_sweep_records_the_values_of_each_item(invokeai: FakeInvokeAI) -> None:
    results = list(wf.sweep(product={"mood": ["calm", "stormy"], "seed": [1, 2]}))
    assert len(results) == 4
    moods = [(run.params.mood, run.params.seed) for run in invokeai.runs if isinstance(run.params, wf.Params)]
    assert sorted(moods) == [("calm", 1), ("calm", 2), ("stormy", 1), ("stormy", 2)]


def test_a_sweep_records_a_value_that_the_request_leaves_out(invokeai: FakeInvokeAI) -> None:
    invokeai.has_board("Cats", "c1")
    assert len(list(wf.sweep(product={"poster_board": ["Cats", "none"]}))) == 2
    boards = [run.params.poster_board for run in invokeai.runs if isinstance(run.params, wf.Params)]
    assert boards == [BoardRef("c1"), "none"]


def test_the_workflow_of_a_batch_runs(invokeai: FakeInvokeAI) -> None:
    outputs = color_study_batch.run_all(color_study_batch.Params())
    assert len(outputs) == len(invokeai.runs) > 1


@pytest.mark.parametrize("is_awaited", [False, True])
def test_a_callback_that_has_no_next_item_ends_the_run(is_awaited: bool, invokeai: FakeInvokeAI) -> None:
    nothing: Iterator[int] = iter(())

    def report(event: StatusChanged) -> None:
        next(nothing)

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        if is_awaited:
            asyncio.run(plans.picture().arun(plans.PictureParams(width=8), on_status=report))
        else:
            plans.picture().run(plans.PictureParams(width=8), on_status=report)


def test_a_job_that_was_closed_is_followed_again_when_it_is_waited_for(invokeai: FakeInvokeAI) -> None:
    invokeai.hangs()
    job = plans.picture().submit(plans.PictureParams(width=8))
    job.add_done_callback(print)
    job.close()
    assert job._core not in async_job._kept
    invokeai.client.queue.cancel(job.item_id)
    with pytest.raises(JobCanceledError):
        job.outputs(timeout=30)


def test_what_runs_cannot_be_pickled_and_says_what_to_pass_on(invokeai: FakeInvokeAI) -> None:
    job = plans.picture().submit(plans.PictureParams(width=8))
    sweep = plans.picture().sweep(product={"width": [8, 16]})
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=r"pass on its item_id, and continue with resume\(item_id\)"):
            attempt(job)
        with pytest.raises(TypeError, match=r"start it with file=, and continue with resume_sweep\(file\)"):
            attempt(sweep)


def test_memory_stays_flat_over_a_thousand_submits(invokeai: FakeInvokeAI) -> None:
    """What a job holds is freed with it: the client keeps neither watches nor events nor results."""
    workflow, server, counts = plans.picture(), invokeai._server, []
    for number in range(1_000):
        job = workflow.submit(plans.PictureParams(width=8))
        assert job.wait(10) == "completed"
        if number % 200 == 199:
            del job
            for kept in (server._items, server._plans, server.images, server.runs, server.calls):  # the server's own
                kept.clear()
            gc.collect()
            counts.append(len(gc.get_objects()))
    # asyncio keeps up to a hundred canceled timers with all that hangs on them, in the first count or in the last one
    assert counts[-1] - counts[0] < 800, f"a submit leaves something behind: {counts}"
