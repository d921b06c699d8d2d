"""The handle-style API as it was described before there was a generator: one test for each row of `docs/compat.md`.

Rows that work under their own name or by `invokeai_gen.compat` are used as described; for rows that differ, the test shows
what there is instead.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from invokeai_gen import AsyncJob, BoundingBox, ParamsError, compat
from invokeai_gen import handle as ivk
from invokeai_gen.compat import InvokeAIClient, JobStatus, WorkflowDefinition, WorkflowHandle
from invokeai_gen.handle import IvkModelIdentifierField
from invokeai_gen.server import errors, events, images, run_errors

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / "data" / "workflows"
TABLE = ROOT / "docs" / "compat.md"
TIME = 300.0
"""Seconds that anything may take here; the server may be busy with other tests."""


def opened(client: InvokeAIClient, name: str, **values: Any) -> WorkflowHandle:
    """Open one of our examples, with values by label and a seed of its own: the server caches results."""
    handle = client.create_workflow(WorkflowDefinition.from_file(WORKFLOWS / f"{name}.json"))
    inputs = handle.get_inputs_by_user_name()
    if "Seed" in inputs:
        handle.set_input("Seed", random.randrange(2**31))
    for label, value in values.items():
        handle.set_input(label.replace("_", " "), value)
    return handle


def poster(client: InvokeAIClient, **values: Any) -> WorkflowHandle:
    """Open a workflow that needs no model."""
    return opened(client, "sunset_poster", **{"Width": 256, "Height": 256, **values})


def finished(handle: WorkflowHandle, **options: Any) -> WorkflowHandle:
    """Run a handle to its end."""
    handle.submit_sync(**options)
    handle.wait_for_completion_sync(timeout=TIME)
    return handle


def a_picture(path: Path) -> Path:
    """A picture that was never uploaded before."""
    Image.new("RGB", (96, 64), tuple(random.randbytes(3))).save(path)
    return path


@pytest.fixture(scope="module")
def client(server_url: str) -> Iterator[InvokeAIClient]:
    with InvokeAIClient.from_url(server_url) as made:
        yield made


@pytest.fixture(scope="module")
def painted(client: InvokeAIClient, tmp_path_factory: pytest.TempPathFactory) -> WorkflowHandle:
    """A finished run with a model, an upload, latents and conditioning."""
    picture = a_picture(tmp_path_factory.mktemp("rows") / "picture.png")
    handle = opened(client, "sd15_image_to_image", Width=64, Height=64, Steps=2, Source_Image=picture)
    return finished(handle)


@pytest.fixture(scope="module")
def outputs(painted: WorkflowHandle) -> compat.WorkflowOutput:
    return painted.get_outputs()


@pytest.fixture(scope="module")
def image(outputs: compat.WorkflowOutput) -> compat.InkImageOutput:
    found = outputs.get_user_outputs()[0]
    assert isinstance(found, compat.InkImageOutput)
    return found


@pytest.fixture
def board(client: InvokeAIClient) -> Iterator[compat.BoardHandle]:
    made = client.board_repo.create_board(f"rows {random.randrange(10**9)}")
    yield made
    client.boards.delete(made.board_id)


# -- the table --------------------------------------------------------------------------------------------------------


def rows_of_the_table() -> list[int]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [int(found[1]) for line in lines if (found := re.match(r"\| (\d+) \|", line))]


def test_every_row_of_the_table_has_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    tested = {
        int(number) for number in re.findall(r"def test_row_(\d+)_|\brow\((\d+)", source) for number in number if number
    }
    rows = rows_of_the_table()
    assert rows == sorted(rows)
    assert len(rows) == len(set(rows))
    assert set(rows) == tested


def row(number: int, described: str, ours: object) -> Any:
    """A described class, and the one it is today."""
    return pytest.param(described, ours, id=f"{number}-{described}")


@pytest.mark.parametrize(
    ("described", "ours"),
    [
        row(17, "InkColorField", ivk.IvkColorField),
        row(27, "IvkWorkflowInput", ivk.IvkWorkflowInput),
        row(28, "IvkField", ivk.IvkField),
        row(105, "SessionEvent", events.Event),
        row(152, "InkImageOutput", None),
        row(153, "InkLatentsOutput", None),
        row(154, "InkConditioningOutput", None),
        row(155, "IvkImage", images.Image),
        row(156, "OutputNode", ivk.OutputMapping),
        row(157, "DebugNode", ivk.OutputMapping),
        row(196, "ImageDecodeError", errors.DecodeError),
        row(197, "WorkflowNotCompletedError", run_errors.NotCompletedError),
        row(208, "InkWorkflowInput", ivk.IvkWorkflowInput),
        row(216, "InkModelIdentifierField", ivk.IvkModelIdentifierField),
        row(217, "InkT5EncoderField", ivk.IvkModelIdentifierField),
        row(218, "InkCLIPEmbedField", ivk.IvkModelIdentifierField),
        row(219, "InkVAEModelField", ivk.IvkModelIdentifierField),
        row(220, "InkStringField", ivk.IvkStringField),
        row(221, "InkImageField", ivk.IvkImageField),
        row(222, "InkIntegerField", ivk.IvkIntegerField),
        row(223, "InkFloatField", ivk.IvkFloatField),
    ],
)
def test_a_described_class_has_its_name_in_compat(described: str, ours: object) -> None:
    found = getattr(compat, described)
    assert isinstance(found, type)
    assert ours is None or found is ours


def test_every_ivk_field_has_its_ink_name() -> None:
    for name in ("Board", "Boolean", "BoundingBox", "Collection", "Enum", "Latents", "LoRA", "Scheduler", "Video"):
        assert getattr(compat, f"Ink{name}Field") is getattr(ivk, f"Ivk{name}Field")


# -- looking at inputs, and setting them ------------------------------------------------------------------------------


def test_row_15_an_input_is_set_by_index_or_label(client: InvokeAIClient) -> None:
    handle = poster(client)
    handle.set_input(0, "By index")
    assert handle.get_input_value(0).value == "By index"
    handle.set_input("Title", "By label")
    assert handle.get_input_value(0).value == "By label"


def test_row_45_required_is_what_the_schema_says(client: InvokeAIClient) -> None:
    inputs = opened(client, "sd15_image_to_image").get_inputs_by_user_name()
    assert (inputs["Source Image"].required, inputs["Source Image"].is_missing) == (True, True)
    assert (inputs["Positive Prompt"].required, inputs["Positive Prompt"].is_missing) == (False, False)


def test_row_47_every_field_has_a_value(client: InvokeAIClient) -> None:
    handle = poster(client)
    assert all(hasattr(item.field, "value") for item in handle.list_inputs())
    assert {isinstance(item.field, ivk.IvkStructuredField) for item in handle.list_inputs()} == {True, False}


def test_row_54_a_workflow_of_the_library_is_opened_by_its_id(client: InvokeAIClient) -> None:
    repo = client.workflow_repo
    saved = repo.upload(WORKFLOWS / "sunset_poster.json")
    try:
        assert len(repo.get_workflow_handle(saved.workflow_id).list_inputs()) == 16
    finally:
        repo.delete(saved.workflow_id)
    with pytest.raises(errors.NotFoundError):
        repo.get_workflow_handle(saved.workflow_id)


def test_row_55_handles_belong_to_their_caller(client: InvokeAIClient) -> None:
    first, second = poster(client), poster(client)
    first.set_input("Title", "only here")
    assert second.get_input_value(0).value != "only here"


def test_row_57_a_definition_has_the_parts_of_the_file(client: InvokeAIClient) -> None:
    definition = WorkflowDefinition.from_file(WORKFLOWS / "sunset_poster.json")
    data = json.loads((WORKFLOWS / "sunset_poster.json").read_text(encoding="utf-8"))
    assert (definition.nodes, definition.edges, definition.form) == (data["nodes"], data["edges"], data["form"])
    assert WorkflowDefinition.model_validate(definition.model_dump()).to_dict() == data
    definition.nodes.clear()
    assert definition.nodes


def test_row_58_an_input_has_typed_properties(client: InvokeAIClient) -> None:
    item = poster(client).get_input(2)
    assert (item.label, item.input_index, item.field_name, type(item.required)) == ("Width", 2, "value", bool)


def test_row_60_fields_are_generic() -> None:
    field: ivk.IvkField[str] = ivk.IvkStringField(value="text")
    assert field.value == "text"
    assert issubclass(ivk.IvkField[int], ivk.IvkField)


def test_row_66_an_assignment_is_checked(client: InvokeAIClient) -> None:
    handle = poster(client)
    with pytest.raises(ParamsError, match=r"^Width \(width\) is 'wide', but should be a"):
        handle.set_input("Width", "wide")
    assert handle.get_input_value(2).value == 256


def test_row_79_a_model_field_has_a_value_too(painted: WorkflowHandle) -> None:
    field = painted.get_inputs_by_user_name()["Model"].field
    assert isinstance(field, IvkModelIdentifierField)
    assert (field.value.name, field.value.base) == (field.name, field.base)


def test_row_91_a_box_is_set_in_the_described_order() -> None:
    box = ivk.IvkBoundingBoxField()
    box.set_box(0, 0, 512, 256)
    assert box.value == BoundingBox(x_min=0, y_min=0, x_max=512, y_max=256)
    box.set_box(x_max=20, x_min=10, y_max=40, y_min=30)
    assert box.to_json_dict() == {"x_min": 10, "x_max": 20, "y_min": 30, "y_max": 40}
    with pytest.raises(ParamsError, match="x_min should be less than x_max"):
        box.set_box(0, 512, 0, 512)
    assert box.x_min == 10


def test_row_92_a_field_made_on_its_own_has_limits(client: InvokeAIClient) -> None:
    text: Any = ivk.IvkStringField  # limits are not in the types, which are those of the attributes
    integer: Any = ivk.IvkIntegerField
    field = text(value="long enough", min_length=10, max_length=500)
    with pytest.raises(ParamsError, match="^IvkStringField is 'short', but string should have at least 10 characters"):
        field.value = "short"
    with pytest.raises(ValueError, match="should be a multiple of 8"):
        integer(value=7, multiple_of=8)
    handle = poster(client)
    with pytest.raises(ParamsError, match=r"^Width \(width\) is 1000000, but should be"):
        handle.set_input_value(2, integer(value=10**6, ge=0))
    handle.set_input_value(2, integer(value=512, ge=500))
    handle.set_input("Width", 256)  # the limits are those of the input, not of the field that was given


def test_row_98_a_model_of_another_base_or_type_is_refused(client: InvokeAIClient) -> None:
    field = opened(client, "sdxl_text_to_image").get_inputs_by_user_name()["SDXL Model"].field
    assert isinstance(field, IvkModelIdentifierField)
    before = field.value
    with pytest.raises(ParamsError, match=r"^SDXL Model \(sdxl_model\) is .* base sdxl.*, not flux$"):
        field.base = "flux"
    with pytest.raises(ParamsError, match="type main, not vae"):
        field.value = {"key": "", "hash": "", "name": "mine", "base": "sdxl", "type": "vae"}
    assert field.value == before


def test_row_101_colours_have_their_methods() -> None:
    color = ivk.IvkColorField()
    color.set_rgba(1, 2, 3)
    assert color.to_hex() == "#010203"
    color.set_hex("#ff8000")
    assert color.value.r == 255


def test_row_215_missing_inputs_can_be_joined(client: InvokeAIClient) -> None:
    assert ", ".join(opened(client, "sd15_image_to_image").get_missing_required_inputs()) == "Source Image"


def test_row_230_a_number_is_refused_if_the_schema_has_a_limit(client: InvokeAIClient) -> None:
    with pytest.raises(ParamsError, match=r"^Steps \(steps\) is -5"):
        opened(client, "sd15_text_to_image", Steps=-5)


def test_row_231_problems_are_listed_by_index(client: InvokeAIClient) -> None:
    handle = opened(client, "sd15_image_to_image")
    ((index, (problem,)),) = handle.validate_inputs().items()
    assert index == handle.get_inputs_by_user_name()["Source Image"].input_index
    assert problem.startswith("Source Image (source_image) is required")


def test_row_278_a_field_class_is_registered_for_a_schema_type() -> None:
    assert ivk.FIELD_CLASSES["ColorField"] is ivk.IvkColorField
    assert ivk.register_field("ColorField")(ivk.IvkColorField) is ivk.IvkColorField


def test_row_281_the_index_map_has_where_each_value_is(client: InvokeAIClient, tmp_path: Path) -> None:
    handle = poster(client)
    handle.export_input_index_map(tmp_path / "map.json")
    entries = json.loads((tmp_path / "map.json").read_text(encoding="utf-8"))["inputs"]
    assert [entry["jsonpath"] for entry in entries] == [item.jsonpath for item in handle.list_inputs()]
    assert handle.verify_input_index_map(tmp_path / "map.json").is_same


def test_row_284_outputs_are_found_by_the_schema(painted: WorkflowHandle) -> None:
    assert [output.output_type for output in painted.plan.outputs if output.role == "user"] == ["image_output"]


# -- submitting and following -----------------------------------------------------------------------------------------


def test_row_102_a_queue_item_has_the_described_class(painted: WorkflowHandle) -> None:
    assert isinstance(painted.wait_for_completion_sync(timeout=TIME), compat.SessionQueueItem)


def test_row_103_a_submission_has_the_described_class(client: InvokeAIClient) -> None:
    result = poster(client).submit_sync()
    assert isinstance(result, compat.EnqueueBatchResult)
    assert (len(result.item_ids), bool(result.batch_id)) == (1, True)
    result.wait(TIME)


def test_row_104_statuses_have_names(painted: WorkflowHandle) -> None:
    assert asyncio.run(painted.get_queue_item()).status == JobStatus.COMPLETED


def test_row_107_the_queue_is_the_clients(client: InvokeAIClient) -> None:
    handle = poster(client)
    handle.submit_sync(queue_id="default").wait(TIME)
    with pytest.raises(ValueError, match=r"^this client uses the queue 'default': make one with .*queue_id='other'"):
        handle.submit_sync(queue_id="other")


def test_row_108_results_go_to_a_board(client: InvokeAIClient, board: compat.BoardHandle) -> None:
    handle = finished(poster(client), board_id=board.board_id)
    names = {output.image_name for output in handle.get_outputs().get_user_outputs()}
    assert len(names) == 2
    assert names <= {image.image_name for image in board.list_images()}
    assert handle.get_inputs_by_user_name()["Poster Board"].field.value == "auto"


@pytest.mark.parametrize("runs", [1, 3])
def test_row_110_a_submission_says_how_many_items_it_made(client: InvokeAIClient, runs: int) -> None:
    result = poster(client).submit_sync(runs=runs)
    assert result.enqueued == runs
    result.wait(TIME)


def test_row_111_a_submission_says_how_many_items_were_asked_for(client: InvokeAIClient) -> None:
    result = poster(client).submit_sync(runs=2)
    assert result.requested == result.enqueued == 2
    result.wait(TIME)


def test_row_120_times_can_be_subtracted(painted: WorkflowHandle) -> None:
    item = painted.wait_for_completion_sync(timeout=TIME)
    assert item.completed_at is not None
    assert item.started_at is not None
    assert timedelta(0) < item.completed_at - item.started_at < timedelta(seconds=TIME)


def test_row_122_a_timeout_cancels_the_run(client: InvokeAIClient) -> None:
    handle = opened(client, "sd15_text_to_image", Width=512, Height=512, Steps=60)
    handle.submit_sync()
    with pytest.raises(errors.JobTimeoutError, match="canceled"):
        handle.wait_for_completion_sync(timeout=0.3)
    handle.job.wait(TIME)
    assert handle.job.status() == "canceled"


class Callbacks:
    """Written for events that are dicts."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Mapping[str, Any]]] = []

    def run(self, handle: WorkflowHandle) -> None:
        async def main() -> None:
            await handle.submit(
                on_invocation_started=lambda event: self.seen.append(("started", event)),
                on_invocation_progress=lambda event: self.seen.append(("progress", event)),
                on_invocation_complete=lambda event: self.seen.append(("complete", event)),
                on_invocation_error=lambda event: self.seen.append(("error", event)),
            )
            await handle.wait_for_completion(timeout=TIME)

        asyncio.run(main())

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [event for name, event in self.seen if name == kind]


