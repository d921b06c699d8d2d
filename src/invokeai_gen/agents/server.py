"""The MCP server: lists tools, answers calls, looks things up, reads images and previews, and notifies of changes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import mcp_types as types
from mcp import MCPError, ServerSession, stdio_server
from mcp.server import InitializationOptions, NotificationOptions, Server, ServerRequestContext
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated, ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import AnyHttpUrl, TypeAdapter
from pydantic_core import ArgsKwargs

from invokeai_gen.agents.tool import IMAGES, CallSettings, WorkflowTool, answer, failure, name_in
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.constants import INTERRUPT_TIMEOUT
from invokeai_gen.texts import plain
from invokeai_gen.version import __version__

if TYPE_CHECKING:
    from invokeai_gen.server.events import Preview

WATCH_INTERVAL: Final = 20.0
"""Seconds between two looks at the server's models and boards."""
FIRST_TIMEOUT: Final = 10.0
"""Seconds that the first list of tools waits for a server that does not answer."""
PREVIEWS: Final = "invokeai://previews/"
LOOKUPS: Final = ("find_workflows", "describe_workflow", "list_models", "list_images", "recall")
"""Methods that are tools, too. Their signatures and docstrings are what agents read."""
MAX_LISTED: Final = 200
_INSTRUCTIONS: Final = (
    "Each workflow of an InvokeAI server is a tool. Images come back as invokeai:// links: read one as a resource for "
    "its full size, or give it to another workflow as its image input. Wrong values run nothing: correct those that the "
    "answer lists, and call again."
)
Context = ServerRequestContext[Any]
Page = types.PaginatedRequestParams | None


