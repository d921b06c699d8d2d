"""What is deleted after a run, what is not, and what is said about it."""

import random
from io import BytesIO
from pathlib import Path

import PIL.Image
import pytest

from generated import sd15_image_to_image
from invokeai_gen import ImageOutput, InvokeAIClient
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.run_errors import CleanupError, JobFailedError
from tests import plans

TIME = 120.0


@pytest.fixture(scope="module")
def out(client: InvokeAIClient) -> plans.PictureOutputs:
    return plans.picture().run(plans.PictureParams(width=80), client=client, timeout=TIME)


def png(color: str = "blue", size: tuple[int, int] = (40, 20)) -> bytes:
    buffer = BytesIO()
    PIL.Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def exists(client: InvokeAIClient, name: str) -> bool:
    try:
        return client.images.get(name).image_name == name
    except NotFoundError:
        return False


def test_what_was_uploaded_is_deleted_again_and_nothing_else(client: InvokeAIClient, out: plans.PictureOutputs) -> None:
    result = plans.resize().run(plans.ResizeParams(picture=png("green")), client=client, timeout=TIME)
    (uploaded,) = result._uploads.images  # type: ignore[union-attr]
    assert client.images.get(uploaded).image_category == "user"
    assert result.cleanup_inputs().deleted == (uploaded,)
    assert result.cleanup_inputs().deleted == ()
    with pytest.raises(NotFoundError):
        client.images.get(uploaded)

    given = plans.resize().run(plans.ResizeParams(picture=out.picture), client=client, timeout=TIME)
    assert given.cleanup_inputs().deleted == ()
    assert client.images.get(out.picture.name)


def test_outputs_of_this_run_are_deleted_and_those_of_others_kept(client: InvokeAIClient) -> None:
    cached = plans.picture(use_cache=True)
    params = plans.PictureParams(width=random.randrange(1000, 4000))  # no earlier run of the server has such images
    first = cached.run(params, client=client, timeout=TIME)
    second = cached.run(params, client=client, timeout=TIME)
    assert second.blurred.name == first.blurred.name, "the server's node cache handed it out again"
    removal = second.cleanup_outputs()
    assert removal.deleted == (second.picture.name,)
    assert removal.kept[first.blurred.name] == "not made by this run"
    assert removal.failed == {}
    client.images.star([first.picture.name])
    assert first.cleanup_outputs().kept[first.blurred.name] == f"queue item {second.item_id} also refers to it"
    second.cleanup_queue_item()
    removal = first.cleanup_outputs()
    assert removal.kept == {first.picture.name: "starred"}
    assert first.blurred.name in removal.deleted
    client.images.delete([first.picture.name])


def test_a_policy_cleans_up_after_success_and_failure(client: InvokeAIClient) -> None:
    done = plans.resize().run(
        plans.ResizeParams(picture=png("red")), client=client, timeout=TIME, cleanup=("inputs", "queue_items")
    )
    assert done.cleanup is not None
    assert str(done.item_id) in done.cleanup.deleted
    assert len(done.cleanup.deleted) == 2
    assert done.small.pil().size == (32, 32), "the output itself stays"
    with pytest.raises(NotFoundError):
        client.queue.get(done.item_id)
    with pytest.raises(JobFailedError) as caught:
        plans.picture().run(plans.PictureParams(width=-8), client=client, timeout=TIME, cleanup=("queue_items",))
    assert caught.value.item_id is not None
    with pytest.raises(NotFoundError):
        client.queue.get(caught.value.item_id)


def test_an_image_made_into_another_leaves_nothing_but_the_file(client: InvokeAIClient, tmp_path: Path) -> None:
    picture = tmp_path / "in.png"
    picture.write_bytes(png(size=(64, 64)))
    params = sd15_image_to_image.Params(source_image=picture, width=64, height=64, steps=2)
    with sd15_image_to_image.submit(params, client=client) as job:
        result = job.outputs()
        (saved,) = result.download_outputs(tmp_path / "out")
        made = [image.name for image in result.every(ImageOutput) if image.name not in job.uploads.images]
        (uploaded,) = job.uploads.images
        removal = job.clean_up(("inputs", "outputs", "queue_items")).raise_for_failures()
    with PIL.Image.open(saved) as image:
        assert image.size == (64, 64)
    assert {*made, uploaded, str(job.item_id)} <= {*removal.deleted, *removal.kept}
    assert not any(exists(client, name) for name in (uploaded, result.images[0].name))