@pytest.fixture(scope="module")
def heard(client: InvokeAIClient) -> Callbacks:
    callbacks = Callbacks()
    callbacks.run(opened(client, "sd15_text_to_image", Width=64, Height=64, Steps=3))
    return callbacks


def test_row_131_events_are_mappings(heard: Callbacks) -> None:
    types = {event.get("invocation_type") for event in heard.of("started")}
    assert "denoise_latents" in types
    assert all(event.get("node_id") and event["session_id"] for _, event in heard.seen)


def test_row_132_progress_is_a_mapping(heard: Callbacks) -> None:
    progress = [event.get("progress", {}) for event in heard.of("progress")]
    assert any(0 <= (part.get("percentage") or 0) <= 1 and part.get("message") for part in progress)


def test_row_133_a_result_has_its_type(heard: Callbacks) -> None:
    assert "image_output" in {event.get("result", {}).get("type") for event in heard.of("complete")}


def test_row_134_an_error_has_its_message(client: InvokeAIClient) -> None:
    handle, callbacks = opened(client, "sd15_text_to_image", Width=64, Height=64, Steps=1), Callbacks()
    handle.set_input("Seed", 5)
    node = next(node for node in handle.plan.nodes if node.type == "denoise_latents")
    label = next(
        item.label for item in handle.list_inputs() if item.node_id == node.id and item.field_name == "cfg_scale"
    )
    handle.set_input(label, [1.0, 2.0, 3.0])  # a list whose length is not the number of steps
    with pytest.raises(run_errors.JobFailedError):
        callbacks.run(handle)
    (event,) = callbacks.of("error")
    assert event.get("error") == event["error_message"] != ""


