"""`invokeai-gen mcp` and its connections: how they begin and end, several at once, notifications, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged
from mcp_types import BlobResourceContents, ToolListChangedNotification

from invokeai_gen import InvokeAIClient
from tests.live.test_mcp import PATIENCE, ROOT, image_of, run, text_of
from tests.server import Server
from tests.server.process import free_port

LONG: dict[str, Any] = {"width": 1024, "height": 1024}
"""Values with which the first workflow below runs long enough to be cancelled."""
Report = Callable[[float, float | None, str | None], Any]


def arguments(url: str, *more: str) -> list[str]:
    return ["-m", "invokeai_gen", "mcp", "data/workflows", "--server", url, *more]


def command(url: str) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=arguments(url), env={**os.environ}, cwd=ROOT)


def newest_status(url: str) -> str:
    """The status of the item that was enqueued last, once nothing is running any more."""
    with InvokeAIClient(url) as client:
        client.queue.wait_until_idle(PATIENCE)
        return max(client.queue.list(), key=lambda item: item.item_id).status


@asynccontextmanager
async def spoken(url: str) -> AsyncIterator[Process]:
    """A process to which the test speaks itself, at the point where a run of it reports progress."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments(url), stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT, limit=1 << 26
    )
    assert process.stdin is not None
    assert process.stdout is not None
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    call = {"name": "color_study_batch", "arguments": {}, "_meta": {"progressToken": 1}}
    for number, (method, params) in enumerate((("initialize", about), ("tools/call", call))):
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        process.stdin.write(json.dumps(message).encode() + b"\n")
        if not number:
            process.stdin.write(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
    try:
        while json.loads(await process.stdout.readline()).get("method") != "notifications/progress":
            pass
        yield process
    finally:
        if process.returncode is None:
            process.kill()


@asynccontextmanager
async def over_http(url: str) -> AsyncIterator[tuple[Process, str]]:
    """The command as an HTTP server that has begun to listen, and its address."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments(url, "--http", str(port), "--token", "let-me-in"), cwd=ROOT, stderr=PIPE
    )
    assert process.stderr is not None
    try:
        assert b"serves" in await process.stderr.readline()
        address = f"http://127.0.0.1:{port}/mcp"
        transport = httpx2.AsyncHTTPTransport(retries=12)  # until it listens
        async with httpx2.AsyncClient(transport=transport, timeout=PATIENCE) as anyone:
            assert (await anyone.post(address, json={})).status_code == 401
        yield process, address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def http_agent(address: str, mode: Any = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": "Bearer let-me-in"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http,
        Client(streamable_http_client(address, http_client=http), mode=mode) as agent,
    ):
        yield agent


class Started:
    """A progress callback that knows when the run has begun."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.event.set()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_cancelled_call_cancels_its_queue_items(server: Server, mode: Any) -> None:
    async def work() -> None:
        async with Client(command(server.url), mode=mode) as agent:
            started = Started()
            call = asyncio.create_task(agent.call_tool("color_study_batch", {}, progress_callback=started))
            await started.event.wait()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert await asyncio.to_thread(newest_status, server.url) == "canceled"
            assert (await agent.call_tool("find_workflows", {"query": "poster"})).structured_content

    run(work())


def test_when_stdin_closes_the_process_ends_and_leaves_nothing_in_the_queue(server: Server) -> None:
    async def work() -> None:
        async with spoken(server.url) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            rest = await process.stdout.read()
            assert await process.wait() == 0
            assert all(json.loads(line)["jsonrpc"] == "2.0" for line in rest.splitlines())
        with InvokeAIClient(server.url) as client:
            counts = await asyncio.to_thread(client.queue.counts)
            assert counts.pending + counts.in_progress == 0, "cancelled before the process ended"

    run(work())


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_and_leaves_nothing_in_the_queue(server: Server, number: signal.Signals) -> None:
    async def work() -> None:
        async with spoken(server.url) as process:
            process.send_signal(number)
            assert process.stderr is not None
            said = (await process.stderr.read()).decode()
            assert await process.wait() == 130
            assert "Traceback" not in said
        with InvokeAIClient(server.url) as client:
            counts = await asyncio.to_thread(client.queue.counts)
            assert counts.pending + counts.in_progress == 0, "cancelled before the process ended"

    run(work())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_http_client_that_dies_leaves_nothing_in_the_queue(server: Server, mode: str) -> None:
    program = """
import asyncio, sys
from tests.live.test_mcp_connections import http_agent

async def report(*progress):
    print("started", flush=True)

async def call():
    async with http_agent(*sys.argv[1:]) as agent:
        await agent.call_tool("color_study_batch", {}, progress_callback=report)

asyncio.run(call())
"""

    async def work() -> None:
        async with over_http(server.url) as (_process, address):
            arguments = ["-c", program, address, mode]
            client = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, cwd=ROOT)
            assert client.stdout is not None
            assert await client.stdout.readline() == b"started\n"
            client.kill()
            await client.wait()
            assert await asyncio.to_thread(newest_status, server.url) == "canceled"

    run(work())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_two_clients_over_http_with_a_token(server_url: str, mode: Any) -> None:
    async def work() -> None:
        async with over_http(server_url) as (_process, address):
            async with httpx2.AsyncClient(timeout=PATIENCE) as anyone:
                for token in (b"let-me-out", "lét-me-in".encode(), b"let-me-i"):
                    wrong = {b"Authorization": b"Bearer " + token}
                    assert (await anyone.post(address, json={}, headers=wrong)).status_code == 401
                elsewhere = {"Authorization": "Bearer let-me-in", "Host": "evil.example"}
                assert (await anyone.post(address, json={}, headers=elsewhere)).status_code in (403, 421)

            async def call(width: int) -> None:
                async with http_agent(address, mode) as agent:
                    assert agent.server_capabilities.tools is not None
                    assert agent.server_capabilities.tools.list_changed
                    result = await agent.call_tool("sunset_poster", {"width": width, "height": 256})
                    assert image_of(result).size == (width, 256), text_of(result)
                    assert "let-me-in" not in str(result)

            await asyncio.gather(call(256), call(320))

    run(work())