def test_an_image_that_another_item_got_from_the_cache_is_deleted_on_demand(client: InvokeAIClient) -> None:
    cached, params = plans.picture(use_cache=True), plans.PictureParams(width=random.randrange(1000, 4000))
    first, second = (cached.run(params, client=client, timeout=TIME) for _ in range(2))
    assert first.blurred.name == second.blurred.name
    assert first.blurred.name in first.cleanup_outputs(check_other_items=False).deleted
    assert not exists(client, second.blurred.name)


def test_an_image_that_a_waiting_item_takes_as_its_input_is_kept(client: InvokeAIClient) -> None:
    made = plans.picture().run(plans.PictureParams(width=88), client=client, timeout=TIME)
    with plans.text_to_image().submit(plans.TextToImageParams(steps=900), client=client):
        waiting = plans.resize().submit(plans.ResizeParams(picture=made.picture), client=client)
        assert made.cleanup_outputs().kept[made.picture.name] == f"queue item {waiting.item_id} also refers to it"
    assert waiting.outputs(timeout=TIME).small.size == (32, 32)


def test_items_of_one_job_that_share_a_cached_image_delete_it_once(client: InvokeAIClient) -> None:
    job = plans.picture(use_cache=True).submit(plans.PictureParams(width=112), client=client, runs=3)
    blurred = {output.blurred.name for output in job.all_outputs()}
    assert len(blurred) == 1
    removal = job.cleanup_outputs()
    assert blurred <= set(removal.deleted)
    assert (removal.failed, removal.kept) == ({}, {})


def test_images_may_stay_and_only_leave_their_board(client: InvokeAIClient) -> None:
    with client.boards.temporary("runtime tests: left") as board:
        done = plans.picture().run(plans.PictureParams(board=board.board_id), client=client, timeout=TIME)
        removal = done.cleanup_outputs(delete_images=False, delete_from_board=True)
        assert removal.deleted == ()
        assert removal.kept[done.picture.name] == "taken off its board"
        assert done.picture.board() is None
    assert done.cleanup_outputs().failed == {}


def test_a_temporary_board_lasts_as_long_as_its_block(client: InvokeAIClient) -> None:
    with client.boards.temporary("runtime tests: brief", images="delete") as board:
        done = plans.picture().run(plans.PictureParams(board=board.board_name), client=client, timeout=TIME)
        assert done.picture.board() == client.boards.get(board.board_id)
    assert client.boards.find("runtime tests: brief") == []
    assert not exists(client, done.picture.name)


def test_a_board_made_for_a_run_is_deleted_with_it(client: InvokeAIClient) -> None:
    name = "runtime tests: for one run"
    done = plans.picture().run(
        plans.PictureParams(board=name), client=client, timeout=TIME, create_boards=True, cleanup=("boards",)
    )
    assert client.boards.find(name) == []
    assert done.picture.board() is None, "the image itself stays"
    done.cleanup_outputs().raise_for_failures()


def test_a_board_made_for_a_run_stays_once_others_use_it(client: InvokeAIClient) -> None:
    name = "runtime tests: shared"
    job = plans.picture().submit(plans.PictureParams(board=name), client=client, create_boards=True)
    job.wait(TIME)
    (board,) = client.boards.find(name)
    guest = client.images.upload(png(), board_id=board.board_id)
    removal = job.clean_up(("outputs", "boards"))
    assert removal.kept == {board.board_id: "holds 1 images that this run did not make"}
    client.images.delete([guest.image_name])
    assert job.cleanup_boards().deleted == (board.board_id,)
    assert client.boards.find(name) == []


def test_a_board_made_for_a_run_that_never_begins_is_not_left_behind(client: InvokeAIClient) -> None:
    name = "runtime tests: never used"
    with pytest.raises(ValueError, match="should be a colour"):
        plans.picture().run(plans.PictureParams(board=name, color="greenish"), client=client, create_boards=True)
    assert client.boards.find(name) == []


def test_what_could_not_be_deleted_is_reported(client: InvokeAIClient, out: plans.PictureOutputs) -> None:
    done = plans.picture().run(plans.PictureParams(), client=client, timeout=TIME)
    client.images.delete([done.picture.name])
    removal = done.cleanup_outputs()
    with pytest.raises(
        CleanupError, match=f"1 of 3 were not deleted:\n- {done.picture.name}: not on the server"
    ) as caught:
        removal.raise_for_failures()
    assert caught.value.left == {done.picture.name: "not on the server"}


def test_a_policy_that_does_not_exist_is_an_error_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="cleanup takes a tuple of 'inputs', 'outputs'"):
        plans.picture().run(plans.PictureParams(), cleanup="inputs")  # type: ignore[arg-type]