def test_row_135_the_queue_item_can_be_awaited(painted: WorkflowHandle) -> None:
    assert iscoroutinefunction(painted.get_queue_item)
    assert asyncio.run(painted.get_queue_item()).item_id == painted.job.item_id


def test_row_138_canceling_can_be_awaited(client: InvokeAIClient) -> None:
    handle = opened(client, "sd15_text_to_image", Width=512, Height=512, Steps=60)
    job = handle.submit_sync()
    asyncio.run(handle.cancel())
    assert job.wait(TIME) == "canceled"


def test_row_140_times_have_a_time_zone_and_stay_as_text_in_raw(painted: WorkflowHandle) -> None:
    item = painted.wait_for_completion_sync(timeout=TIME)
    for name in ("created_at", "started_at", "completed_at"):
        assert getattr(item, name).tzinfo is not None
        assert isinstance(item.raw[name], str)


def test_row_265_a_queue_item_can_be_read_as_the_servers_json(painted: WorkflowHandle) -> None:
    item = painted.wait_for_completion_sync(timeout=TIME)
    assert item["status"] == item.get("status") == item.status == "completed"
    assert item.get("nonsense", 1) == 1


# -- results ----------------------------------------------------------------------------------------------------------


def test_row_20_an_image_is_fetched_by_name(painted: WorkflowHandle, image: compat.InkImageOutput) -> None:
    assert painted.get_image_bytes(image.image_name) == painted.client.images.read(image.image_name)  # type: ignore[union-attr]


