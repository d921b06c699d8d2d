"""Workflows that are opened at run time, on a real server: submitted, followed, fetched and tidied up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from invokeai_gen import ImageRef, InvokeAIClient, Job
from invokeai_gen.handle import HandleOutputs, IvkModelIdentifierField, WorkflowDefinition, WorkflowHandle
from invokeai_gen.server.errors import JobCanceledError, JobTimeoutError, NotFoundError
from invokeai_gen.server.events import InvocationComplete, InvocationProgress, InvocationStarted, StatusChanged
from invokeai_gen.server.records import QueueItem
from invokeai_gen.server.run_errors import JobFailedError, ModelResolutionError, SeveralItemsError

WORKFLOWS = Path(__file__).parents[2] / "data" / "workflows"
TIME = 120.0
"""Seconds that anything may take here; the server may be busy with other tests."""


def opened(client: InvokeAIClient, name: str, **values: Any) -> WorkflowHandle:
    """One of our examples with values by the names of its module, and a seed of its own: the server caches results."""
    handle = client.create_workflow(WorkflowDefinition.from_file(WORKFLOWS / f"{name}.json"))
    inputs = {item.name: item for item in handle.list_inputs()}
    if "seed" in inputs:
        values = {"seed": random.randrange(2**31), **values}
    for attribute, value in values.items():
        inputs[attribute].field.value = value
    return handle


def poster(client: InvokeAIClient) -> WorkflowHandle:
    return opened(client, "sunset_poster", width=256, height=256)


def painting(client: InvokeAIClient, **values: Any) -> WorkflowHandle:
    return opened(client, "sd15_text_to_image", **{"width": 64, "height": 64, "steps": 2, **values})


def run(handle: WorkflowHandle) -> Job[HandleOutputs]:
    """Submit the values of a handle and wait until they have run."""
    job = handle.submit_sync()
    job.wait(TIME)
    return job


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture that no test has uploaded before."""
    path = tmp_path / "input.png"
    Image.new("RGB", (96, 64), tuple(random.randbytes(3))).save(path)
    return path


# -- submitting and waiting -------------------------------------------------------------------------------------------


def test_a_handle_runs_again_and_again_with_other_values(client: InvokeAIClient) -> None:
    handle = poster(client)
    sizes = []
    for width in (256, 512):
        handle.get_inputs_by_user_name()["Width"].field.value = width
        job = handle.submit_sync()
        assert handle.wait_for_completion_sync(timeout=TIME).item_id == job.item_id
        sizes.append(handle.get_outputs().get_user_outputs()["poster"].width)
    assert sizes == [256, 512]


def test_progress_is_reported_in_the_callers_thread_up_to_the_end(client: InvokeAIClient) -> None:
    handle, seen = painting(client, steps=12), list[QueueItem]()
    handle.submit_sync()
    item = handle.wait_for_completion_sync(poll_interval=0.05, timeout=TIME, progress_callback=seen.append)
    assert [entry.item_id for entry in seen] == [item.item_id] * len(seen)
    assert [entry.status for entry in seen].count("completed") == 1
    assert (seen[-1].status, item.status, handle.get_queue_item().status) == ("completed", "completed", "completed")


def test_a_wait_that_takes_too_long_ends_and_can_cancel(client: InvokeAIClient) -> None:
    handle, seen = painting(client, steps=60, width=512, height=512), list[QueueItem]()
    handle.submit_sync()
    with pytest.raises(JobTimeoutError, match=r"within 0.3 s .*canceled"):
        handle.wait_for_completion_sync(0.1, 0.3, seen.append, cancel_on_timeout=True)
    assert seen
    with pytest.raises(JobCanceledError):
        handle.wait_for_completion_sync(timeout=TIME)


def test_a_handle_can_be_canceled(client: InvokeAIClient) -> None:
    handle = painting(client, steps=60, width=512, height=512)
    job = handle.submit_sync()
    handle.cancel()
    job.wait(TIME)
    with pytest.raises(JobCanceledError):
        handle.get_outputs()


