"""Uploads that are deleted again are those of the branch that made them, and no others."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterable
from typing import Any, cast

import pytest

from invokeai_gen.core.results import media_names
from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.server import background
from invokeai_gen.server.removal import Removal
from invokeai_gen.server.uploads import MediaKind, Uploads, upload_once


class Bin:
    """Where images and videos of a server are deleted, except those that it refuses to delete."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.refuses: set[str] = set()

    async def delete(self, names: Iterable[str]) -> Removal:
        asked = tuple(names)
        deleted = tuple(name for name in asked if name not in self.refuses)
        self.names += deleted
        return Removal(deleted=deleted, failed={name: "in use" for name in asked if name in self.refuses})


class Server:
    def __init__(self) -> None:
        self.images, self.videos = Bin(), Bin()


def test_undoing_a_branch_leaves_and_still_knows_what_was_made_before() -> None:
    noted: list[list[str]] = []
    made, server = Preparations(), Server()
    made.uploads.on_remove = noted.append
    made.uploads.keep("image", "1", "first.png")
    more = made.branch()
    more.uploads.keep("image", "2", "second.png")
    asyncio.run(more.uploads.remove(cast(Any, server)))
    assert (server.images.names, noted) == (["second.png"], [["second.png"]])
    assert more.uploads.known == made.uploads.known == {("image", "1"): "first.png"}


def test_what_a_branch_has_made_is_taken_in() -> None:
    made = Preparations()
    more = made.branch()
    more.uploads.keep("video", "3", "third.mp4")
    assert made.uploads.videos == []
    made.add(more)
    assert (made.uploads.videos, made.uploads.known) == (["third.mp4"], {("video", "3"): "third.mp4"})


def test_branches_that_were_taken_in_hold_no_copies_of_what_is_known() -> None:
    def held_after(count: int) -> int:
        made = Preparations()
        tracemalloc.start()
        try:
            for number in range(count):
                more = made.branch()
                more.uploads.keep("image", f"digest {number}", f"{number}.png")
                made.add(more)
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert held_after(800) < 6 * held_after(200), "four times as much; with copies sixteen times"


@pytest.mark.parametrize("kind", ["image", "video"])
def test_an_upload_that_could_not_be_deleted_is_deleted_by_the_next_clean_up(kind: MediaKind) -> None:
    noted: list[list[str]] = []
    uploads, server = Uploads(on_remove=noted.append), Server()
    bin = server.images if kind == "image" else server.videos
    for name in ("first", "second"):
        uploads.keep(kind, f"digest of {name}", name)
    bin.refuses = {"first"}
    assert asyncio.run(uploads.remove(cast(Any, server))) == Removal(deleted=("second",), failed={"first": "in use"})
    assert [*uploads.images, *uploads.videos] == ["first"]
    assert uploads.known == {(kind, "digest of first"): "first"}
    bin.refuses = set()
    asyncio.run(uploads.remove(cast(Any, server)))
    assert bin.names == ["second", "first"]
    assert [*uploads.images, *uploads.videos, *uploads.known] == []
    assert noted == [["second"], ["first"]]


class Answers:
    """A client whose images all exist."""

    def __init__(self) -> None:
        self.images = self

    async def get(self, name: str) -> str:
        return name


async def _left_alone(client: Any, answer: str | Exception) -> None:
    """Give up on an upload that ends only then."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def send() -> str:
        started.set()
        await go_on.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    run = asyncio.create_task(upload_once(client, Uploads(), "image", "digest", send, "once"))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    go_on.set()
    for _ in range(10):
        await asyncio.sleep(0)


def test_an_upload_that_fails_when_nobody_waits_any_more_does_so_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    background.run(_left_alone(Answers(), ValueError("broken")))
    gc.collect()
    assert caplog.records == []


def test_an_upload_that_nobody_waited_for_is_used_by_the_next_run() -> None:
    client: Any = Answers()

    async def again() -> str:
        raise AssertionError("the file is on the server already")

    async def main() -> str:
        await _left_alone(client, "first.png")
        return await upload_once(client, Uploads(), "image", "digest", again, "once")

    assert background.run(main()) == "first.png"


def test_images_and_videos_are_found_wherever_they_stand_in_a_result() -> None:
    result = {
        "p1": {"image": {"image_name": "a.png"}, "width": 1},
        "p2": {"collection": [{"image_name": "b.png"}, {"video_name": "c.mp4"}], "image_name": None},
        "p3": {"deep": [[{"video": {"video_name": "d.mp4", "thumbnail": {"image_name": "e.png"}}}]]},
    }
    assert {name: kind for kind, name in media_names(result)} == {
        **dict.fromkeys(["a.png", "b.png", "e.png"], "image_name"),
        **dict.fromkeys(["c.mp4", "d.mp4"], "video_name"),
    }