def test_row_151_results_have_the_described_class(outputs: compat.WorkflowOutput) -> None:
    assert isinstance(outputs, compat.WorkflowOutput)


def test_row_159_results_of_an_unfinished_run_raise(client: InvokeAIClient) -> None:
    handle = opened(client, "sd15_text_to_image", Width=512, Height=512, Steps=60)
    job = handle.submit_sync()
    try:
        for ask in (handle.get_outputs, handle.get_all_outputs, lambda: handle.download_outputs("never")):
            with pytest.raises(compat.WorkflowNotCompletedError, match=r"has not ended.*wait_for_completion_sync\(\)"):
                ask()
    finally:
        handle.job.cancel()
        job.wait(TIME)
    assert not Path("never").exists()


def test_row_163_user_outputs_are_a_sequence(outputs: compat.WorkflowOutput, client: InvokeAIClient) -> None:
    found = outputs.get_user_outputs()
    assert [client.images.get(output.image_name).width for output in found] == [64]
    assert found["result"] == found[0] == found.get("result")
    assert (len(found), found.names, "result" in found, found[0] in found) == (1, ("result",), True, True)


def test_row_164_user_outputs_are_those_with_a_board_on_the_form(client: InvokeAIClient) -> None:
    found = finished(poster(client)).get_outputs()
    boards = {output.name for output in found._plan.outputs if output.board_input is not None}  # type: ignore[union-attr]
    assert {output.stage_name for output in found.get_user_outputs()} == boards


