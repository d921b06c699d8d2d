"""`WorkflowRepository`: the workflow library of a server, and handles on workflows."""

from __future__ import annotations

import builtins
import json
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Unpack

from invokeai_gen.handle.definition import WorkflowDefinition
from invokeai_gen.handle.handle import WorkflowHandle
from invokeai_gen.handle.runs import DownloadOptions
from invokeai_gen.schema import Schema, shipped_schema
from invokeai_gen.schema.openapi import with_version
from invokeai_gen.server.client import core_of
from invokeai_gen.server.errors import ConnectionFailedError
from invokeai_gen.server.facades import facade
from invokeai_gen.server.removal import Removal
from invokeai_gen.server.transfers import write_bytes
from invokeai_gen.server.workflows import AsyncWorkflows, SavedWorkflow

if TYPE_CHECKING:
    from invokeai_gen.server.blocking import ServerClient


class SnapshotWarning(UserWarning):
    """The server does not answer, so the node types are those that ship with this package."""


class WorkflowRepository:
    """The workflows of one server: those in its library, and handles on workflows.

    A handle belongs to the program that opened it; the repository keeps no list of them.
    """

    handle_type: ClassVar[type[WorkflowHandle]] = WorkflowHandle
    """The class of the handles."""

    def __init__(self, client: ServerClient) -> None:
        self._client = client
        self._core = core_of(client).workflows
        self._schema: Schema | None = None

    def schema(self, *, fresh: bool = False) -> Schema:
        """Return what the server's node types accept and return; see `InvokeAIClient.schema`."""
        if self._schema is None or fresh:
            try:
                known = with_version(self._client.openapi(), self._client.version, source=self._client.url)
            except ConnectionFailedError:
                return self._schema or self._shipped_schema()
            self._schema = Schema(known, source=self._client.url)
        return self._schema

    def _shipped_schema(self) -> Schema:
        shipped = shipped_schema()
        warnings.warn(
            f"{self._client.url} does not answer: using the node types of InvokeAI {shipped.version}, which ship with "
            "invokeai-gen; open the workflow again once the server answers",
            SnapshotWarning,
            stacklevel=_level_of_caller(),
        )
        return shipped

    def create_workflow_handle(
        self,
        definition: WorkflowDefinition,
        *,
        schema: Schema | None = None,
        modules: str | os.PathLike[str] | None = None,
    ) -> WorkflowHandle:
        """Open a workflow, to be run on this server; for `modules` and errors see `WorkflowHandle`.

        The default `schema` is the server's own; if the server does not answer, it is the one that ships with this
        package, with a `SnapshotWarning`.
        """
        return self.handle_type(definition, schema or self.schema(), self._client, modules=modules)

    def get_workflow_handle(self, workflow_id: str) -> WorkflowHandle:
        """Open a workflow of the library, to be run on this server. Raise `NotFoundError`."""
        return self.create_workflow_handle(self.download(workflow_id))

    list = facade(AsyncWorkflows.list)
    get = facade(AsyncWorkflows.get)
    delete = facade(AsyncWorkflows.delete)

    def create(self, definition: WorkflowDefinition) -> SavedWorkflow:
        """Save a workflow in the library as a new one."""
        return self._client.workflows.create(definition.to_dict())

    def upload(self, path: str | os.PathLike[str]) -> SavedWorkflow:
        """Save the workflow in a file in the library as a new one. Raise `WorkflowError` for an unreadable file."""
        return self.create(WorkflowDefinition.from_file(path))

    def download(self, workflow_id: str, path: str | os.PathLike[str] | None = None) -> WorkflowDefinition:
        """Return a workflow of the library as a definition, also written to `path` if given. Raise `NotFoundError`."""
        saved = self.get(workflow_id)
        definition = WorkflowDefinition.from_dict(saved.workflow or {}, source=Path(path).name if path else "")
        if path is not None:
            target = Path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, json.dumps(definition.to_dict(), ensure_ascii=True, indent=2).encode() + b"\n")
        return definition

    def download_batch_outputs(
        self,
        handles: Sequence[WorkflowHandle],
        output_dir: str | os.PathLike[str],
        **options: Unpack[DownloadOptions],
    ) -> builtins.list[Path]:
        """Save the outputs of several handles, each in a folder of its own (`000`, `001` …); return the files.

        Raise what `WorkflowHandle.download_outputs` raises, after saving the handles before.
        """
        folders = (Path(output_dir) / f"{number:03d}" for number in range(len(handles)))
        return [
            path
            for handle, folder in zip(handles, folders, strict=True)
            for path in handle.download_outputs(folder, **options)
        ]

    def cleanup_batch(
        self, handles: Iterable[WorkflowHandle], *, inputs: bool = True, outputs: bool = False, queue_items: bool = True
    ) -> Removal:
        """Delete what the last submissions of several handles left on the server.

        The default are their uploads and queue items; `outputs` adds their images. What cannot be deleted is not
        raised, but listed in `failed`.
        """
        targets = {"inputs": inputs, "outputs": outputs, "queue_items": queue_items}
        wanted = [name for name, is_wanted in targets.items() if is_wanted]
        return sum((handle.job.clean_up(wanted) for handle in handles), Removal())  # type: ignore[arg-type]


def _level_of_caller() -> int:
    """Return the `stacklevel` with which a warning of the calling function points outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "invokeai_gen":
        frame, level = frame.f_back, level + 1
    return level
