"""The models that are installed on a server."""

from __future__ import annotations

import builtins
import time
from typing import Final

from invokeai_gen.server.background import facade
from invokeai_gen.server.http import Transport, segment
from invokeai_gen.server.records import Model

MEMORY: Final = 30.0


class AsyncModels:
    """The models of one server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._memory: tuple[float, builtins.list[Model]] | None = None

    async def list(self, *, base: str | None = None, type: str | None = None) -> builtins.list[Model]:
        """All installed models, or those of one base (`sdxl` …) and type (`main` …)."""
        answer = await self._transport.get("/api/v2/models/", {"base_models": base, "model_type": type})
        return [Model.of(item) for item in answer["models"]]

    async def known(self) -> builtins.list[Model]:
        """All installed models as they were not more than `MEMORY` seconds ago."""
        if self._memory is None or time.monotonic() - self._memory[0] > MEMORY:
            return await self.sync()
        return self._memory[1]

    async def sync(self) -> builtins.list[Model]:
        """All installed models as they are now, which is what `known` then remembers."""
        self._memory = time.monotonic(), await self.list()
        return self._memory[1]

    async def get(self, key: str) -> Model:
        """The model of that key. Raises `NotFoundError`."""
        return Model.of(await self._transport.get(f"/api/v2/models/i/{segment(key)}"))

    async def find(self, name: str, *, base: str | None = None, type: str | None = None) -> builtins.list[Model]:
        """The models that have exactly this name: none, one or several."""
        return [model for model in await self.list(base=base, type=type) if model.name == name]


class Models:
    """The models of one server."""

    def __init__(self, core: AsyncModels) -> None:
        self._core = core

    list = facade(AsyncModels.list)
    get = facade(AsyncModels.get)
    find = facade(AsyncModels.find)
    known = facade(AsyncModels.known)
    sync = facade(AsyncModels.sync)
