"""Many images as one ZIP file that the server makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from socketio.exceptions import SocketIOError  # type: ignore[import-untyped]

from invokeai_gen.server.answers import at, text
from invokeai_gen.server.errors import ConnectionFailedError, RequestTimeoutError, ServerError
from invokeai_gen.server.event_connection import event_connection
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.transfers import download
from invokeai_gen.texts import plain


async def download_zip(transport: Transport, target: Path, asked: dict[str, Any], timeout: float) -> int:
    """Have the server make the ZIP file that is asked for, save it, and return its size in bytes.

    The server's event is waited for, as the GUI does: asked before, the server sends as much of the file as it has
    written so far, and then deletes it.
    """
    try:
        async with event_connection(transport, "bulk_download", "default") as events:
            name = await transport.send(
                "POST", "/api/v1/images/download", json=asked, read=at("bulk_download_item_name", text)
            )
            try:
                async with asyncio.timeout(timeout):
                    await _made(name, events)
            except TimeoutError:
                raise RequestTimeoutError(f"the server did not make the ZIP file within {timeout:g} s") from None
    except (SocketIOError, aiohttp.ClientError, OSError) as error:
        raise ConnectionFailedError(
            "the server's events, which say when the ZIP file is complete, cannot be received "
            f"({type(error).__name__}); download the images one by one"
        ) from error
    return await download(transport, f"/api/v1/images/download/{segment(name)}", target)


async def _made(name: str, events: AsyncIterator[tuple[str, Any]]) -> None:
    """Wait until the ZIP file of that name is complete. Raises if it cannot be made or the connection is lost."""
    async for event, data in events:
        if not isinstance(data, dict) or data.get("bulk_download_item_name") != name:
            continue
        if event == "bulk_download_complete":
            return
        if event == "bulk_download_error":
            reason = plain(data.get("error"))
            raise ServerError(f"the server could not make the ZIP file: {reason}")
    raise ConnectionFailedError("the connection was lost while the server made the ZIP file")
