"""The few tools that are about the server rather than about one workflow. None of them changes anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import mcp_types as types

from invokeai_gen.agents.assets import ServerAssets
from invokeai_gen.agents.pictures import LINK, link_of, name_in
from invokeai_gen.agents.tool import WorkflowTool
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.texts import plain

MAX_LISTED: Final = 200


def _schema(required: Sequence[str] = (), **described: str) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in described.items()}
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


_TOOLS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "find_workflows": (
        "List the workflows that can be called, with what each is for.",
        _schema(query="Words to look for in names and descriptions; without it all are listed."),
    ),
    "describe_workflow": (
        "Describe one workflow: every input with its label, range, choices and default, and what it returns.",
        _schema(["workflow"], workflow="The name of its tool."),
    ),
    "list_models": (
        "List the models that are installed on the server.",
        _schema(base="Only this base, such as sdxl.", type="Only this type, such as lora.", query="Part of the name."),
    ),
    "list_images": (
        "List the newest images of a board, as links that can be read or given to a workflow.",
        _schema(board="Name or id of the board; without it the newest images of all boards."),
    ),
    "recall": (
        "Return the values that made an image, as arguments for a workflow.",
        _schema(["image", "workflow"], image="Name or link of the image.", workflow="The name of the workflow's tool."),
    ),
}


class GenericTools:
    """The tools of a server, by name."""

    def __init__(self, tools: Mapping[str, WorkflowTool], client: AsyncInvokeAIClient, assets: ServerAssets) -> None:
        self._tools = tools
        self._client = client
        self._assets = assets

    def listed(self) -> list[types.Tool]:
        """Return their definitions."""
        hints = types.ToolAnnotations(read_only_hint=True, destructive_hint=False)
        return [
            types.Tool(name=name, description=text, input_schema=schema, annotations=hints)
            for name, (text, schema) in _TOOLS.items()
        ]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Answer a call. Raise `ValueError` for a tool or arguments that do not exist, and `ServerError`."""
        if name not in _TOOLS:
            raise ValueError(f"no tool is called {plain(name, 80)!r}")
        schema = _TOOLS[name][1]
        if arguments.keys() - schema["properties"].keys() or {*schema["required"]} - arguments.keys():
            raise ValueError(f"{name} takes {', '.join(schema['properties'])}; it needs {schema['required']}")
        answer = await getattr(self, f"_{name}")(**{key: str(value) for key, value in arguments.items()})
        content: list[types.ContentBlock] = [types.TextContent(text=json.dumps(answer, ensure_ascii=False))]
        return types.CallToolResult(content=content, structured_content=answer)

    def _tool(self, name: str) -> WorkflowTool:
        if name not in self._tools:
            raise ValueError(f"no workflow is called {plain(name, 80)!r}; find_workflows lists them")
        return self._tools[name]

    async def _find_workflows(self, query: str = "") -> dict[str, Any]:
        rows = [{"workflow": tool.name, "title": tool.title, "for": tool.description} for tool in self._tools.values()]
        words = query.casefold().split()
        return {"workflows": [row for row in rows if all(word in str(row.values()).casefold() for word in words)]}

    async def _describe_workflow(self, workflow: str) -> dict[str, Any]:
        tool, assets = self._tool(workflow), await self._assets.fetch()
        described = {"workflow": tool.name, "title": tool.title, "for": tool.description}
        return {**described, "inputs": tool.input_schema(*assets), "outputs": tool.output_schema()}

    async def _list_models(self, base: str = "", type: str = "", query: str = "") -> dict[str, Any]:
        found = [
            {"name": plain(model.name), "base": plain(model.base), "type": plain(model.type), "key": plain(model.key)}
            for model in (await self._assets.fetch())[0]
            if base in ("", model.base) and type in ("", model.type) and query.casefold() in model.name.casefold()
        ]
        return {"models": found[:MAX_LISTED], "total": len(found)}

    async def _list_images(self, board: str = "") -> dict[str, Any]:
        boards = [item for item in (await self._assets.fetch())[1] if board in (item.board_id, item.board_name)]
        if board and len(boards) != 1:
            raise ValueError(f"{len(boards)} boards are called {plain(board, 80)!r}; give the id of one")
        names = []
        async for image in self._client.images.list(board_id=boards[0].board_id if boards else None):
            names.append(plain(image.image_name))
            if len(names) == MAX_LISTED:
                break
        return {"images": [{"image_name": name, "uri": link_of(name)} for name in names]}

    async def _recall(self, image: str, workflow: str) -> dict[str, Any]:
        tool = self._tool(workflow)
        name = name_in(image) if image.startswith(LINK) else image
        argument = {value: key for key, value in tool.keys.items()}
        params = tool.workflow.params_type.from_image(await self._client.images.read(name))
        return {"values": {argument.get(key, key): value for key, value in params.to_dict().items()}}