def test_row_165_an_output_has_its_stage_name(image: compat.InkImageOutput) -> None:
    assert image.stage_name == "result"


def test_row_166_an_output_has_its_image_name(image: compat.InkImageOutput, client: InvokeAIClient) -> None:
    assert client.images.get(image.image_name).width == image.width == 64


def test_row_168_an_output_knows_its_board(client: InvokeAIClient, board: compat.BoardHandle) -> None:
    (first, _) = finished(poster(client), board_id=board.board_id).get_outputs().get_user_outputs()
    assert first.board_id == board.board_id
    board.move_image_to(first.image_name, None)
    assert first.board_id is None


def test_row_169_an_output_knows_the_input_that_is_its_board(
    painted: WorkflowHandle, image: compat.InkImageOutput
) -> None:
    assert image.input_index is not None
    assert painted.get_input(image.input_index).label == "Output Board"


def test_row_170_an_output_knows_its_node_type(image: compat.InkImageOutput) -> None:
    assert image.node_type == "l2i" or "image" in image.node_type


def test_row_172_debug_outputs_are_a_sequence(outputs: compat.WorkflowOutput) -> None:
    debug = outputs.get_debug_outputs()
    assert [output.image_name for output in debug]
    assert not set(debug.names) & set(outputs.get_user_outputs().names)


def test_row_173_a_handle_says_whether_there_are_debug_outputs(painted: WorkflowHandle) -> None:
    assert painted.has_debug_outputs()


def test_row_175_a_raw_image_is_saved_in_a_folder(
    painted: WorkflowHandle, image: compat.InkImageOutput, tmp_path: Path
) -> None:
    path = painted.download_image_raw(image_output=image, output_dir=tmp_path / "outputs", preserve_format=True)
    assert path == tmp_path / "outputs" / image.image_name
    assert path.read_bytes() == image.bytes()
    assert painted.download_image_raw(image, tmp_path / "new") == tmp_path / "new" / image.image_name
    assert painted.download_image_raw(image, tmp_path / "outputs") == path
    assert painted.download_image_raw(image, tmp_path / "a.png").read_bytes() == path.read_bytes()


def test_row_179_latents_have_their_name(outputs: compat.WorkflowOutput) -> None:
    names = [latents.latents_name for latents in outputs.latents]
    assert names
    assert len(names) == len(set(names))


def test_row_180_latents_have_the_size_of_their_image(outputs: compat.WorkflowOutput) -> None:
    assert {(latents.width, latents.height) for latents in outputs.latents if latents.width} == {(64, 64)}


