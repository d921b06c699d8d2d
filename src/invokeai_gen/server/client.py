"""One InvokeAI server as an object: `AsyncInvokeAIClient`, and `ServerClient`, whose methods block instead."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

from invokeai_gen.server import background
from invokeai_gen.server.background import bridge, facade
from invokeai_gen.server.credentials import Secret
from invokeai_gen.server.http import DEFAULT_URL, READ_TIMEOUT, Backend, Transport, clean_url, public_url

if TYPE_CHECKING:
    from invokeai_gen.server.boards import AsyncBoards, Boards
    from invokeai_gen.server.follow import Follower, Watch
    from invokeai_gen.server.images import AsyncImages, AsyncVideos, Images, Videos
    from invokeai_gen.server.models import AsyncModels, Models
    from invokeai_gen.server.queue import AsyncQueue, Queue
    from invokeai_gen.server.workflows import AsyncWorkflows, Workflows

_open: set[_Connections] = set()
"""Of every client that is still in use; what is left at the end of the process is closed then."""
_shared: dict[tuple[int, str], AsyncInvokeAIClient] = {}
_sharing = threading.Lock()


class _Connections:
    """What a client has open, apart from it so that it can be closed after the client is gone."""

    def __init__(self, transport: Transport, queue_id: str) -> None:
        self.transport = transport
        self._queue_id = queue_id
        self._follower: Follower | None = None

    @property
    def are_open(self) -> bool:
        return self._follower is not None or self.transport.is_open

    async def follow(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool) -> Watch:
        if self._follower is None:
            from invokeai_gen.server.follow import Follower
            from invokeai_gen.server.queue import AsyncQueue

            self._follower = Follower(self.transport, AsyncQueue(self.transport, self._queue_id))
        return await self._follower.watch(batch_id, labels, keeps_events=keeps_events)

    async def forget(self, watch: Watch) -> None:
        if self._follower is not None:
            self._follower.forget(watch)

    async def close(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            await follower.close()
        await self.transport.close()

    def abandon(self) -> None:
        """Closes soon, without waiting for it: called wherever Python finds that nobody uses the client any more."""
        _open.discard(self)
        if self.are_open:
            import asyncio

            asyncio.run_coroutine_threadsafe(self.close(), background.loop())


class _Portable(ABC):
    """A client that another process gets, or a file, has the address and the settings, but no token and no password."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What a client like this one is made with."""

    def __reduce__(self) -> tuple[partial[Self], tuple[()]]:
        return partial(type(self), **self._settings()), ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _known: dict[int, Any]) -> Self:
        return self