def test_callbacks_are_called_on_the_callers_event_loop(client: InvokeAIClient) -> None:
    handle = painting(client, steps=3)

    async def main() -> tuple[list[str], QueueItem]:
        loop, seen = asyncio.get_running_loop(), list[str]()

        async def started(event: InvocationStarted) -> None:
            assert asyncio.get_running_loop() is loop
            seen.append(f"start {event.node_label}")

        def progress(event: InvocationProgress) -> None:
            seen.append(f"progress {event.node_label}")

        def complete(event: InvocationComplete) -> None:
            seen.append(f"done {event.node_label}")

        await handle.submit(
            on_status=lambda event: seen.append(event.status),
            on_invocation_started=started,
            on_invocation_progress=progress,
            on_invocation_complete=complete,
        )
        return seen, await handle.wait_for_completion(TIME)

    seen, item = asyncio.run(main())
    assert (seen[0], seen[-1], item.status) == ("in_progress", "completed", "completed")
    assert {"start Denoise", "progress Denoise", "done Denoise", "done Result"} <= set(seen)
    assert handle.get_outputs().item_id == item.item_id


def test_without_a_subscription_nothing_is_called(client: InvokeAIClient) -> None:
    handle, seen = poster(client), list[StatusChanged]()

    async def main() -> str:
        await handle.submit(subscribe_events=False, on_status=seen.append)
        return (await handle.wait_for_completion(TIME)).status

    assert asyncio.run(main()) == "completed"
    assert seen == []


def test_what_a_callback_raises_comes_out_of_the_wait(client: InvokeAIClient) -> None:
    handle = poster(client)

    def fail(event: InvocationStarted) -> None:
        raise ZeroDivisionError(event.node_label)

    async def main() -> None:
        await handle.submit(on_invocation_started=fail)
        await handle.wait_for_completion(TIME)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())


def test_submitting_and_monitoring_in_one_gives_every_event(client: InvokeAIClient) -> None:
    handle = poster(client)

    async def main() -> list[Any]:
        return [event async for event in handle.submit_sync_monitor_async()]

    events = asyncio.run(main())
    assert isinstance(events[-1], StatusChanged)
    assert events[-1].status == "completed"
    assert {event.node_label for event in events if isinstance(event, InvocationComplete)} >= {"Poster", "Pixel Art"}
    assert {event.item_id for event in events} == {handle.job.item_id}


def test_a_failure_is_reported_in_the_labels_of_the_workflow(client: InvokeAIClient) -> None:
    handle = painting(client, width=64, cfg_scale=[7.0, 5.0, 3.0])
    handle.submit_sync()
    with pytest.raises(JobFailedError, match="failed in 'Denoise'"):
        handle.wait_for_completion_sync(timeout=TIME)


# -- models -----------------------------------------------------------------------------------------------------------


def test_models_of_another_server_become_those_of_this_one(client: InvokeAIClient) -> None:
    (here,) = client.models.find("tiny-sd15", type="main")
    handle = painting(client)
    field = handle.get_inputs_by_user_name()["Model"].field
    assert isinstance(field, IvkModelIdentifierField)
    field.value = {"key": "elsewhere", "hash": here.hash, "name": "renamed", "base": "sd-1", "type": "main"}
    assert handle.sync_dnn_model(by_hash=False) == []
    ((before, after),) = handle.sync_dnn_model()
    assert (before.name, after.name, field.key) == ("renamed", "tiny-sd15", here.key)
    assert handle.sync_dnn_model() == []
    field.value = {"key": "elsewhere", "hash": "", "name": "tiny-sd15", "base": "sd-1", "type": "main"}
    assert handle.sync_dnn_model(by_name=False) == []
    assert [after.key for _, after in handle.sync_dnn_model()] == [here.key]