def test_row_183_conditioning_has_its_name(outputs: compat.WorkflowOutput) -> None:
    assert len({conditioning.conditioning_name for conditioning in outputs.conditioning}) == 2


def test_row_201_results_are_frozen(image: compat.InkImageOutput) -> None:
    with pytest.raises(AttributeError):
        image.stage_name = "other"  # type: ignore[misc]


def test_row_233_all_outputs_are_there(outputs: compat.WorkflowOutput) -> None:
    assert outputs.all_outputs.names == (*outputs.get_user_outputs().names, *outputs.get_debug_outputs().names)


def test_row_236_downloads_are_tried_again(painted: WorkflowHandle, tmp_path: Path) -> None:
    assert painted.download_outputs(tmp_path, max_retries=3, retry_delay=0.1) == [tmp_path / "result.png"]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        painted.download_outputs(tmp_path / "file", max_retries=1, retry_delay=0)


def test_row_237_an_image_is_saved_in_a_format(
    painted: WorkflowHandle, image: compat.InkImageOutput, tmp_path: Path
) -> None:
    path = painted.download_image(
        image_output=image, output_dir=tmp_path, format="webp", quality=80, include_metadata=True
    )
    assert path == (tmp_path / image.image_name).with_suffix(".webp")
    with Image.open(path) as file:
        assert (file.format, file.size) == ("WEBP", (64, 64))
    assert path.with_suffix(".json").exists()


@pytest.fixture(scope="module")
def streamed(client: InvokeAIClient) -> tuple[WorkflowHandle, list[Any]]:
    handle = poster(client)

    async def main() -> list[Any]:
        await handle.submit()
        return [output async for output in handle.stream_outputs()]

    return handle, asyncio.run(main())


def test_row_244_a_stream_yields_the_outputs_themselves(streamed: tuple[WorkflowHandle, list[Any]]) -> None:
    handle, found = streamed
    assert all(isinstance(output, compat.InkImageOutput) for output in found)
    assert {output.stage_name for output in found} == {"poster", "pixel_art"}
    assert {output.stage_name for output in handle.stream_outputs_sync()} == {"poster", "pixel_art"}


def test_row_245_an_image_can_be_downloaded_while_others_run(
    streamed: tuple[WorkflowHandle, list[Any]], tmp_path: Path
) -> None:
    handle, (first, *_) = streamed
    assert asyncio.run(handle.download_image_async(first, tmp_path)) == tmp_path / first.image_name


# -- cleaning up ------------------------------------------------------------------------------------------------------


def test_row_186_only_what_the_handle_uploaded_is_an_asset_of_it(client: InvokeAIClient, tmp_path: Path) -> None:
    own = client.board_repo.upload_image_by_file(a_picture(tmp_path / "own.png"))
    values = {"Width": 64, "Height": 64, "Steps": 1}
    handle = finished(opened(client, "sd15_image_to_image", Source_Image=own.image_name, **values))
    assert handle.get_uploaded_assets() == []
    assert client.images.delete([own.image_name]).deleted == (own.image_name,)


@pytest.fixture
def used(client: InvokeAIClient, tmp_path: Path) -> WorkflowHandle:
    """A finished run of its own, with an upload, to be cleaned up."""
    picture = a_picture(tmp_path / "picture.png")
    return finished(opened(client, "sd15_image_to_image", Width=64, Height=64, Steps=1, Source_Image=picture))


def test_row_188_a_clean_up_counts(used: WorkflowHandle) -> None:
    assert used.cleanup_inputs().deleted_count == 1


def test_row_189_a_clean_up_names_what_is_left(used: WorkflowHandle, client: InvokeAIClient) -> None:
    (upload,) = used.get_uploaded_assets()
    client.images.delete([upload])
    assert list(used.cleanup_inputs().failed_deletions) == [upload]


def test_row_190_outputs_are_deleted_once_they_are_saved(client: InvokeAIClient, tmp_path: Path) -> None:
    definition = WorkflowDefinition.from_file(WORKFLOWS / "sunset_poster.json")
    handle = client.create_workflow(definition, auto_cleanup_outputs=True)
    handle.set_input("Seed", random.randrange(2**31))
    first = finished(handle).get_outputs().get_user_outputs()[0]
    handle.download_outputs(tmp_path)
    with pytest.raises(errors.NotFoundError):
        client.images.get(first.image_name)


def test_row_191_outputs_are_taken_off_their_boards_or_deleted(
    client: InvokeAIClient, board: compat.BoardHandle
) -> None:
    handle = finished(poster(client), board_id=board.board_id)
    first = handle.get_outputs().get_user_outputs()[0]
    assert first.image_name in handle.cleanup_outputs(delete_images=False, delete_from_board=True).kept
    assert first.board_id is None
    assert first.image_name in handle.cleanup_outputs(delete_from_board=True, delete_images=True).deleted


