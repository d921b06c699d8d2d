"""`InvokeAIClient` with the repositories of the described API."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack, cast

from invokeai_gen import client, handle
from invokeai_gen.compat.handle import WorkflowHandle
from invokeai_gen.compat.outputs import BatchCleanupResult, BatchResult, copied
from invokeai_gen.handle.runs import DownloadOptions
from invokeai_gen.schema import Schema
from invokeai_gen.server import boards
from invokeai_gen.server.blocking import ServerClient
from invokeai_gen.server.boards import Board
from invokeai_gen.server.client import core_of
from invokeai_gen.server.images import Image
from invokeai_gen.server.removal import Removal


class WorkflowDefinition(handle.WorkflowDefinition):
    """A workflow file, with pydantic's names for its conversions."""

    model_dump = handle.WorkflowDefinition.to_dict

    @classmethod
    def model_validate(cls, data: dict[str, Any]) -> Self:
        """Read a workflow from JSON data."""
        return cls.from_dict(data)


class WorkflowRepository(handle.WorkflowRepository):
    """The workflow library of a server, and handles on workflows."""

    handle_type: ClassVar[type[handle.WorkflowHandle]] = WorkflowHandle

    def create_workflow(self, definition: handle.WorkflowDefinition, *, schema: Schema | None = None) -> WorkflowHandle:
        """Open a workflow, to be run on this server."""
        return cast("WorkflowHandle", self.create_workflow_handle(definition, schema=schema))

    def download_batch_outputs(  # type: ignore[override]
        self,
        workflows: Sequence[handle.WorkflowHandle],
        output_dir: str | os.PathLike[str],
        *,
        organize_by_workflow: bool = True,
        **options: Unpack[DownloadOptions],
    ) -> BatchResult:
        """Save the outputs of several handles, each in a folder of its own (`000`, `001` …).

        Without `organize_by_workflow` all files are in one folder, and their names begin with the number. One that exists
        with other content raises `FileExistsError`, unless `overwrite`; the new file then stays in the folder of its handle.
        """
        files = super().download_batch_outputs(workflows, output_dir, **options)
        if not organize_by_workflow:
            overwrite = options.get("overwrite", False)
            files = [_moved_up(file, Path(output_dir), overwrite=overwrite) for file in files]
        return BatchResult(len(workflows), files)

    def cleanup_batch(  # type: ignore[override]
        self,
        workflows: Iterable[handle.WorkflowHandle],
        *,
        cleanup_inputs: bool = True,
        cleanup_outputs: bool = False,
        cleanup_queue: bool = True,
    ) -> BatchCleanupResult:
        """Delete what the last submissions of several handles left on the server."""
        handles, found = list(workflows), dict[str, Removal]()
        wanted = {"outputs": cleanup_outputs, "inputs": cleanup_inputs, "queue_items": cleanup_queue}
        for kind, is_wanted in wanted.items():  # the queue items last: which images they made is read from them
            only: dict[str, bool] = {**dict.fromkeys(wanted, False), kind: is_wanted}
            found[kind] = super().cleanup_batch(handles, **only)
        return copied(
            BatchCleanupResult,
            sum(found.values(), Removal()),
            inputs_deleted=len(found["inputs"].deleted),
            outputs_deleted=len(found["outputs"].deleted),
            queue_items_pruned=len(found["queue_items"].deleted),
        )


class BoardHandle(boards.BoardHandle):
    """One board, or with the id `"none"` the images that are on no board."""

    def __init__(self, client: ServerClient, board_id: str) -> None:
        super().__init__(core_of(client).boards.handle(board_id))
        self._client = client

    @property
    def board(self) -> Board | None:
        """The board as the server has it now; `None` for the images on no board."""
        return None if self.is_uncategorized else self.get()

    list_images = boards.BoardHandle.list

    def download_image(self, image_name: str) -> bytes:
        """Return the file of an image, a PNG. Raise `NotFoundError`."""
        return self._client.images.read(image_name)

    def upload_image_data(self, data: bytes, name: str = "image.png") -> Image:
        """Upload the bytes of an image file to the board."""
        return self.upload(data, name)

    def upload_image_file(self, path: str | os.PathLike[str]) -> Image:
        """Upload an image file to the board."""
        return self.upload(Path(path))

    def move_image_to(self, image_name: str, board_id: str | None) -> None:
        """Move an image to another board; `None` takes it off the board."""
        self._client.images.move(image_name, board_id)

    def star_image(self, image_name: str, *, starred: bool = True) -> None:
        """Star an image, or take its star away."""
        self.star(image_name, starred=starred)


class BoardRepository:
    """The boards of a server."""

    def __init__(self, client: ServerClient) -> None:
        self._client = client

    def list_boards(self) -> list[Board]:
        """Return all boards, oldest first."""
        return self._client.boards.list()

    def get_board_handle(self, board_id: str = "none") -> BoardHandle:
        """Return a handle on a board, by default on the images that are on no board. Raise `NotFoundError`."""
        found = BoardHandle(self._client, board_id)
        _ = found.board
        return found

    def create_board(self, name: str) -> BoardHandle:
        """Create a board, even if one of that name exists."""
        return BoardHandle(self._client, self._client.boards.create(name).board_id)

    def upload_image_by_file(self, path: str | os.PathLike[str], board_id: str | None = None) -> Image:
        """Upload an image file, to a board if `board_id` is given."""
        return BoardHandle(self._client, board_id or "none").upload_image_file(path)


class InvokeAIClient(client.InvokeAIClient):
    """One InvokeAI server, with the repositories of the described API."""

    @cached_property
    def workflow_repo(self) -> WorkflowRepository:
        """The workflow library of the server, and handles on workflows."""
        return WorkflowRepository(self)

    @cached_property
    def board_repo(self) -> BoardRepository:
        """The boards of the server."""
        return BoardRepository(self)

    def create_workflow(
        self,
        definition: handle.WorkflowDefinition,
        *,
        schema: Schema | None = None,
        modules: str | os.PathLike[str] | None = None,
        auto_cleanup_outputs: bool = False,
    ) -> WorkflowHandle:
        """Open a workflow, to be run on this server; `modules` as for `WorkflowHandle`.

        `auto_cleanup_outputs` deletes the images of a run from the server once `download_outputs` has saved them.
        """
        opened = cast(
            "WorkflowHandle", self.workflow_repo.create_workflow_handle(definition, schema=schema, modules=modules)
        )
        opened.auto_cleanup_outputs = auto_cleanup_outputs
        return opened


def _moved_up(file: Path, root: Path, *, overwrite: bool) -> Path:
    """Move a file, and the metadata beside it, from a folder in `root` to `root`; its name begins with that folder's."""
    target = root / "-".join(file.relative_to(root).parts)
    for old, new in ((file.with_suffix(".json"), target.with_suffix(".json")), (file, target)):
        if not old.exists():
            continue
        if new.exists() and not overwrite and not filecmp.cmp(old, new, shallow=False):
            raise FileExistsError(f"{new} already exists, and its content is different: the new file is {old}")
        old.replace(new)
    return target