def test_any_model_of_the_same_base_is_taken_only_on_request(client: InvokeAIClient) -> None:
    handle = painting(client)
    field = handle.get_inputs_by_user_name()["Model"].field
    field.value = {"key": "elsewhere", "hash": "", "name": "not here", "base": "sd-1", "type": "main"}
    assert handle.sync_dnn_model() == []
    with pytest.raises(ModelResolutionError, match="'Model'"):
        handle.submit_sync()
    ((_, after),) = handle.sync_dnn_model(by_base=True)
    assert (after.base, after.type) == ("sd-1", "main")
    handle.submit_sync()
    assert handle.wait_for_completion_sync(timeout=TIME).status == "completed"


# -- results ----------------------------------------------------------------------------------------------------------


def test_outputs_tell_images_latents_conditioning_and_times(client: InvokeAIClient) -> None:
    handle = painting(client)
    job = run(handle)
    outputs = handle.get_outputs()
    result = outputs.get_user_outputs()["result"]
    assert [image.name for image in outputs.images] == [result.name]
    assert {(latents.width, latents.height) for latents in outputs.latents} == {(64, 64)}
    assert len({entry.name for entry in outputs.conditioning}) == 2
    assert all(entry.name for entry in outputs.latents)
    assert outputs.batch_id == job.batch_id
    assert outputs.session_id == client.images.get(result.name).session_id
    assert outputs.execution_time is not None
    assert 0 < outputs.execution_time < TIME
    assert "result" not in outputs.get_debug_outputs()
    assert outputs.get_debug_outputs()


def test_images_are_mapped_to_outputs_and_boards(client: InvokeAIClient) -> None:
    handle = poster(client)
    run(handle)
    mappings = handle.map_outputs_to_images()
    assert [(item.label, item.role, item.input_index) for item in mappings[:2]] == [
        ("Poster", "user", 14),
        ("Pixel Art", "user", 15),
    ]
    assert {item.role for item in mappings[2:]} == {"debug"}
    outputs = handle.get_outputs()
    assert mappings[0].image_names == [outputs.get_user_outputs()["poster"].name]
    assert handle.map_outputs_to_images(client.queue.get(outputs.item_id)) == mappings


def test_an_image_comes_as_bytes_as_pillow_image_and_as_file(client: InvokeAIClient, tmp_path: Path) -> None:
    handle = poster(client)
    run(handle)
    image = handle.get_outputs().images[0]
    raw = handle.download_image_raw(image, tmp_path / "deep" / "image.jpg").read_bytes()
    assert raw == handle.get_image_bytes(image.name) == handle.get_image_bytes(ImageRef(image.name))
    assert raw.startswith(b"\x89PNG")
    assert handle.get_image_bytes(image, "jpeg", quality=50).startswith(b"\xff\xd8")
    assert handle.get_image_as_pil(image).size == (256, 256)
    with pytest.raises(NotFoundError):
        handle.get_image_bytes("nowhere.png")


def test_outputs_stream_as_they_are_made(client: InvokeAIClient) -> None:
    handle = poster(client)
    handle.submit_sync()
    names = [output.name for output in handle.stream_outputs_sync()]

    async def main() -> list[str]:
        return [output.name async for output in handle.stream_outputs()]

    assert sorted(names) == sorted(asyncio.run(main())) == ["pixel_art", "poster"]


def test_a_batch_has_outputs_for_each_item(client: InvokeAIClient, tmp_path: Path) -> None:
    handle = opened(client, "color_study_batch", width=64, height=64, names=["a", "b"], hues=[0, 120])
    job = run(handle)
    for ask in (handle.get_outputs, handle.get_queue_item, handle.wait_for_completion_sync):
        with pytest.raises(SeveralItemsError):
            ask()
    everything = handle.get_all_outputs()
    assert [outputs.item_id for outputs in everything] == list(job.item_ids)
    files = handle.download_outputs(tmp_path)
    assert [file.parent.name for file in files] == [str(item_id) for item_id in job.item_ids]
    assert len(handle.map_outputs_to_images()) >= len(everything)