def test_row_192_a_clean_up_of_outputs_counts(used: WorkflowHandle) -> None:
    assert used.cleanup_outputs().deleted_count >= 1


def test_row_194_a_clean_up_of_the_queue_counts(used: WorkflowHandle) -> None:
    assert used.cleanup_queue_items().pruned_count == 1


def test_row_199_failures_raise_on_request(used: WorkflowHandle, client: InvokeAIClient) -> None:
    (upload,) = used.get_uploaded_assets()
    client.images.delete([upload])
    with pytest.raises(run_errors.CleanupError, match=re.escape(upload)):
        used.cleanup_inputs().raise_for_failures()


def test_row_200_a_clean_up_has_a_structured_result(used: WorkflowHandle) -> None:
    result = used.cleanup_inputs()
    assert isinstance(result, compat.CleanupResult)
    assert (len(result.deleted), result.failed, result.kept) == (1, {}, {})


def test_row_239_outputs_of_several_handles_are_saved(client: InvokeAIClient, tmp_path: Path) -> None:
    handles = [finished(poster(client)) for _ in range(2)]
    repo = client.workflow_repo
    found = repo.download_batch_outputs(workflows=handles, output_dir=tmp_path / "a", organize_by_workflow=True)
    names = sorted(str(file.relative_to(tmp_path / "a").as_posix()) for file in found.files)
    assert names == ["000/pixel_art.png", "000/poster.png", "001/pixel_art.png", "001/poster.png"]
    flat = repo.download_batch_outputs(workflows=handles, output_dir=tmp_path / "b", organize_by_workflow=False)
    assert {file.name for file in flat.files} == {name.replace("/", "-") for name in names}
    assert all(file.is_file() for file in flat.files)


def test_row_240_a_batch_counts_its_files(painted: WorkflowHandle, client: InvokeAIClient, tmp_path: Path) -> None:
    found = client.workflow_repo.download_batch_outputs(workflows=[painted], output_dir=tmp_path)
    size = (tmp_path / "000" / "result.png").stat().st_size
    assert (found.workflow_count, found.total_images, found.total_size_mb) == (1, 1, size / 1e6)


def test_row_241_several_handles_are_cleaned_up(used: WorkflowHandle, client: InvokeAIClient) -> None:
    result = client.workflow_repo.cleanup_batch(
        workflows=[used], cleanup_inputs=True, cleanup_outputs=False, cleanup_queue=False
    )
    assert (result.deleted_count, used.has_uploaded_assets()) == (1, False)


def test_row_242_a_batch_clean_up_counts_by_kind(used: WorkflowHandle, client: InvokeAIClient) -> None:
    result = client.workflow_repo.cleanup_batch(workflows=[used], cleanup_outputs=True)
    assert (result.inputs_deleted, result.queue_items_pruned) == (1, 1)
    assert result.outputs_deleted >= 1


def test_row_253_boards_made_for_a_run_are_deleted_after_the_download(client: InvokeAIClient, tmp_path: Path) -> None:
    handle = poster(client, Poster_Board=(name := f"made {random.randrange(10**9)}"))
    handle.cleanup_board_after_download = True
    finished(handle, create_boards=True)
    assert name in {board.board_name for board in client.board_repo.list_boards()}
    handle.download_outputs(tmp_path)
    assert name not in {board.board_name for board in client.board_repo.list_boards()}


def test_row_254_a_handle_has_a_board_for_its_results(client: InvokeAIClient, board: compat.BoardHandle) -> None:
    handle = poster(client)
    handle.output_board_id = board.board_id
    assert {output.board_id for output in finished(handle).get_outputs().get_user_outputs()} == {board.board_id}


def test_row_255_the_queue_item_is_removed_after_completion(client: InvokeAIClient, tmp_path: Path) -> None:
    handle = poster(client)
    handle.cleanup_queue_after_completion = True
    item = finished(handle).job.item_id
    with pytest.raises(errors.NotFoundError):
        client.queue.get(item)
    assert len(handle.download_outputs(tmp_path)) == 2


# -- the client and its repositories ----------------------------------------------------------------------------------


def test_row_8_the_client_has_repositories(client: InvokeAIClient, board: compat.BoardHandle) -> None:
    assert isinstance(client.board_repo.get_board_handle(board.board_id), compat.BoardHandle)


def test_row_18_heavy_data_is_uploaded_once_and_used_by_name(client: InvokeAIClient, tmp_path: Path) -> None:
    image = client.board_repo.upload_image_by_file(str(a_picture(tmp_path / "up.png")))
    handle = opened(client, "sd15_image_to_image", Source_Image=image.image_name)
    assert handle.get_missing_required_inputs() == []


