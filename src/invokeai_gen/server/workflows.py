"""The workflow library of a server."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from invokeai_gen.server.background import facade
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.records import SavedWorkflow

WorkflowCategory: TypeAlias = Literal["user", "default"]
PAGE: Final = 100


class AsyncWorkflows:
    """The saved workflows of one server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(
        self, *, category: WorkflowCategory | None = None, search: str | None = None
    ) -> builtins.list[SavedWorkflow]:
        """All saved workflows without their contents, by name. `default` are those that InvokeAI ships."""
        found: builtins.list[SavedWorkflow] = []
        page = 0
        while True:
            params: dict[str, Any] = {
                "page": page,
                "per_page": PAGE,
                "order_by": "name",
                "direction": "ASC",
                "categories": category,
                "query": search,
            }
            answer = await self._transport.get("/api/v1/workflows/", params)
            found += [SavedWorkflow.of(item) for item in answer["items"]]
            page += 1
            if page >= answer["pages"]:
                return found

    async def get(self, workflow_id: str) -> SavedWorkflow:
        """The workflow of that id, its contents in `workflow`. Raises `NotFoundError`."""
        return SavedWorkflow.of(await self._transport.get(_path(workflow_id)))

    async def create(self, workflow: Mapping[str, Any]) -> SavedWorkflow:
        """Saves a workflow (the contents of an exported file) as a new one; an `id` in it is not used."""
        body = {"workflow": {key: value for key, value in workflow.items() if key != "id"}}
        return SavedWorkflow.of(await self._transport.send("POST", "/api/v1/workflows/", json=body))

    async def update(self, workflow_id: str, workflow: Mapping[str, Any]) -> SavedWorkflow:
        """Replaces the contents of a saved workflow. Those that InvokeAI ships cannot be changed."""
        body = {"workflow": {**workflow, "id": workflow_id}}
        return SavedWorkflow.of(await self._transport.send("PATCH", _path(workflow_id), json=body))

    async def delete(self, workflow_id: str) -> None:
        """Deletes a saved workflow. Those that InvokeAI ships stay, without an error."""
        await self._transport.send("DELETE", _path(workflow_id))

    async def thumbnail(self, workflow_id: str) -> bytes:
        """The picture shown in the library, a WebP file. Raises `NotFoundError` where there is none."""
        return await self._transport.read(f"{_path(workflow_id)}/thumbnail")

    async def set_thumbnail(self, workflow_id: str, data: bytes) -> None:
        """Gives a workflow its picture: the bytes of an image file."""
        await self._transport.replace_file(
            f"{_path(workflow_id)}/thumbnail", "image", "thumbnail.png", data, "image/png"
        )


class Workflows:
    """The saved workflows of one server."""

    def __init__(self, core: AsyncWorkflows) -> None:
        self._core = core

    list = facade(AsyncWorkflows.list)
    get = facade(AsyncWorkflows.get)
    create = facade(AsyncWorkflows.create)
    update = facade(AsyncWorkflows.update)
    delete = facade(AsyncWorkflows.delete)
    thumbnail = facade(AsyncWorkflows.thumbnail)
    set_thumbnail = facade(AsyncWorkflows.set_thumbnail)


def _path(workflow_id: str) -> str:
    return f"/api/v1/workflows/i/{segment(workflow_id)}"
