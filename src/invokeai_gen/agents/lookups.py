"""Read-only tools about the server as a whole rather than about one workflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types
from pydantic import TypeAdapter
from pydantic_core import ArgsKwargs

from invokeai_gen.agents.tool import WorkflowTool, link_of, name_in
from invokeai_gen.core.image_values import recall
from invokeai_gen.runtime.matching import find_board
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.texts import plain

MAX_LISTED: Final = 200
_HINTS: Final = types.ToolAnnotations(read_only_hint=True, destructive_hint=False)


class LookupTools:
    """Tools that look something up. Their signatures and docstrings are what agents read."""

    def __init__(self, workflows: Mapping[str, WorkflowTool], client: AsyncInvokeAIClient) -> None:
        self._workflows, self._client = workflows, client
        names = ("find_workflows", "describe_workflow", "list_models", "list_images", "recall")
        self._tools = {name: TypeAdapter[Any](getattr(self, name)) for name in names}

    def listed(self) -> list[types.Tool]:
        """Return the definitions of the tools."""
        return [
            types.Tool(
                name=name, description=getattr(self, name).__doc__, input_schema=tool.json_schema(), annotations=_HINTS
            )
            for name, tool in self._tools.items()
        ]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Answer a call. Raise `ValueError` for an unknown tool or wrong arguments, and `ServerError`."""
        if name not in self._tools:
            raise ValueError(f"unknown tool {plain(name, 80)!r}")
        answer = await self._tools[name].validate_python(ArgsKwargs((), {**arguments}))
        content: list[types.ContentBlock] = [types.TextContent(text=json.dumps(answer, ensure_ascii=False))]
        return types.CallToolResult(content=content, structured_content=answer)

    def _workflow(self, name: str) -> WorkflowTool:
        if name not in self._workflows:
            raise ValueError(f"unknown workflow {plain(name, 80)!r}; find_workflows lists them")
        return self._workflows[name]

    async def find_workflows(self, query: str = "") -> dict[str, Any]:
        """List the workflows that can be called, with what each is for; `query` has words to look for in them."""
        rows, words = [tool.summary() for tool in self._workflows.values()], query.casefold().split()
        return {"workflows": [row for row in rows if all(word in str(row.values()).casefold() for word in words)]}

    async def describe_workflow(self, workflow: str) -> dict[str, Any]:
        """Describe one workflow: every input with its label, range, choices and default, and what it returns."""
        tool = self._workflow(workflow)
        inputs = tool.input_schema(await self._client.models.list(), await self._client.boards.list())
        return {**tool.summary(), "inputs": inputs, "outputs": tool.output_schema()}

    async def list_models(self, base: str | None = None, type: str | None = None, query: str = "") -> dict[str, Any]:
        """List the models on the server; `base` (such as sdxl), `type` (lora …) and `query` (in the name) select some."""
        models = await self._client.models.list(base=base, type=type)
        found = [model for model in models if query.casefold() in model.name.casefold()]
        rows = [{key: plain(getattr(model, key)) for key in ("name", "base", "type", "key")} for model in found]
        return {"models": rows[:MAX_LISTED], "total": len(rows)}

    async def list_images(self, board: str | None = None) -> dict[str, Any]:
        """List the newest images of a board (by name or id) or of all, as links to read or to give to a workflow."""
        board_id = find_board("board", board, await self._client.boards.list()).board_id if board else None
        names = await self._client.images.names(board_id=board_id, is_intermediate=False, starred_first=False)
        shown = [plain(name) for name in names[:MAX_LISTED]]
        return {"images": [{"image_name": name, "uri": link_of(name)} for name in shown], "total": len(names)}

    async def recall(self, image: str, workflow: str) -> dict[str, Any]:
        """Return the values that made an image (a name or link) as arguments for a workflow, and what is not known."""
        tool = self._workflow(workflow)
        found = recall(tool.workflow.params_type, await self._client.images.read(name_in(image)), None)
        values = tool.arguments(tool.workflow.params_type(**found.values))
        return {"values": values, "notes": [plain(note) for note in (*found.unmatched, *found.notes)]}