class AsyncInvokeAIClient(_Portable):
    """One InvokeAI server. Its methods may be awaited on any event loop, also on several one after another.

    `url` defaults to the environment variable `INVOKEAI_URL`, else to `http://localhost:9090`; `token` to
    `INVOKEAI_TOKEN`. `timeout` is how long, in seconds, the server may be silent during one request. Nothing is sent
    before it is needed.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = READ_TIMEOUT,
        queue_id: str = "default",
        http_backend: Backend | None = None,
    ) -> None:
        self._queue_id = queue_id
        self._transport = Transport(
            url or os.environ.get("INVOKEAI_URL") or DEFAULT_URL,
            token=token or os.environ.get("INVOKEAI_TOKEN") or None,
            timeout=timeout,
            backend=http_backend,
        )
        self._connections = _Connections(self._transport, queue_id)
        _open.add(self._connections)
        weakref.finalize(self, self._connections.abandon).atexit = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        """Address of the server, without any credentials."""
        return public_url(self._transport.url)

    # Each is loaded when it is first asked for: importing all of them takes longer than everything else here.

    @cached_property
    def boards(self) -> AsyncBoards:
        """The boards of the gallery."""
        from invokeai_gen.server.boards import AsyncBoards

        return AsyncBoards(self._transport)

    @cached_property
    def images(self) -> AsyncImages:
        """The images on the server."""
        from invokeai_gen.server.images import AsyncImages

        return AsyncImages(self._transport)

    @cached_property
    def videos(self) -> AsyncVideos:
        """The videos on the server."""
        from invokeai_gen.server.images import AsyncVideos

        return AsyncVideos(self._transport)

    @cached_property
    def models(self) -> AsyncModels:
        """The models that are installed."""
        from invokeai_gen.server.models import AsyncModels

        return AsyncModels(self._transport)

    @cached_property
    def queue(self) -> AsyncQueue:
        """The queue: what waits, runs and has run."""
        from invokeai_gen.server.queue import AsyncQueue

        return AsyncQueue(self._transport, self._queue_id)

    @cached_property
    def workflows(self) -> AsyncWorkflows:
        """The workflow library."""
        from invokeai_gen.server.workflows import AsyncWorkflows

        return AsyncWorkflows(self._transport)

    async def version(self) -> str:
        """Version of InvokeAI that runs there, such as `6.14.2`."""
        return str((await self._transport.get("/api/v1/app/version"))["version"])

    async def openapi(self) -> dict[str, Any]:
        """The server's `/openapi.json`, from which modules are generated."""
        answer: dict[str, Any] = await self._transport.get("/openapi.json")
        return answer

    async def login(self, email: str, password: str, *, remember: bool = False) -> None:
        """Logs in to a server that has accounts; later requests carry the token it gives.

        `remember` asks for a token that lives longer. Raises `UnauthorizedError` for a wrong password and
        `ForbiddenError` on a server without accounts.
        """
        password = Secret(password)
        body = {"email": email, "password": password, "remember_me": remember}
        self._transport.token = (await self._transport.send("POST", "/api/v1/auth/login", json=body))["token"]

    async def ask(self, method: str, path: str, *, params: dict[str, Any] | None = None, json: Any = None) -> Any:
        """JSON of any other request to the server's API, for what has no method of its own."""
        if method == "GET":
            return await self._transport.get(path, params)
        return await self._transport.send(method, path, params=params, json=json)

    def _settings(self) -> dict[str, Any]:
        given = self._transport
        return {"url": given.url, "timeout": given.timeout, "queue_id": self._queue_id, "http_backend": given.backend}

    async def close(self) -> None:
        """Closes all connections. Jobs that are being followed end with an error; the server goes on with them."""
        await bridge(self._connections.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def follow(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> Watch:
        """Begins to follow a batch that is about to be enqueued. `labels`: what to call which node."""
        return await bridge(self._connections.follow(batch_id, labels, keeps_events=keeps_events))

    async def forget(self, watch: Watch) -> None:
        """Stops following a batch."""
        await bridge(self._connections.forget(watch))


class ServerClient(_Portable):
    """One InvokeAI server, as far as HTTP goes. `InvokeAIClient` adds workflows that are opened without generating.

    May be used from several threads at once.

    `url` defaults to the environment variable `INVOKEAI_URL`, else to `http://localhost:9090`; `token` to
    `INVOKEAI_TOKEN`. `timeout` is how long, in seconds, the server may be silent during one request. Nothing is sent
    before it is needed.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = READ_TIMEOUT,
        queue_id: str = "default",
        http_backend: Backend | None = None,
    ) -> None:
        self._core = AsyncInvokeAIClient(
            url, token=token, timeout=timeout, queue_id=queue_id, http_backend=http_backend
        )

    @classmethod
    def around(cls, core: AsyncInvokeAIClient) -> Self:
        """Return a client that shares the connections of an asynchronous one."""
        made = cls.__new__(cls)
        made._core = core
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        """Address of the server, without any credentials."""
        return self._core.url

    @cached_property
    def boards(self) -> Boards:
        """The boards of the gallery."""
        from invokeai_gen.server.boards import Boards

        return Boards(self._core.boards)

    @cached_property
    def images(self) -> Images:
        """The images on the server."""
        from invokeai_gen.server.images import Images

        return Images(self._core.images)

    @cached_property
    def videos(self) -> Videos:
        """The videos on the server."""
        from invokeai_gen.server.images import Videos

        return Videos(self._core.videos)

    @cached_property
    def models(self) -> Models:
        """The models that are installed."""
        from invokeai_gen.server.models import Models

        return Models(self._core.models)

    @cached_property
    def queue(self) -> Queue:
        """The queue: what waits, runs and has run."""
        from invokeai_gen.server.queue import Queue

        return Queue(self._core.queue)

    @cached_property
    def workflows(self) -> Workflows:
        """The workflow library."""
        from invokeai_gen.server.workflows import Workflows

        return Workflows(self._core.workflows)

    def _settings(self) -> dict[str, Any]:
        return self._core._settings()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def login(self, email: str, password: str, *, remember: bool = False) -> None:
        """Logs in to a server that has accounts; later requests carry the token it gives.

        `remember` asks for a token that lives longer. Raises `UnauthorizedError` for a wrong password and
        `ForbiddenError` on a server without accounts.
        """
        password = Secret(password)
        background.run(self._core.login(email, password, remember=remember))

    version = facade(AsyncInvokeAIClient.version)
    openapi = facade(AsyncInvokeAIClient.openapi)
    ask = facade(AsyncInvokeAIClient.ask)
    close = facade(AsyncInvokeAIClient.close)


def preload() -> None:
    """Import what requests and the event connection need: done while a request waits, it would block an event loop."""
    import importlib

    for name in ("httpx", "tenacity", "aiohttp", "socketio", "invokeai_gen.server.follow"):
        importlib.import_module(name)


def shared_client(url: str | None = None) -> AsyncInvokeAIClient:
    """Return the client that everything in this process shares which names no other; there is one for each address.

    The address is `url`, else `INVOKEAI_URL`, else `http://localhost:9090`. It is closed when the process ends.
    """
    address = clean_url(url or os.environ.get("INVOKEAI_URL") or DEFAULT_URL)
    key = (os.getpid(), address)
    with _sharing:
        if key not in _shared:
            _shared[key] = AsyncInvokeAIClient(address)
        return _shared[key]


def core_of(client: ServerClient | AsyncInvokeAIClient | None) -> AsyncInvokeAIClient:
    """Return the asynchronous client behind a client; the shared one for `None`. Raise `TypeError` for anything else."""
    if isinstance(client, AsyncInvokeAIClient):
        return client
    if client is not None and not isinstance(client, ServerClient):
        raise TypeError(f"client should be an InvokeAIClient, not {client!r}; make one with InvokeAIClient(url)")
    return client._core if client is not None else shared_client()


@atexit.register
def _close_all() -> None:
    """Leaves no connection open, so that neither side complains."""
    left = [each for each in _open if each.are_open]
    if left:
        background.run(_close_each(left))


async def _close_each(connections: list[_Connections]) -> None:
    import asyncio

    await asyncio.gather(*(each.close() for each in connections), return_exceptions=True)