def test_the_http_server_ends_with_nothing_in_the_queue(server: Server) -> None:
    async def work() -> None:
        async with over_http(server.url) as (process, address):
            started = Started()

            async def call() -> None:
                async with http_agent(address) as agent:
                    await agent.call_tool("color_study_batch", {}, progress_callback=started)

            calling = asyncio.create_task(call())
            await started.event.wait()
            process.terminate()
            await process.wait()
            await asyncio.gather(calling, return_exceptions=True)
        with InvokeAIClient(server.url) as client:
            counts = await asyncio.to_thread(client.queue.counts)
            assert counts.pending + counts.in_progress == 0, "cancelled before the process ended"

    run(work())


def test_clients_are_notified_when_boards_change(server: Server) -> None:
    async def work() -> None:
        changed = asyncio.Event()

        async def handle(message: Any) -> None:
            if isinstance(message, ToolListChangedNotification):
                changed.set()

        async def choices(agent: Client) -> list[str]:
            tools = {tool.name: tool for tool in (await agent.list_tools(cache_mode="bypass")).tools}
            found: list[str] = tools["sunset_poster"].input_schema["properties"]["poster_board"].get("enum", [])
            return found

        with InvokeAIClient(server.url) as client:
            async with (
                Client(command(server.url), mode="legacy", message_handler=handle) as old,
                Client(command(server.url)) as new,
                new.listen(tools_list_changed=True) as events,
            ):
                assert "For agents" not in await choices(old) + await choices(new)
                board = await asyncio.to_thread(client.boards.create, "For agents")
                try:
                    async for event in events:
                        assert event == ToolsListChanged()
                        if "For agents" in await choices(new):
                            break
                    while "For agents" not in await choices(old):
                        await changed.wait()
                        changed.clear()
                finally:
                    await asyncio.to_thread(client.boards.delete, board.board_id)

    run(work())


def test_previews_for_a_client_that_subscribes(server: Server) -> None:
    async def work() -> None:
        uri = "invokeai://previews/sd15_text_to_image"
        async with Client(command(server.url)) as agent:
            assert uri in {str(resource.uri) for resource in (await agent.list_resources()).resources}
            async with agent.listen(resource_subscriptions=[uri]) as events:
                values = {"steps": 4, "model": "tiny-sd15", "width": 64, "height": 64}
                call = asyncio.create_task(agent.call_tool("sd15_text_to_image", values))
                assert await anext(aiter(events)) == ResourceUpdated(uri)
                (shown,) = (await agent.read_resource(uri)).contents
                assert isinstance(shown, BlobResourceContents)
                assert shown.mime_type == "image/jpeg"
                assert base64.b64decode(shown.blob).startswith(b"\xff\xd8")
                result = await call
                assert not result.is_error, text_of(result)

    run(work())


def test_tools_are_listed_while_the_server_is_away(tmp_path: Path) -> None:
    async def work() -> None:
        url = f"http://127.0.0.1:{free_port()}"
        async with Client(command(url)) as agent:
            assert "sunset_poster" in {tool.name for tool in (await agent.list_tools()).tools}
            failed = await agent.call_tool("sunset_poster", {})
            assert failed.is_error
            assert url in text_of(failed)

    run(work())
