"""Boards, images, models, workflows and the queue of a real server."""

import asyncio
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import PIL.Image
import pytest

from invokeai_gen import AsyncInvokeAIClient, InvokeAIClient
from invokeai_gen.server.boards import Board
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.status_errors import RejectedError, UnsupportedMediaError
from tests import plans


def png(color: str = "blue") -> bytes:
    buffer = BytesIO()
    PIL.Image.new("RGB", (40, 20), color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def board(client: InvokeAIClient) -> Iterator[Board]:
    made = client.boards.create("runtime tests")
    yield made
    client.boards.delete(made.board_id, images="delete")


def test_a_server_tells_its_version_and_schema(client: InvokeAIClient) -> None:
    assert client.version().startswith("6.")
    assert "/api/v1/queue/{queue_id}/enqueue_batch" in client.openapi()["paths"]


def test_anything_else_can_be_asked(client: InvokeAIClient) -> None:
    assert client.ask("GET", "/api/v1/app/version")["version"] == client.version()
    body = {"prompt": "a {red|blue} fox", "max_prompts": 5, "combinatorial": True}
    prompts = client.ask("POST", "/api/v1/utilities/dynamicprompts", json=body)["prompts"]
    assert prompts == ["a red fox", "a blue fox"]


def test_boards_live_and_die(client: InvokeAIClient) -> None:
    made = client.boards.create("runtime tests: Füchse 🦊")
    assert made in client.boards.list()
    assert client.boards.find(made.board_name) == [made]
    renamed = client.boards.rename(made.board_id, "runtime tests: renamed")
    assert client.boards.get(made.board_id).board_name == renamed.board_name == "runtime tests: renamed"
    client.boards.archive(made.board_id)
    assert made.board_id not in {board.board_id for board in client.boards.list()}
    assert made.board_id in {board.board_id for board in client.boards.list(include_archived=True)}
    assert client.boards.delete(made.board_id) == []
    with pytest.raises(NotFoundError):
        client.boards.get(made.board_id)


def test_images_are_uploaded_moved_starred_and_deleted(client: InvokeAIClient, board: Board, tmp_path: Path) -> None:
    first = client.images.upload(png(), "fox.png", board_id=board.board_id)
    second = client.images.upload(png("red"), "fox.png")
    assert (first.width, first.height, first.board_id) == (40, 20, board.board_id)
    client.images.move([second.image_name], board.board_id)
    assert set(client.boards.image_names(board.board_id)) == {first.image_name, second.image_name}
    assert {image.image_name for image in client.images.list(board_id=board.board_id)} == {
        first.image_name,
        second.image_name,
    }
    client.images.star([first.image_name])
    assert client.images.get(first.image_name).starred
    client.images.star([first.image_name], starred=False)
    assert not client.images.get(first.image_name).starred
    client.images.move([second.image_name], None)
    assert client.images.get(second.image_name).board_id is None
    assert client.images.download(first.image_name, tmp_path / "a.png") == (tmp_path / "a.png").stat().st_size
    assert client.images.thumbnail(first.image_name)[8:12] == b"WEBP"
    assert client.images.metadata(first.image_name) == {}
    removal = client.images.delete([first.image_name, second.image_name, "never-was.png"])
    assert removal.deleted == (first.image_name, second.image_name)
    assert removal.failed == {"never-was.png": "not on the server"}


def test_lists_of_images_go_on_behind_the_first_page(
    client: InvokeAIClient, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invokeai_gen.server.constants.PAGE", 2)
    names = [client.images.upload(png(), board_id=board.board_id).image_name for _ in range(5)]
    assert {image.image_name for image in client.images.list(board_id=board.board_id)} == set(names)


def test_what_is_no_image_is_refused(client: InvokeAIClient) -> None:
    with pytest.raises(UnsupportedMediaError):
        client.images.upload(b"not an image")
    if not client.version().startswith("6.8."):  # which takes the image and forgets the board
        with pytest.raises(NotFoundError):
            client.images.upload(png(), board_id="no such board")


def test_models_are_listed_and_found(client: InvokeAIClient) -> None:
    (sd15,) = client.models.find("tiny-sd15", type="main")
    assert (sd15.base, sd15.type) == ("sd-1", "main")
    assert client.models.get(sd15.key) == sd15
    assert sd15 in client.models.list(base="sd-1", type="main")
    assert client.models.find("no such model") == []


def test_workflows_are_kept_in_the_library(client: InvokeAIClient) -> None:
    shipped = client.workflows.list(category="default")
    assert shipped
    contents = dict(client.workflows.get(shipped[0].workflow_id).workflow or {})
    contents |= {"name": "runtime tests", "meta": {**contents["meta"], "category": "user"}}
    made = client.workflows.create(contents)
    try:
        assert made.workflow_id in {found.workflow_id for found in client.workflows.list(search="runtime tests")}
        updated = client.workflows.update(made.workflow_id, {**contents, "description": "changed"})
        assert updated.workflow is not None
        assert updated.workflow["description"] == "changed"
        client.workflows.set_thumbnail(made.workflow_id, png())
        assert client.workflows.thumbnail(made.workflow_id)[8:12] == b"WEBP"
    finally:
        client.workflows.delete(made.workflow_id)
    with pytest.raises(NotFoundError):
        client.workflows.get(made.workflow_id)


def test_the_queue_is_looked_into(client: InvokeAIClient) -> None:
    job = plans.batched().submit(plans.BatchParams(widths=[16, 24, 32]), client=client)
    job.wait(120)
    assert client.queue.item_ids_of(job.batch_id) == list(job.item_ids)
    assert client.queue.batch_counts(job.batch_id).completed == 3
    assert client.queue.batch_counts("no such batch").total == 0
    assert client.queue.counts().completed >= 3
    assert set(job.item_ids) <= {item.item_id for item in client.queue.list()}
    assert client.queue.cancel(job.item_ids[0]).status == "completed", "what has ended stays as it is"
    assert client.queue.position(job.item_ids[0]) is None
    assert client.queue.delete(job.item_ids).deleted == tuple(map(str, job.item_ids))
    with pytest.raises(NotFoundError):
        client.queue.get(job.item_ids[0])
    if not client.version().startswith("6.8."):  # which deletes what does not exist
        assert client.queue.delete([10**9]).failed == {str(10**9): "not in the queue"}
    with pytest.raises(RejectedError):
        client.queue.enqueue({"batch": {"batch_id": "x", "graph": {"nodes": {"a": {"id": "a", "type": "nonsense"}}}}})


def test_the_asynchronous_client_has_the_same_methods(server_url: str) -> None:
    async def main() -> list[str]:
        async with AsyncInvokeAIClient(server_url) as client:
            board, model = await asyncio.gather(client.boards.create("runtime tests: async"), client.models.list())
            image = await client.images.upload(png(), board_id=board.board_id)
            names = [found.image_name async for found in client.images.list(board_id=board.board_id)]
            assert model
            assert names == [image.image_name]
            return await client.boards.delete(board.board_id, images="delete")

    assert len(asyncio.run(main())) == 1