# -- what is left behind ----------------------------------------------------------------------------------------------


def test_uploads_outputs_and_queue_items_are_removed_on_request(
    client: InvokeAIClient, picture: Path, tmp_path: Path
) -> None:
    handle = opened(client, "sd15_image_to_image", width=64, height=64, steps=2, source_image=picture)
    assert not handle.has_uploaded_assets()
    job = run(handle)
    outputs = handle.get_outputs()
    (upload,) = handle.get_uploaded_assets()
    assert client.images.get(upload).width == 96
    saved = handle.download_outputs(tmp_path / "saved", include_metadata=True, include_debug=True)
    assert (tmp_path / "saved" / "result.json").exists()
    assert "result.png" in [file.name for file in saved]
    assert len(saved) > 1

    assert handle.cleanup_inputs().deleted == (upload,)
    assert not handle.has_uploaded_assets()
    assert outputs.images[0].name in handle.cleanup_outputs().deleted
    assert handle.cleanup_queue_items().deleted == (str(job.item_id),)
    for gone in (upload, outputs.images[0].name):
        with pytest.raises(NotFoundError):
            client.images.get(gone)
    with pytest.raises(NotFoundError):
        client.queue.get(job.item_id)


def test_outputs_can_be_removed_as_soon_as_they_are_saved(client: InvokeAIClient, tmp_path: Path) -> None:
    handle = painting(client)
    handle.auto_cleanup_outputs = True
    run(handle)
    (image,) = handle.get_outputs().images
    (saved,) = handle.download_outputs(tmp_path)
    with Image.open(saved) as file:
        assert file.size == (64, 64)
    with pytest.raises(NotFoundError):
        client.images.get(image.name)


def test_several_handles_are_saved_and_tidied_together(client: InvokeAIClient, picture: Path, tmp_path: Path) -> None:
    handles = [
        opened(client, "sd15_image_to_image", width=64, height=64, steps=2, source_image=picture) for _ in range(2)
    ]
    for handle in handles:
        run(handle)
    files = client.workflow_repo.download_batch_outputs(handles, tmp_path)
    assert [str(file.relative_to(tmp_path)) for file in files] == ["000/result.png", "001/result.png"]
    images = [handle.get_outputs().images[0].name for handle in handles]
    assert images[0] != images[1]
    removal = client.workflow_repo.cleanup_batch(handles)
    assert len(removal.deleted) == 3, "two queue items, and the picture, which was uploaded once"
    assert not any(handle.has_uploaded_assets() for handle in handles)
    assert [client.images.get(name).image_name for name in images] == images
    assert set(images) <= set(
        client.workflow_repo.cleanup_batch(handles, inputs=False, outputs=True, queue_items=False).deleted
    )


# -- the library ------------------------------------------------------------------------------------------------------


def test_the_library_keeps_a_workflow_as_it_is(client: InvokeAIClient, tmp_path: Path) -> None:
    repo = client.workflow_repo
    saved = repo.upload(WORKFLOWS / "sunset_poster.json")
    try:
        assert saved.workflow_id in [entry.workflow_id for entry in repo.list(search=saved.name)]
        assert repo.get(saved.workflow_id).name == "Sunset Poster"
        definition = repo.download(saved.workflow_id, tmp_path / "new" / "poster.json")
        assert WorkflowDefinition.from_file(tmp_path / "new" / "poster.json").to_dict() == definition.to_dict()
        handle = repo.create_workflow_handle(definition)
        handle.submit_sync()
        assert handle.wait_for_completion_sync(timeout=TIME).status == "completed"
        copy = repo.create(definition)
        assert copy.workflow_id != saved.workflow_id
        repo.delete(copy.workflow_id)
    finally:
        repo.delete(saved.workflow_id)
    with pytest.raises(NotFoundError):
        repo.get(saved.workflow_id)
