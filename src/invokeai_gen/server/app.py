"""The server itself: its version, its settings and its cache of node results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from invokeai_gen.server.answers import at, ignored, mapping, text
from invokeai_gen.server.facades import AsyncPart, Facade, facade
from invokeai_gen.server.records import ServerRecord

_CACHE = "/api/v1/app/invocation_cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus(ServerRecord):
    """The server's cache of node results."""

    size: int
    """Results in the cache."""
    max_size: int
    hits: int
    misses: int
    enabled: bool


class AsyncApp(AsyncPart):
    """The InvokeAI application that runs on a server."""

    async def version(self) -> str:
        """Return the version of InvokeAI, such as `6.14.2`."""
        return await self._transport.get("/api/v1/app/version", read=at("version", text))

    async def config(self) -> dict[str, Any]:
        """Return the settings that the server runs with, by the names of its invokeai.yaml."""
        return await self._transport.get("/api/v1/app/runtime_config", read=at("config", mapping))

    async def dependencies(self) -> dict[str, Any]:
        """Return the versions of the libraries that the server uses, such as torch."""
        return await self._transport.get("/api/v1/app/app_deps", read=mapping)

    async def cache_status(self) -> CacheStatus:
        """Return how full the cache of node results is, and its hits and misses."""
        return await self._transport.get(f"{_CACHE}/status", read=CacheStatus.of)

    async def clear_cache(self) -> None:
        """Forget all cached node results, so that every node runs again. Images stay."""
        await self._transport.send("DELETE", _CACHE, read=ignored)

    async def enable_cache(self, *, enabled: bool = True) -> None:
        """Switch the cache of node results on or off, for everybody who uses the server, until it is restarted."""
        await self._transport.send("PUT", f"{_CACHE}/{'enable' if enabled else 'disable'}", read=ignored)


class App(Facade[AsyncApp]):
    """The InvokeAI application that runs on a server."""

    version = facade(AsyncApp.version)
    config = facade(AsyncApp.config)
    dependencies = facade(AsyncApp.dependencies)
    cache_status = facade(AsyncApp.cache_status)
    clear_cache = facade(AsyncApp.clear_cache)
    enable_cache = facade(AsyncApp.enable_cache)
