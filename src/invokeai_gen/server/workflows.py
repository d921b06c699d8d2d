"""The workflow library of a server."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from invokeai_gen.server.answers import at, ignored, integer, list_of, mapping, text
from invokeai_gen.server.errors import NotFoundError, ServerFaultError
from invokeai_gen.server.facades import AsyncPart, Facade, facade
from invokeai_gen.server.http import segment
from invokeai_gen.server.media import FileContent, as_names, opened
from invokeai_gen.server.records import ServerRecord
from invokeai_gen.server.removal import delete_thing
from invokeai_gen.server.transfers import read_file, upload

WorkflowCategory: TypeAlias = Literal["user", "default"]
_ROOT = "/api/v1/workflows"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedWorkflow(ServerRecord):
    """A workflow in the server's library. `workflow` is the workflow itself, which lists leave out."""

    workflow_id: str
    name: str
    description: str = ""
    category: str = ""
    tags: str = ""
    thumbnail_url: str | None = None
    workflow: Mapping[str, Any] | None = field(default=None, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    opened_at: datetime | None = None
    is_public: bool = False
    """Whether other accounts of the server see it."""


class AsyncWorkflows(AsyncPart):
    """The saved workflows of one server."""

    async def list(
        self,
        *,
        category: WorkflowCategory | None = None,
        search: str | None = None,
        tags: str | Iterable[str] = (),
        has_been_opened: bool | None = None,
        is_public: bool | None = None,
    ) -> builtins.list[SavedWorkflow]:
        """Return all saved workflows without their contents, by name. `default` are the ones that InvokeAI ships.

        `tags` selects workflows that have one of them.
        """
        params = {
            "order_by": "name",
            "direction": "ASC",
            "categories": category,
            "query": search,
            "tags": as_names(tags) or None,
            "has_been_opened": has_been_opened,
            "is_public": is_public,
        }
        return await self._transport.get(f"{_ROOT}/", params, read=at("items", list_of(SavedWorkflow.of)))

    async def get(self, workflow_id: str) -> SavedWorkflow:
        """Return the workflow of that id, its contents in `workflow`. Raises `NotFoundError`."""
        return await self._transport.get(_path(workflow_id), read=SavedWorkflow.of)

    async def create(self, workflow: Mapping[str, Any]) -> SavedWorkflow:
        """Save a workflow (the contents of an exported file) as a new one; an `id` in it is not used."""
        body = {"workflow": {key: value for key, value in workflow.items() if key != "id"}}
        return await self._transport.send("POST", f"{_ROOT}/", json=body, read=SavedWorkflow.of)

    async def update(self, workflow_id: str, workflow: Mapping[str, Any]) -> SavedWorkflow:
        """Replace the contents of a saved workflow. Those that InvokeAI ships cannot be changed."""
        body = {"workflow": {**workflow, "id": workflow_id}}
        return await self._transport.send("PATCH", _path(workflow_id), json=body, read=SavedWorkflow.of)

    async def delete(self, workflow_id: str) -> None:
        """Delete a saved workflow. Those that InvokeAI ships stay, without an error."""
        await delete_thing(self._transport, _path(workflow_id), read=ignored, gone=None)

    async def tags(self, *, category: WorkflowCategory | None = None) -> builtins.list[str]:
        """Return the tags that saved workflows have."""
        return await self._transport.get(f"{_ROOT}/tags", {"categories": category}, read=list_of(text))

    async def counts_by_tag(
        self, tags: str | Iterable[str], *, category: WorkflowCategory | None = None
    ) -> dict[str, int]:
        """Return how many saved workflows have each of these tags."""
        params = {"tags": as_names(tags), "categories": category}
        return await self._transport.get(f"{_ROOT}/counts_by_tag", params, read=_counts)

    async def counts_by_category(self, categories: Iterable[WorkflowCategory] = ("user", "default")) -> dict[str, int]:
        """Return how many saved workflows each category has."""
        return await self._transport.get(f"{_ROOT}/counts_by_category", {"categories": [*categories]}, read=_counts)

    async def thumbnail(self, workflow_id: str) -> bytes:
        """Return the picture shown in the library, a WebP file. Raises `NotFoundError` for a workflow without one."""
        path = f"{_path(workflow_id)}/thumbnail"
        try:
            return await read_file(self._transport, path)
        except ServerFaultError as error:
            # InvokeAI 6.14 answers 500 for a workflow without a picture.
            if error.status != 500 or (await self.get(workflow_id)).thumbnail_url:
                raise
        raise NotFoundError("GET", path, 404, "this workflow has no thumbnail")

    async def set_thumbnail(self, workflow_id: str, data: FileContent) -> None:
        """Give a workflow its picture: an image file, as bytes or as a path."""
        async with opened(data, None, "thumbnail.png") as (content, name):
            path, file = f"{_path(workflow_id)}/thumbnail", (name, content, "image/png")
            await upload(self._transport, path, file, method="PUT", field="image", read=ignored)

    async def delete_thumbnail(self, workflow_id: str) -> None:
        """Take a workflow's picture away. Raises `NotFoundError`."""
        await self._transport.send("DELETE", f"{_path(workflow_id)}/thumbnail", read=ignored)

    async def mark_opened(self, workflow_id: str) -> None:
        """Note that a workflow was opened now, which the GUI sorts by. Raises `NotFoundError`."""
        await self._transport.send("PUT", f"{_path(workflow_id)}/opened_at", read=ignored)

    async def set_public(self, workflow_id: str, is_public: bool = True) -> SavedWorkflow:
        """Show a workflow to the other accounts of the server, or hide it from them."""
        return await self._transport.send(
            "PATCH", f"{_path(workflow_id)}/is_public", json={"is_public": is_public}, read=SavedWorkflow.of
        )


class Workflows(Facade[AsyncWorkflows]):
    """The saved workflows of one server."""

    list = facade(AsyncWorkflows.list)
    get = facade(AsyncWorkflows.get)
    create = facade(AsyncWorkflows.create)
    update = facade(AsyncWorkflows.update)
    delete = facade(AsyncWorkflows.delete)
    tags = facade(AsyncWorkflows.tags)
    counts_by_tag = facade(AsyncWorkflows.counts_by_tag)
    counts_by_category = facade(AsyncWorkflows.counts_by_category)
    thumbnail = facade(AsyncWorkflows.thumbnail)
    set_thumbnail = facade(AsyncWorkflows.set_thumbnail)
    delete_thumbnail = facade(AsyncWorkflows.delete_thumbnail)
    mark_opened = facade(AsyncWorkflows.mark_opened)
    set_public = facade(AsyncWorkflows.set_public)


def _counts(data: Any) -> dict[str, int]:
    return {key: integer(value) for key, value in mapping(data).items()}


def _path(workflow_id: str) -> str:
    return f"{_ROOT}/i/{segment(workflow_id)}"
