"""Every method of the repositories that `test_runtime_repositories.py` does not use, on a real server."""

from __future__ import annotations

import asyncio
import shutil
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import PIL.Image
import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.server.boards import Board
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    JobTimeoutError,
    NotFoundError,
    ServerError,
    StatusError,
)
from invokeai_gen.server.models import InstallJob
from invokeai_gen.server.run_errors import InstallError
from invokeai_gen.server.status_errors import UnauthorizedError
from tests import plans
from tests.live.proxy import Proxy
from tests.live.test_runtime_repositories import png
from tests.server import Server

TIME = 120.0
MP4 = Path(__file__).with_name("media") / "tiny.mp4"


@pytest.fixture
def board(client: InvokeAIClient) -> Iterator[Board]:
    with client.boards.temporary("repository tests", images="delete") as made:
        yield made


def test_images_may_be_deleted_while_they_are_listed(
    client: InvokeAIClient, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invokeai_gen.server.constants.PAGE", 10)
    names = {client.images.upload(png(), board_id=board.board_id).image_name for _ in range(35)}
    seen = []
    for image in client.images.list(board_id=board.board_id):
        seen.append(image.image_name)
        assert client.images.delete([image.image_name]).deleted == (image.image_name,)
    assert set(seen) == names
    assert client.boards.image_names(board.board_id) == []


def test_images_by_path_latest_starred_and_copied(client: InvokeAIClient, board: Board, tmp_path: Path) -> None:
    path = tmp_path / "Füchse.png"
    path.write_bytes(png())
    first = client.images.upload(path, board_id=board.board_id)
    second = client.images.upload(str(path), board_id=board.board_id)
    assert [image.image_name for image in client.images.latest(2, board_id=board.board_id, category="user")] == [
        second.image_name,
        first.image_name,
    ]
    client.images.star(first.image_name)
    assert [image.image_name for image in client.images.starred(board_id=board.board_id)] == [first.image_name]
    assert client.images.names(board_id=board.board_id) == [first.image_name, second.image_name]
    assert client.images.names(board_id=board.board_id, starred_first=False) == [second.image_name, first.image_name]
    changed = client.images.update(second.image_name, category="general", starred=True)
    assert (changed.image_category, changed.starred) == ("general", True)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        client.images.download(first.image_name, tmp_path)
    with pytest.raises(FileNotFoundError):
        client.images.upload(tmp_path / "missing.png")
    with pytest.raises(NotFoundError):
        client.images.copy("never-was.png")


def test_an_image_carries_its_workflow_and_graph(client: InvokeAIClient, board: Board) -> None:
    out = plans.picture().run(plans.PictureParams(board=board.board_id), client=client, timeout=TIME)
    graph = client.images.graph(out.picture.name)
    assert graph is not None
    assert {node["type"] for node in graph["nodes"].values()} >= {"blank_image", "save_image"}
    assert client.images.workflow(out.picture.name) is None, "the plan stores no workflow"
    copy = client.images.copy(out.picture.name, board_id=board.board_id)
    assert copy.image_name != out.picture.name
    assert copy.board_id == board.board_id
    assert client.images.graph(copy.image_name) == graph


def test_a_board_is_saved_as_a_zip(client: InvokeAIClient, board: Board, tmp_path: Path) -> None:
    names = {client.images.upload(png(color), board_id=board.board_id).image_name for color in ("red", "blue")}
    target = tmp_path / "board.zip"
    assert client.images.download_zip(target, board_id=board.board_id, timeout=TIME) == target.stat().st_size
    with zipfile.ZipFile(target) as archive:
        assert {Path(name).name for name in archive.namelist()} == names
    one = min(names)
    client.images.download_zip(tmp_path / "one.zip", names=[one], timeout=TIME)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert [Path(name).name for name in archive.namelist()] == [one]


def test_a_zip_that_takes_the_server_long_is_saved_whole(client: InvokeAIClient, board: Board, tmp_path: Path) -> None:
    noise = BytesIO()
    PIL.Image.effect_noise((1024, 1024), 100).save(noise, "PNG")
    one = client.images.upload(noise.getvalue(), board_id=board.board_id)
    names = {
        one.image_name,
        *(client.images.copy(one.image_name, board_id=board.board_id).image_name for _ in range(59)),
    }
    target = tmp_path / "board.zip"
    client.images.download_zip(target, board_id=board.board_id, timeout=TIME)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert {Path(name).name for name in archive.namelist()} == names


def test_a_zip_that_cannot_be_made(client: InvokeAIClient, server_url: str, tmp_path: Path) -> None:
    with pytest.raises(ServerError):
        client.images.download_zip(tmp_path / "no.zip", board_id="no-such-board")
    with pytest.raises(ServerError, match="the server could not make the ZIP file"):
        client.images.download_zip(tmp_path / "no.zip", names=["no-such-image.png"])
    with Proxy(server_url) as proxy, InvokeAIClient(proxy.url) as other:
        proxy.refuse_events()
        with pytest.raises(ConnectionFailedError, match="download the images one by one"):
            other.images.download_zip(tmp_path / "no.zip", names=["any.png"])
    assert not [*tmp_path.iterdir()]


def test_intermediate_images_are_counted_and_cleared(client: InvokeAIClient) -> None:
    client.images.upload(png(), is_intermediate=True)
    assert client.images.count_intermediates() >= 1
    assert isinstance(client.images.clear_intermediates(), int)


def test_a_board_handle(client: InvokeAIClient, tmp_path: Path) -> None:
    made = client.boards.create("handled")
    handle = client.boards.handle(made.board_id)
    try:
        assert handle.get().board_name == "handled"
        image = handle.upload(png())
        other = client.images.upload(png("red"))
        handle.add(other.image_name)
        assert set(handle.image_names()) == {image.image_name, other.image_name}
        assert {found.image_name for found in handle.list()} == {image.image_name, other.image_name}
        assert handle.latest(category="user")[0].image_name in {image.image_name, other.image_name}
        handle.star([image.image_name])
        assert client.images.get(image.image_name).starred
        assert client.boards.set_cover(made.board_id, image.image_name).board_id == made.board_id
        handle.remove([other.image_name])
        assert handle.image_names() == [image.image_name]
        loose = client.boards.handle()
        assert loose.is_uncategorized
        assert other.image_name in loose.image_names()
        assert loose.upload(png("green")).board_id is None
        assert handle.rename("renamed").board_name == "renamed"
        assert handle.clear().deleted == (image.image_name,)
        client.images.delete(other.image_name)
    finally:
        handle.delete(images="delete")
    with pytest.raises(NotFoundError):
        handle.get()


def test_videos(client: InvokeAIClient, board: Board, tmp_path: Path) -> None:
    video = client.videos.upload(MP4, board_id=board.board_id)
    try:
        assert [found.video_name for found in client.videos.list(board_id=board.board_id)] == [video.video_name]
        client.videos.star(video.video_name)
        assert client.videos.get(video.video_name).starred
        client.videos.move([video.video_name], None)
        assert client.videos.get(video.video_name).board_id is None
        client.videos.move(video.video_name, board.board_id)
        assert client.videos.get(video.video_name).board_id == board.board_id
        assert client.videos.thumbnail(video.video_name)[8:12] == b"WEBP"
        assert client.videos.download(video.video_name, tmp_path / "a.mp4") == len(client.videos.read(video.video_name))
        assert client.videos.metadata(video.video_name) == {}
    finally:
        removal = client.videos.delete([video.video_name, "never-was.mp4"])
    assert removal.deleted == (video.video_name,)
    assert removal.failed == {"never-was.mp4": "not on the server"}


def test_the_queue_is_paused_retried_and_waited_for(client: InvokeAIClient) -> None:
    client.queue.wait_until_idle(TIME)
    assert not client.queue.is_busy()
    assert not client.queue.pause().is_started
    try:
        job = plans.batched().submit(plans.BatchParams(widths=[16, 24, 32]), client=client)
        assert client.queue.is_busy()
        assert not client.queue.processor().is_started
        waiting = client.queue.next()
        assert waiting is not None
        assert waiting.item_id == job.item_ids[0]
        assert {item.item_id for item in client.queue.list(status="pending", batch_id=job.batch_id)} == {*job.item_ids}
        assert client.queue.list(batch_id=job.batch_id, origin="somewhere else") == []
        with pytest.raises(JobTimeoutError, match="3 unfinished items after 0.2 s"):
            client.queue.wait_until_idle(0.2)
        assert client.queue.cancel_all_except_current() == 3
    finally:
        assert client.queue.resume().is_started
    retried = client.queue.retry(job.item_ids[0])
    assert retried == [job.item_ids[0]]
    client.queue.wait_until_idle(TIME)
    assert job.item_ids[0] in [item.item_id for item in client.queue.list(destination="gallery")]
    assert client.queue.get(max(client.queue.item_ids())).status == "completed"
    assert client.queue.delete(job.item_ids[0]).deleted == (str(job.item_ids[0]),)


def test_the_library_has_tags_counts_thumbnails_and_opened_workflows(client: InvokeAIClient) -> None:
    shipped = client.workflows.list(category="default")
    contents = dict(client.workflows.get(shipped[0].workflow_id).workflow or {})
    contents |= {"name": "tagged", "tags": "foxes, owls", "meta": {**contents["meta"], "category": "user"}}
    made = client.workflows.create(contents)
    try:
        assert client.workflows.counts_by_tag(["foxes", "nothing"], category="user") == {"foxes": 1, "nothing": 0}
        counts = client.workflows.counts_by_category()
        assert counts["default"] == len(shipped)
        assert [found.workflow_id for found in client.workflows.list(tags="foxes")] == [made.workflow_id]
        with pytest.raises(NotFoundError):
            client.workflows.thumbnail(made.workflow_id)
        client.workflows.set_thumbnail(made.workflow_id, png())
        assert client.workflows.thumbnail(made.workflow_id)[8:12] == b"WEBP"
        client.workflows.delete_thumbnail(made.workflow_id)
        with pytest.raises(NotFoundError):
            client.workflows.thumbnail(made.workflow_id)
        client.workflows.mark_opened(made.workflow_id)
        assert client.workflows.get(made.workflow_id).opened_at is not None
        opened = {found.workflow_id for found in client.workflows.list(category="user", has_been_opened=True)}
        assert made.workflow_id in opened
    finally:
        client.workflows.delete(made.workflow_id)


def test_the_tags_of_the_library_are_listed(client: InvokeAIClient) -> None:
    made = client.workflows.create(
        {"name": "tagged", "meta": {"category": "user", "version": "3.0.0"}, **PARTS, "tags": "a, b"}
    )
    try:
        assert {"a", "b"} <= {*client.workflows.tags(category="user")}
    finally:
        client.workflows.delete(made.workflow_id)


def test_no_model_file_is_missing(client: InvokeAIClient) -> None:
    assert client.models.missing() == []


def test_a_model_is_installed_changed_and_deleted(server: Server, tmp_path: Path) -> None:
    with InvokeAIClient(server.url) as client:
        lora = client.models.list(type="lora")[0]
        (known,) = [model for model in server.models if model.key == lora.key]
        source = server.root / "models" / lora.raw["path"]
        if not source.exists():
            source = Path(lora.raw["path"])
        copy = tmp_path / f"copied{source.suffix}"
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
        with copy.open("ab") if copy.is_file() else open(copy / "note.txt", "wb") as file:  # another hash
            file.write(b"\0" * 8 if copy.is_dir() else b"")
        assert str(copy) in {found.path for found in client.models.scan(tmp_path)}
        seen: list[InstallJob] = []
        job = client.models.install(copy, config={"name": "copied lora"})
        assert client.models.get_install(job.id).id == job.id
        model = client.models.wait_for_install(job, timeout=TIME, on_progress=seen.append)
        assert (model.name, model.type, seen[-1].status) == ("copied lora", "lora", "completed")
        assert known.name
        try:
            assert job.id in {found.id for found in client.models.installs()}
            client.models.prune_installs()
            assert job.id not in {found.id for found in client.models.installs()}
            changed = client.models.update(model.key, description="changed", trigger_phrases=["fox"])
            assert changed.description == "changed"
            assert client.models.find("copied lora")[0].key == model.key
        finally:
            client.models.delete(model.key)
        with pytest.raises(NotFoundError):
            client.models.get(model.key)
        with pytest.raises(NotFoundError):
            client.models.delete("copied lora")
        client.models.empty_cache()
        client.models.stats()


def test_an_install_that_fails_has_its_reason(client: InvokeAIClient, tmp_path: Path) -> None:
    with pytest.raises((StatusError, InstallError), match=r"status 'error'|does not exist|Unsupported model source"):
        client.models.wait_for_install(client.models.install(tmp_path / "missing.safetensors"), timeout=TIME)


def test_the_application(client: InvokeAIClient) -> None:
    assert client.app.version() == client.version()
    assert client.app.config()["port"] > 0
    assert "torch" in {name.lower() for name in client.app.dependencies()}
    client.app.enable_cache(enabled=False)
    try:
        assert not client.app.cache_status().enabled
    finally:
        client.app.enable_cache()
    client.app.clear_cache()
    status = client.app.cache_status()
    assert (status.enabled, status.size) == (True, 0)


def test_accounts() -> None:
    with Server.start(multiuser=True) as server:
        assert server.admin is not None
        with InvokeAIClient(server.url, token="") as client:
            assert client.accounts.are_enabled()
            with pytest.raises(UnauthorizedError):
                client.accounts.me()
            client.accounts.login(server.admin.email, server.admin.password)
            assert client.accounts.me().is_admin
            fox = client.accounts.create("fox@example.com", "Tiny-Foxes-5678", display_name="Fox")
            assert {account.email for account in client.accounts.list()} >= {"fox@example.com", server.admin.email}
            assert client.accounts.get(fox.user_id).display_name == "Fox"
            assert client.accounts.update(fox.user_id, display_name="Red Fox").display_name == "Red Fox"
            with InvokeAIClient(server.url) as own:
                own.accounts.login("fox@example.com", "Tiny-Foxes-5678")
                workflow = own.workflows.create(
                    {"name": "shared", "meta": {"category": "user", "version": "3.0.0"}, **PARTS}
                )
                assert own.workflows.set_public(workflow.workflow_id).is_public
                assert workflow.workflow_id in {found.workflow_id for found in own.workflows.list(is_public=True)}
                assert own.accounts.update_me(display_name="Me").display_name == "Me"
                own.accounts.logout()
                with pytest.raises(UnauthorizedError):
                    own.accounts.me()
            client.accounts.delete(fox.user_id)
            with pytest.raises(NotFoundError):
                client.accounts.get(fox.user_id)


PARTS: dict[str, object] = {
    "author": "", "description": "", "version": "", "contact": "", "tags": "", "notes": "",
    "exposedFields": [], "nodes": [], "edges": [], "form": None,
}  # fmt: skip


def test_the_asynchronous_repositories(server_url: str) -> None:
    from invokeai_gen import AsyncInvokeAIClient

    async def main() -> None:
        async with AsyncInvokeAIClient(server_url) as client, client.boards.temporary() as board:
            handle = client.boards.handle(board.board_id)
            image = await handle.upload(png())
            assert [found.image_name async for found in handle.list()] == [image.image_name]
            assert (await client.app.version()).startswith("6.")
            assert not await client.accounts.are_enabled()
            await client.images.delete(image.image_name)

    asyncio.run(main())
