"""The models and boards of the server, as far as tools name them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final, TypeAlias

from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import ServerError
from invokeai_gen.server.inventory import Board, Model

MAX_AGE: Final = 5.0
"""Seconds for which an answer of the server is taken as it was."""
Assets: TypeAlias = tuple[Sequence[Model], Sequence[Board]]


class ServerAssets:
    """Fetches models and boards, once for all who ask within `MAX_AGE`."""

    def __init__(self, client: AsyncInvokeAIClient) -> None:
        self._client = client
        self._known: Assets = ((), ())
        self._fetched = -MAX_AGE
        self._lock = asyncio.Lock()

    async def fetch(self) -> Assets:
        """Return the models and boards. While the server is away, return those it had before."""
        async with self._lock:
            if time.monotonic() - self._fetched >= MAX_AGE:
                with contextlib.suppress(ServerError):
                    self._known = await self._client.models.list(), await self._client.boards.list()
                self._fetched = time.monotonic()
            return self._known