def test_row_226_an_image_file_is_uploaded_to_a_board(
    client: InvokeAIClient, board: compat.BoardHandle, tmp_path: Path
) -> None:
    path = a_picture(tmp_path / "up.png")
    assert client.board_repo.upload_image_by_file(path, board_id=board.board_id).board_id == board.board_id
    assert client.board_repo.upload_image_by_file(str(path), board_id=None).width == 96


def test_row_263_the_repository_opens_workflows(client: InvokeAIClient) -> None:
    definition = WorkflowDefinition.from_file(WORKFLOWS / "sunset_poster.json")
    assert isinstance(client.workflow_repo.create_workflow(definition), WorkflowHandle)


def test_row_269_a_strategy_of_ones_own_chooses_models(client: InvokeAIClient) -> None:
    handle = opened(client, "sd15_text_to_image")
    handle.set_input("Model", {"key": "elsewhere", "hash": "", "name": "not here", "base": "sd-1", "type": "main"})
    asked: list[str] = []

    def first(wanted: Any, models: Any) -> Any:
        asked.append(wanted.name)
        return models[0]

    ((before, after),) = handle.sync_dnn_model(strategies=[lambda wanted, models: None, first])
    assert (asked, before.name, after.base, after.type) == (["not here"], "not here", "sd-1", "main")


def test_row_270_boards_are_listed(client: InvokeAIClient, board: compat.BoardHandle) -> None:
    assert board.board_id in [entry.board_id for entry in client.board_repo.list_boards()]


def test_row_271_a_board_has_a_handle(client: InvokeAIClient, board: compat.BoardHandle) -> None:
    found = client.board_repo.get_board_handle(board.board_id).board
    assert found is not None
    assert found.board_id == board.board_id
    assert client.board_repo.get_board_handle("none").board is None
    with pytest.raises(errors.NotFoundError):
        client.board_repo.get_board_handle("nowhere")


def test_row_272_a_board_handle_downloads(board: compat.BoardHandle, image: compat.InkImageOutput) -> None:
    assert board.download_image(image.image_name).startswith(b"\x89PNG")


def test_row_273_a_board_handle_uploads(board: compat.BoardHandle, tmp_path: Path) -> None:
    data = a_picture(tmp_path / "data.png").read_bytes()
    uploaded = board.upload_image_data(data)
    assert uploaded.image_name in [entry.image_name for entry in board.list_images()]
    board.star_image(uploaded.image_name)
    assert next(board.list_images()).starred


def test_row_288_a_model_is_found_by_its_attributes(client: InvokeAIClient) -> None:
    (found,) = client.models.find(name="tiny-sd15", base="sd-1", type="main")
    assert found.name == "tiny-sd15"


@pytest.mark.parametrize("script", ["sdxl_text_to_image", "flux_image_to_image", "three_stage_refine"])
def test_row_289_there_is_a_script_for_each_described_pipeline(script: str) -> None:
    assert (ROOT / "examples" / "pipelines" / f"{script}.py").is_file()


@pytest.mark.parametrize("script", ["boards", "queue_items", "upload_image", "latest_image", "starred_images"])
def test_row_290_there_is_a_script_for_each_raw_api(script: str) -> None:
    assert (ROOT / "examples" / "raw_apis" / f"{script}.py").is_file()


# -- beyond the rows --------------------------------------------------------------------------------------------------


def test_every_missing_model_is_named_at_once(client: InvokeAIClient) -> None:
    handle = opened(client, "sdxl_with_lora")
    labels = []
    for item in handle.list_inputs():
        if isinstance(item.field, IvkModelIdentifierField):
            item.field.value = {"key": "", "hash": "", "name": f"no {item.label}", "base": "", "type": ""}
            labels.append(item.label)
    assert len(labels) > 1
    with pytest.raises(run_errors.ModelResolutionError) as info:
        handle.submit_sync()
    assert [line.partition(":")[0] for line in str(info.value).splitlines()] == [repr(label) for label in labels]
    assert [error.label for error in info.value.others] == labels[1:]


def test_several_runs_name_what_to_use_instead(client: InvokeAIClient) -> None:
    handle = poster(client)
    job = handle.submit_sync(runs=3)
    ask: Callable[[], object] | Awaitable[object]
    for ask in (handle.get_outputs, handle.wait_for_completion_sync):
        with pytest.raises(run_errors.SeveralItemsError, match=r"^this makes 3 .*get_all_outputs\(\).*run_all\(\)"):
            ask()
    job.wait(TIME)
    assert len(handle.get_all_outputs()) == 3


def test_an_async_submission_is_a_job(client: InvokeAIClient) -> None:
    async def main() -> AsyncJob[Any]:
        handle = poster(client)
        job = await handle.submit(queue_id="default")
        await handle.wait_for_completion(timeout=TIME)
        return job

    assert asyncio.run(main()).item_ids
