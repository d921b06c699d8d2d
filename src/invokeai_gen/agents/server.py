"""The MCP server: list tools, answer calls, read images, and notify clients when models or boards change."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import weakref
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError

from invokeai_gen.agents.calls import CallSettings, call_workflow, failure
from invokeai_gen.agents.lookups import LookupTools
from invokeai_gen.agents.pictures import LINK, name_in
from invokeai_gen.agents.tool import WorkflowTool
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import ServerError
from invokeai_gen.server.inventory import Board, Model
from invokeai_gen.texts import plain
from invokeai_gen.version import __version__

WATCH_INTERVAL: Final = 20.0
"""Seconds between two looks at the server's models and boards."""
_INSTRUCTIONS: Final = (
    "Each workflow of an InvokeAI server is a tool. Images come back as invokeai:// links: read one as a resource for "
    "its full size, or give it to another workflow as its image input."
)
Context = ServerRequestContext[Any]
Assets: TypeAlias = tuple[Sequence[Model], Sequence[Board]]


class AgentServer:
    """Serves workflows over MCP. `workflows` are pairs of a name and a plan whose inputs have names."""

    def __init__(
        self, workflows: Iterable[tuple[str, WorkflowPlan]], client: AsyncInvokeAIClient, settings: CallSettings
    ) -> None:
        self._client = client
        self._settings = settings
        self.tools: dict[str, WorkflowTool] = {}
        for stem, plan in workflows:
            tool = WorkflowTool.of(stem, plan, self.tools)
            self.tools[tool.name] = tool
        self._assets: Assets = ((), ())
        self._lookups = LookupTools(self.tools, client)
        self._bus = InMemorySubscriptionBus()
        self._sessions: weakref.WeakSet[ServerSession] = weakref.WeakSet()
        self._server: Server[None] = Server(
            "invokeai-gen",
            version=__version__,
            title="InvokeAI workflows",
            instructions=_INSTRUCTIONS,
            lifespan=self._lifespan,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
            on_subscriptions_listen=ListenHandler(self._bus),
        )

    async def run_stdio(self) -> None:
        """Serve one client over standard input and output, until it closes them."""
        options = self._server.create_initialization_options(NotificationOptions(tools_changed=True))
        async with stdio_server() as (read, write):
            await self._server.run(read, write, options)

    async def run_http(self, host: str, port: int, token: str) -> None:
        """Serve any number of clients over streamable HTTP at `/mcp`, until interrupted. Each has to send the token."""
        import uvicorn

        hosts = sorted({f"{name}:{port}" for name in (host, "127.0.0.1", "localhost", "[::1]")})
        security = TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=hosts,
            allowed_origins=[f"http://{name}" for name in hosts],
        )
        app = _guarded(self._server.streamable_http_app(transport_security=security, host=host), token)
        await uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning")).serve()

    @contextlib.asynccontextmanager
    async def _lifespan(self, _server: Server[None]) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch_assets())
        try:
            yield
        finally:
            watching.cancel()

    async def _fetch_assets(self) -> Assets:
        """Return the models and boards; while the server is away, those it had before."""
        with contextlib.suppress(ServerError):
            self._assets = await self._client.models.list(), await self._client.boards.list()
        return self._assets

    async def _watch_assets(self) -> None:
        """Send `tools/list_changed` whenever the names of models or boards change."""
        known = _names(await self._fetch_assets())
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            names = _names(await self._fetch_assets())
            if names != known:
                known = names
                await self._bus.publish(ToolsListChanged())
                for session in [*self._sessions]:
                    with contextlib.suppress(Exception):  # a client that has gone
                        await session.send_tool_list_changed()

    async def _list_tools(self, ctx: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        self._sessions.add(ctx.session)
        assets = await self._fetch_assets()
        hints = types.ToolAnnotations(read_only_hint=False, destructive_hint=False)
        tools = [
            types.Tool(
                name=tool.name,
                title=tool.title,
                description=tool.description,
                input_schema=tool.input_schema(*assets),
                output_schema=tool.output_schema(),
                annotations=hints,
            )
            for tool in self.tools.values()
        ]
        return types.ListToolsResult(tools=[*tools, *self._lookups.listed()])

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool, arguments = self.tools.get(params.name), params.arguments or {}
        if tool is not None:
            return await call_workflow(tool, arguments, self._client, self._settings, ctx.session.report_progress)
        try:
            return await self._lookups.call(params.name, arguments)
        except (InvokeAIGenError, ValueError) as error:
            return failure(error)

    async def _list_templates(
        self, _ctx: Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        image = types.ResourceTemplate(name="image", uri_template=f"{LINK}{{name}}", mime_type="image/png")
        return types.ListResourceTemplatesResult(resource_templates=[image])

    async def _read_resource(self, _ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        try:
            data = await self._client.images.read(name_in(params.uri))
        except (InvokeAIGenError, ValueError) as error:
            raise MCPError(types.INVALID_PARAMS, plain(error)) from None
        blob = types.BlobResourceContents(uri=params.uri, mime_type="image/png", blob=base64.b64encode(data).decode())
        return types.ReadResourceResult(contents=[blob])


def _names(assets: Assets) -> object:
    """Return what appears of models and boards in the tools."""
    models, boards = assets
    return [(model.name, model.key) for model in models], [(board.board_name, board.board_id) for board in boards]


def _guarded(app: Any, token: str) -> Any:
    """Return an ASGI app that answers 401 to every HTTP request without the token."""
    wanted = f"Bearer {token}".encode()

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] != "http" or hmac.compare_digest(given, wanted):
            await app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return guarded
