"""One Socket.IO connection to a server, over which it sends its events.

Everything here runs on the background loop. Importing this takes long, because of the libraries.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import socketio  # type: ignore[import-untyped]
from socketio.exceptions import SocketIOError  # type: ignore[import-untyped]

from invokeai_gen.server import constants
from invokeai_gen.server.errors import ConnectionFailedError
from invokeai_gen.server.http import Transport

_SILENT: Final = logging.Logger("invokeai_gen.socketio", logging.CRITICAL + 1)  # noqa: LOG001 - no set-up may find it
"""For libraries that would log what they send: no logging set-up makes it print anything."""

FAULTS: Final = (SocketIOError, aiohttp.ClientError, OSError)
"""What is raised if no connection can be made."""


@asynccontextmanager
async def event_connection(
    transport: Transport, room: str, key: str
) -> AsyncIterator[AsyncGenerator[tuple[str, Any], None]]:
    """Connect, enter one of the server's rooms, and yield its events as name and data, until the connection ends.

    `room` is `queue` or `bulk_download`, and `key` the id of the one to enter. No event of what is requested after this
    is missed. Raises one of `FAULTS` if no connection can be made.
    """
    received: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()

    async def receive(name: str, data: Any = None) -> None:
        received.put_nowait((name, data))

    async def leave(*_reason: Any) -> None:
        received.put_nowait(None)

    parts = urlsplit(transport.url)
    token, proxy = transport.token, transport.used_proxy()
    watched = aiohttp.TraceConfig()
    watched.on_request_redirect.append(_stay_here)
    connector = aiohttp.TCPConnector(ssl=transport.tls() if parts.scheme == "https" else True)
    async with aiohttp.ClientSession(connector=connector, trace_configs=[watched]) as session:
        silent: Any = _SILENT  # the annotation of python-socketio forgets loggers
        client = socketio.AsyncClient(
            reconnection=False,
            logger=silent,
            engineio_logger=silent,
            handle_sigint=False,
            http_session=session,
            websocket_extra_options={"proxy": proxy} if proxy else {},
        )
        client.on("*", receive)
        client.on("disconnect", leave)
        try:
            async with asyncio.timeout(constants.SOCKET_TIMEOUT):
                await client.connect(
                    f"{parts.scheme}://{parts.netloc}",
                    headers=transport.headers,
                    auth={"token": token} if token else None,
                    transports=["websocket"],
                    socketio_path=f"{parts.path}/ws/socket.io",
                    wait_timeout=constants.SOCKET_TIMEOUT,
                )
                # Waits until the server has worked on it, so that no event of what is requested next is lost.
                await client.call(f"subscribe_{room}", {f"{room}_id": key}, timeout=constants.SOCKET_TIMEOUT)
            yield _until_none(received)
        finally:
            await client.shutdown()


async def _until_none(received: asyncio.Queue[tuple[str, Any] | None]) -> AsyncGenerator[tuple[str, Any], None]:
    while (event := await received.get()) is not None:
        yield event


async def _stay_here(*_about: object) -> None:
    """Refuse redirects: the other host would be sent the token as soon as its event connection stands."""
    raise ConnectionFailedError("event connections do not follow redirects")