class AgentServer:
    """Serves workflows over MCP. `workflows` are pairs of a name and a plan whose inputs have names."""

    def __init__(
        self, workflows: Iterable[tuple[str, WorkflowPlan]], client: AsyncInvokeAIClient, settings: CallSettings
    ) -> None:
        self.tools: dict[str, WorkflowTool] = {}
        for stem, plan in workflows:
            tool = WorkflowTool.of(stem, plan, settings, {*LOOKUPS, *self.tools})
            self.tools[tool.name] = tool
        self._client = client
        self._lookups = {name: TypeAdapter[Any](getattr(self, name)) for name in LOOKUPS}
        self._listed: list[types.Tool] = []
        """The definitions of the workflows, with the models and boards that the server had when it was last asked."""
        self._first_look = asyncio.create_task(self._look())
        self._previews: dict[str, Preview] = {}
        self._bus = InMemorySubscriptionBus()
        self._sessions: dict[int, ServerSession] = {}
        """The connections of clients older than the `subscriptions/listen` of the protocol."""
        self._server = _Server(
            "invokeai-gen",
            version=__version__,
            title="InvokeAI workflows",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
            on_subscriptions_listen=ListenHandler(self._bus),
        )

    async def run_stdio(self) -> None:
        """Serve one client over standard input and output, until it closes them.

        If this is cancelled, the process ends as after Ctrl-C, once no call is running any more.
        """
        async with stdio_server() as (read, write):
            try:
                await self._server.run(read, write, self._server.create_initialization_options())
            except asyncio.CancelledError:
                os._exit(130)  # nothing else ends the thread that reads stdin

    async def run_http(self, host: str, port: int, token: str) -> None:
        """Serve any number of clients over streamable HTTP at `/mcp`, until interrupted. Each has to send the token."""
        import uvicorn

        app = self._server.streamable_http_app(
            host=host,
            auth=AuthSettings(issuer_url=AnyHttpUrl(f"http://localhost:{port}"), resource_server_url=None),
            token_verifier=_OneToken(token),
        )
        config = uvicorn.Config(app, host, port, log_level="warning", timeout_graceful_shutdown=int(INTERRUPT_TIMEOUT))
        await uvicorn.Server(config).serve()

    async def watch(self) -> None:
        """Look at the server's models and boards until cancelled, and notify clients when that changes their tools."""
        await self._first_look
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            await self._look()

    async def _look(self) -> None:
        with contextlib.suppress(InvokeAIGenError):  # the server is away
            models, boards = await asyncio.gather(self._client.models.list(), self._client.boards.list())
            before, self._listed = self._listed, [tool.listed(models, boards) for tool in self.tools.values()]
            if self._listed != before:
                await self._bus.publish(ToolsListChanged())
                for session in [*self._sessions.values()]:
                    await session.send_tool_list_changed()

    async def _list_tools(self, ctx: Context, _page: Page) -> types.ListToolsResult:
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            self._sessions[id(ctx.session.client_params)] = ctx.session
        await asyncio.wait([self._first_look], timeout=FIRST_TIMEOUT)
        tools = [*self._listed] or [tool.listed((), ()) for tool in self.tools.values()]
        hints = types.ToolAnnotations(read_only_hint=True, destructive_hint=False)
        for name, adapter in self._lookups.items():
            about, schema = getattr(self, name).__doc__, adapter.json_schema()
            tools.append(types.Tool(name=name, description=about, input_schema=schema, annotations=hints))
        return types.ListToolsResult(tools=tools)

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        result = failure(ConnectionError("the client disconnected"))
        async with anyio.create_task_group() as group:
            if ctx.request is not None:
                group.start_soon(_cancel_if_gone, ctx.request.receive, group.cancel_scope)
            try:
                if lookup := self._lookups.get(params.name):
                    result = answer(await lookup.validate_python(ArgsKwargs((), params.arguments or {})))
                else:
                    report, show = ctx.session.report_progress, partial(self._show, PREVIEWS + params.name)
                    result = await self._named(params.name).call(params.arguments or {}, self._client, report, show)
            except (InvokeAIGenError, OSError, ValueError) as error:  # OSError: a full disk
                result = failure(error)
            group.cancel_scope.cancel()
        return result

    def _named(self, name: str) -> WorkflowTool:
        if name not in self.tools:
            raise ValueError(f"unknown workflow {plain(name, 80)!r}; find_workflows lists them")
        return self.tools[name]

    async def find_workflows(self, query: str = "") -> dict[str, Any]:
        """List the workflows that can be called, with what each is for; `query` has words to look for in them."""
        rows, words = [tool.summary() for tool in self.tools.values()], query.casefold().split()
        return {"workflows": [row for row in rows if all(word in str(row.values()).casefold() for word in words)]}

    async def describe_workflow(self, workflow: str) -> dict[str, Any]:
        """Describe one workflow: every input with its label, range, choices and default, and what it returns."""
        tool = self._named(workflow)
        inputs = tool.input_schema(await self._client.models.list(), await self._client.boards.list())
        return {**tool.summary(), "inputs": inputs, "outputs": tool.output_schema()}

    async def list_models(self, base: str | None = None, type: str | None = None, query: str = "") -> dict[str, Any]:
        """List the models on the server; `base` (such as sdxl), `type` (lora …) and `query` (in the name) select some."""
        models = await self._client.models.list(base=base, type=type)
        found = [model for model in models if query.casefold() in model.name.casefold()]
        rows = [{key: plain(getattr(model, key)) for key in ("name", "base", "type", "key")} for model in found]
        return {"models": rows[:MAX_LISTED], "total": len(rows)}

    async def list_images(self, board: str | None = None) -> dict[str, Any]:
        """List the newest images of a board (by name or id, or "none") or of all, as links to read or give to a workflow."""
        from invokeai_gen.runtime.matching import find_board

        if board and board != "none":
            board = find_board("board", board, await self._client.boards.list()).board_id
        names = await self._client.images.names(board_id=board or None, is_intermediate=False, starred_first=False)
        shown = [plain(name) for name in names[:MAX_LISTED]]
        return {
            "images": [{"image_name": name, "uri": IMAGES.expand({"name": name})} for name in shown],
            "total": len(names),
        }

    async def recall(self, image: str, workflow: str) -> dict[str, Any]:
        """Return the values that made an image (a name or link) as arguments for a workflow, and what is not known."""
        from invokeai_gen.core.image_values import recall

        tool = self._named(workflow)
        found = recall(tool.workflow.params_type, await self._client.images.read(name_in(image)), None)
        values = tool.arguments(tool.workflow.params_type(**found.values))
        return {"values": values, "notes": [plain(note) for note in (*found.unmatched, *found.notes)]}

    async def _show(self, uri: str, preview: Preview) -> None:
        self._previews[uri] = preview
        await self._bus.publish(ResourceUpdated(uri))

    async def _list_resources(self, _ctx: Context, _page: Page) -> types.ListResourcesResult:
        found = [types.Resource(name=f"preview of {name}", uri=PREVIEWS + name) for name in self.tools]
        return types.ListResourcesResult(resources=found)

    async def _list_templates(self, _ctx: Context, _page: Page) -> types.ListResourceTemplatesResult:
        image = types.ResourceTemplate(name="image", uri_template=str(IMAGES), mime_type="image/png")
        return types.ListResourceTemplatesResult(resource_templates=[image])

    async def _read_resource(self, _ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        try:
            preview = self._previews.get(params.uri)
            data = preview.bytes() if preview else await self._client.images.read(name_in(params.uri))
        except (InvokeAIGenError, ValueError) as error:
            raise MCPError(types.INVALID_PARAMS, plain(error)) from None
        mime_type = "image/jpeg" if data.startswith(b"\xff\xd8") else "image/png"
        blob = types.BlobResourceContents(uri=params.uri, mime_type=mime_type, blob=base64.b64encode(data).decode())
        return types.ReadResourceResult(contents=[blob])


async def _cancel_if_gone(receive: Callable[[], Awaitable[Mapping[str, Any]]], call: anyio.CancelScope) -> None:
    """Cancel a call when its HTTP client disconnects; the SDK does that only for the protocol of 2026-07-28.

    Clients of older protocols may come back for what they missed, but this server keeps nothing for them.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
    call.cancel()


class _Server(Server[Any]):
    """A server that announces `tools/list_changed`, over HTTP as well."""

    def create_initialization_options(self, *_args: Any, **_options: Any) -> InitializationOptions:
        return super().create_initialization_options(NotificationOptions(tools_changed=True))


@dataclass(frozen=True, slots=True, repr=False)
class _OneToken:
    """Accepts the one token that clients have to send."""

    token: str

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return who sent the token; `None` for any other one."""
        is_known = hmac.compare_digest(token.encode(), self.token.encode())
        return AccessToken(token=token, client_id="agent", scopes=[]) if is_known else None
