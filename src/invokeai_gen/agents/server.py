"""The MCP server: lists tools, answers calls, reads images and previews, and notifies clients of changes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import mcp_types as types
from mcp import MCPError, ServerSession, stdio_server
from mcp.server import InitializationOptions, NotificationOptions, Server, ServerRequestContext
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated, ToolsListChanged
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import AnyHttpUrl

from invokeai_gen.agents.lookups import LookupTools
from invokeai_gen.agents.tool import CANCEL_TIMEOUT, LINK, CallSettings, WorkflowTool, failure, name_in
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.inventory import Board, Model
from invokeai_gen.texts import plain
from invokeai_gen.version import __version__

if TYPE_CHECKING:
    from invokeai_gen.server.events import Preview

WATCH_INTERVAL: Final = 20.0
"""Seconds between two looks at the server's models and boards."""
FIRST_TIMEOUT: Final = 10.0
"""Seconds that the first list of tools waits for a server that does not answer."""
PREVIEWS: Final = "invokeai://previews/"
_INSTRUCTIONS: Final = (
    "Each workflow of an InvokeAI server is a tool. Images come back as invokeai:// links: read one as a resource for "
    "its full size, or give it to another workflow as its image input."
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
            tool = WorkflowTool.of(stem, plan, settings, self.tools)
            self.tools[tool.name] = tool
        self._client, self._lookups = client, LookupTools(self.tools, client)
        self._listed: list[types.Tool] = []
        """The definitions of the workflows, with the models and boards that the server had when it was last asked."""
        self._is_listed = asyncio.Event()
        self._calls: set[asyncio.Task[Any]] = set()
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
        """Serve one client over standard input and output, until it closes them."""
        async with stdio_server() as (read, write):
            await self._server.run(read, write, self._server.create_initialization_options())

    async def run_http(self, host: str, port: int, token: str) -> None:
        """Serve any number of clients over streamable HTTP at `/mcp`, until interrupted. Each has to send the token."""
        import uvicorn

        hosts = sorted({f"{name}:{port}" for name in (host, "127.0.0.1", "localhost", "[::1]")})
        origins = [f"http://{name}" for name in hosts]
        app = self._server.streamable_http_app(
            transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins),
            auth=AuthSettings(issuer_url=AnyHttpUrl(f"http://localhost:{port}"), resource_server_url=None),
            token_verifier=_OneToken(token),
        )
        config = uvicorn.Config(app, host, port, log_level="warning", timeout_graceful_shutdown=CANCEL_TIMEOUT)
        await uvicorn.Server(config).serve()

    async def wait_for_calls(self) -> None:
        """Return when no call is running any more."""
        while self._calls:
            await asyncio.wait(self._calls)

    async def watch(self) -> None:
        """Look at the server's models and boards until cancelled, and notify clients when that changes their tools."""
        models, boards = list[Model](), list[Board]()
        while True:
            with contextlib.suppress(InvokeAIGenError):  # the server is away
                models, boards = await self._client.models.list(), await self._client.boards.list()
            before, self._listed = self._listed, [tool.listed(models, boards) for tool in self.tools.values()]
            self._is_listed.set()
            if self._listed != before:
                await self._bus.publish(ToolsListChanged())
                for session in [*self._sessions.values()]:
                    await session.send_tool_list_changed()
            await asyncio.sleep(WATCH_INTERVAL)

    async def _list_tools(self, ctx: Context, _page: Page) -> types.ListToolsResult:
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            self._sessions[id(ctx.session.client_params)] = ctx.session
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TIMEOUT):
                await self._is_listed.wait()
        tools = self._listed or [tool.listed((), ()) for tool in self.tools.values()]
        return types.ListToolsResult(tools=[*tools, *self._lookups.listed()])

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        result = failure(ConnectionError("the client disconnected"))
        if (task := asyncio.current_task()) is not None:
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        async with anyio.create_task_group() as group:
            if ctx.request is not None:
                group.start_soon(_cancel_if_gone, ctx.request.receive, group.cancel_scope)
            result = await self._result(ctx, params.name, params.arguments or {})
            group.cancel_scope.cancel()
        return result

    async def _result(self, ctx: Context, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        try:
            if name not in self.tools:
                return await self._lookups.call(name, arguments)
            report, show = ctx.session.report_progress, partial(self._show, PREVIEWS + name)
            return await self.tools[name].call(arguments, self._client, report, show)
        except (InvokeAIGenError, OSError, ValueError) as error:  # OSError: a full disk
            return failure(error)

    async def _show(self, uri: str, preview: Preview) -> None:
        self._previews[uri] = preview
        await self._bus.publish(ResourceUpdated(uri))

    async def _list_resources(self, _ctx: Context, _page: Page) -> types.ListResourcesResult:
        found = [types.Resource(name=f"preview of {name}", uri=PREVIEWS + name) for name in self.tools]
        return types.ListResourcesResult(resources=found)

    async def _list_templates(self, _ctx: Context, _page: Page) -> types.ListResourceTemplatesResult:
        image = types.ResourceTemplate(name="image", uri_template=f"{LINK}{{name}}", mime_type="image/png")
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


class _OneToken:
    """Accepts the one token that clients have to send."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return who sent the token; `None` for any other one."""
        is_known = hmac.compare_digest(token.encode(), self._token)
        return AccessToken(token=token, client_id="agent", scopes=[]) if is_known else None
