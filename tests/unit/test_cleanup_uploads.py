"""Uploads that are deleted again are those of the branch that made them, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from invokeai_gen.runtime.cleanup import Preparations
from invokeai_gen.server.records import Removal


class Bin:
    """Where images and videos of a server are deleted."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def delete(self, names: Iterable[str]) -> Removal:
        deleted = tuple(names)
        self.names += deleted
        return Removal(deleted=deleted)


class Server:
    def __init__(self) -> None:
        self.images, self.videos = Bin(), Bin()


def test_undoing_a_branch_leaves_and_still_knows_what_was_made_before() -> None:
    noted: list[list[str]] = []
    made, server = Preparations(), Server()
    made.uploads.on_remove = noted.append
    made.uploads.add("image", "1", "first.png")
    more = made.branch()
    more.uploads.add("image", "2", "second.png")
    asyncio.run(more.uploads.remove(cast(Any, server)))
    assert (server.images.names, noted) == (["second.png"], [["second.png"]])
    assert more.uploads.known == made.uploads.known == {("image", "1"): "first.png"}


def test_what_a_branch_has_made_is_taken_in() -> None:
    made = Preparations()
    more = made.branch()
    more.uploads.add("video", "3", "third.mp4")
    assert made.uploads.videos == []
    made.add(more)
    assert (made.uploads.videos, made.uploads.known) == (["third.mp4"], {("video", "3"): "third.mp4"})
