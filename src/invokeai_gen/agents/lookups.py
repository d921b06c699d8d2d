"""Read-only tools about the server as a whole rather than about one workflow."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, get_type_hints

import mcp_types as types

from invokeai_gen.agents.pictures import LINK, link_of, name_in
from invokeai_gen.agents.tool import WorkflowTool
from invokeai_gen.runtime.matching import find_board
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.texts import plain

MAX_LISTED: Final = 200
_NAMES: Final = ("find_workflows", "describe_workflow", "list_models", "list_images", "recall")


class LookupTools:
    """Tools that look something up. Signatures and docstrings are what agents read."""

    def __init__(self, tools: Mapping[str, WorkflowTool], client: AsyncInvokeAIClient) -> None:
        self._tools = tools
        self._client = client

    def listed(self) -> list[types.Tool]:
        """Return the definitions of the tools."""
        hints = types.ToolAnnotations(read_only_hint=True, destructive_hint=False)
        return [
            types.Tool(
                name=name, description=inspect.getdoc(getattr(self, name)), input_schema=schema, annotations=hints
            )
            for name, schema in ((name, _schema(getattr(self, name))) for name in _NAMES)
        ]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Answer a call. Raise `ValueError` for an unknown tool or wrong arguments, and `ServerError`."""
        if name not in _NAMES:
            raise ValueError(f"unknown tool {plain(name, 80)!r}")
        method = getattr(self, name)
        try:
            inspect.signature(method).bind(**arguments)
        except TypeError as error:
            raise ValueError(f"{name}: {plain(error, 200)}") from None
        answer = await method(**{key: str(value) for key, value in arguments.items()})
        content: list[types.ContentBlock] = [types.TextContent(text=json.dumps(answer, ensure_ascii=False))]
        return types.CallToolResult(content=content, structured_content=answer)

    def _tool(self, name: str) -> WorkflowTool:
        if name not in self._tools:
            raise ValueError(f"unknown workflow {plain(name, 80)!r}; find_workflows lists them")
        return self._tools[name]

    async def find_workflows(
        self, query: Annotated[str, "Words to look for in names and descriptions; without it all are listed."] = ""
    ) -> dict[str, Any]:
        """List the workflows that can be called, with what each is for."""
        rows = [tool.summary() for tool in self._tools.values()]
        words = query.casefold().split()
        return {"workflows": [row for row in rows if all(word in str(row.values()).casefold() for word in words)]}

    async def describe_workflow(self, workflow: Annotated[str, "The name of its tool."]) -> dict[str, Any]:
        """Describe one workflow: every input with its label, range, choices and default, and what it returns."""
        tool = self._tool(workflow)
        inputs = tool.input_schema(await self._client.models.list(), await self._client.boards.list())
        return {**tool.summary(), "inputs": inputs, "outputs": tool.output_schema()}

    async def list_models(
        self,
        base: Annotated[str, "Only this base, such as sdxl."] = "",
        type: Annotated[str, "Only this type, such as lora."] = "",
        query: Annotated[str, "Part of the name."] = "",
    ) -> dict[str, Any]:
        """List the models that are installed on the server."""
        models = await self._client.models.list(base=base or None, type=type or None)
        found = [
            {key: plain(getattr(model, key)) for key in ("name", "base", "type", "key")}
            for model in models
            if query.casefold() in model.name.casefold()
        ]
        return {"models": found[:MAX_LISTED], "total": len(found)}

    async def list_images(
        self, board: Annotated[str, "Name or id of the board; without it the newest images of all boards."] = ""
    ) -> dict[str, Any]:
        """List the newest images of a board, as links that can be read or given to a workflow."""
        board_id = find_board("board", board, await self._client.boards.list()).board_id if board else None
        names = []
        async for image in self._client.images.list(board_id=board_id):
            names.append(plain(image.image_name))
            if len(names) == MAX_LISTED:
                break
        return {"images": [{"image_name": name, "uri": link_of(name)} for name in names]}

    async def recall(
        self,
        image: Annotated[str, "Name or link of the image."],
        workflow: Annotated[str, "The name of the workflow's tool."],
    ) -> dict[str, Any]:
        """Return the values that made an image, as arguments for a workflow."""
        tool = self._tool(workflow)
        file = await self._client.images.read(name_in(image) if image.startswith(LINK) else image)
        return {"values": tool.arguments(tool.workflow.params_type.from_image(file))}


def _schema(method: Any) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments, all of them texts."""
    hints, parameters = get_type_hints(method, include_extras=True), inspect.signature(method).parameters
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": hints[name].__metadata__[0]} for name in parameters},
        "required": [name for name, parameter in parameters.items() if parameter.default is parameter.empty],
        "additionalProperties": False,
    }
