"""One InvokeAI server as an object, `AsyncInvokeAIClient`, and what it has open until the process ends."""

from __future__ import annotations

import atexit
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from invokeai_gen.server import background
from invokeai_gen.server.address import clean_url
from invokeai_gen.server.answers import anything, mapping
from invokeai_gen.server.background import bridge
from invokeai_gen.server.constants import DEFAULT_URL, EXIT_TIMEOUT
from invokeai_gen.server.credentials import Secret, environment_token
from invokeai_gen.server.errors import InvalidUrlError
from invokeai_gen.server.http import Transport, TransportOptions, import_httpx_alone

if TYPE_CHECKING:
    from invokeai_gen.server.accounts import AsyncAccounts
    from invokeai_gen.server.app import AsyncApp
    from invokeai_gen.server.boards import AsyncBoards
    from invokeai_gen.server.follow import Follower
    from invokeai_gen.server.images import AsyncImages
    from invokeai_gen.server.models import AsyncModels
    from invokeai_gen.server.queue import AsyncQueue
    from invokeai_gen.server.run_queue import RunQueue
    from invokeai_gen.server.status_watch import StatusWatch
    from invokeai_gen.server.videos import AsyncVideos
    from invokeai_gen.server.watch import Watch
    from invokeai_gen.server.workflows import AsyncWorkflows

C = TypeVar("C", bound="_Portable")
_shared: dict[str, AsyncInvokeAIClient] = {}
_open: set[Connections] = set()
"""The connections of all clients in use. Those still open at the end of the process are closed then."""


class ClientOptions(TransportOptions, total=False):
    """The options of a client."""

    queue_id: str
    """The queue that jobs go to; InvokeAI itself only uses `default`."""


class _Portable(ABC):
    """A client that is pickled or copied, without its secrets: a token comes from the environment of the process."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Return the arguments for a client like this one, without any secret."""

    @abstractmethod
    def _part(self, name: str) -> object:
        """Return the part of that name, which a module of the same name has."""

    def __reduce__(self) -> tuple[partial[Self], tuple[()]]:
        return partial(type(self), **self._settings()), ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _known: dict[int, Any]) -> Self:
        return self


class ClientFacade(_Portable):
    """Base of the clients whose methods block; those without asyncio are in `server.blocking`."""

    _core: AsyncInvokeAIClient


def with_parts(cls: type[C]) -> type[C]:
    """Have each part that a class of clients annotates loaded when it is first asked for."""
    for name in cls.__annotations__:
        part = cached_property(partial(cls._part, name=name))
        setattr(cls, name, part)
        part.__set_name__(cls, name)
        part.__doc__ = None  # otherwise `help` prints what a `partial` is
    return cls


@with_parts
class AsyncInvokeAIClient(_Portable):
    """One InvokeAI server. Its methods may be awaited on any event loop, also on several one after another.

    `url` defaults to the environment variable `INVOKEAI_URL`, else to `http://localhost:9090`. `token` defaults to
    `INVOKEAI_TOKEN`, for any address; `token=""` sends no token. For the other options see `ClientOptions`: `timeout`,
    `request_timeout`, `max_retries`, `headers`, `verify`, `proxy`, `unreachable_after`, `queue_id`.

    Nothing is sent before it is needed. Raises `InvalidUrlError`, `InvalidTokenError` and `InvalidHeaderError`.
    """

    boards: AsyncBoards
    """The boards of the gallery."""
    images: AsyncImages
    """The images on the server."""
    videos: AsyncVideos
    """The videos on the server."""
    models: AsyncModels
    """The models that are installed."""
    queue: AsyncQueue
    """The queue: what waits, runs and has run."""
    workflows: AsyncWorkflows
    """The workflow library."""
    accounts: AsyncAccounts
    """The accounts, on a server that has them."""
    app: AsyncApp
    """The server itself: version, settings, cache of node results."""

    def __init__(self, url: str | None = None, **options: Unpack[ClientOptions]) -> None:
        known = ClientOptions.__annotations__
        if unknown := [repr(name) for name in options if name not in known]:
            raise TypeError(f"{type(self).__name__} has no option {', '.join(unknown)}; there are {', '.join(known)}")
        self._queue_id = options.get("queue_id", "default")
        how: dict[str, Any] = {name: value for name, value in options.items() if name != "queue_id"}
        if how.get("token") is None:
            how["token"] = environment_token()
        self._transport = Transport(url or os.environ.get("INVOKEAI_URL") or DEFAULT_URL, **how)
        self._connections = Connections(self._transport, self._queue_id)
        weakref.finalize(self, self._connections.abandon).atexit = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        """Address of the server, without any credentials."""
        return self._transport.url

    @cached_property
    def run_queue(self) -> RunQueue:
        """The part of `queue` that every run needs."""
        from invokeai_gen.server.run_queue import RunQueue

        return RunQueue(self._transport, self._queue_id)

    async def version(self) -> str:
        """Return the version of InvokeAI that the server runs, such as `6.14.2`."""
        return await self.app.version()

    async def openapi(self) -> dict[str, Any]:
        """Return the server's `/openapi.json`, from which modules are generated."""
        return await self._transport.get("/openapi.json", read=mapping)

    async def login(self, email: str, password: str, *, remember: bool = False) -> None:
        """Log in to a server that has accounts; later requests carry the token that the server returns.

        `remember` asks for a token that lives longer. Raises `UnauthorizedError` for a wrong password and
        `ForbiddenError` on a server without accounts.
        """
        password = Secret(password)  # hides it among the variables of a traceback
        await self.accounts.login(email, password, remember=remember)

    async def ask(self, method: str, path: str, *, params: dict[str, Any] | None = None, json: Any = None) -> Any:
        """Send any other request to the server's API, and return the JSON of its answer.

        `path` starts with `/api/`. Raises `InvalidUrlError` for one that might name another host, and the errors of
        every request: `StatusError`, `ConnectionFailedError`, `NotInvokeAIError`.
        """
        if not path.startswith("/"):
            raise InvalidUrlError(f"{path!r} is not a path on a server, which begins with '/'")
        return await self._transport.send(method, path, params=params, json=json, read=anything)

    def _part(self, name: str) -> object:
        kind = getattr(import_module(f"invokeai_gen.server.{name}"), f"Async{name.capitalize()}")
        return kind(self._transport, self._queue_id) if name == "queue" else kind(self._transport)

    def _settings(self) -> dict[str, Any]:
        return {"url": self.url, "queue_id": self._queue_id, **self._transport.options()}

    async def close(self) -> None:
        """Close all connections. Jobs that are being followed end with an error; the server goes on with them."""
        from invokeai_gen.server.other_loops import unbroken

        await unbroken(bridge(self._connections.close()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def follow(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool = True) -> Watch:
        """Begin to follow a batch that is about to be enqueued. `labels` maps node ids to what the GUI shows."""
        following = self._connections.follow(batch_id, labels, keeps_events=keeps_events)
        return await bridge(following, undo=self._connections.forget)

    async def follow_status(self, batch_id: str) -> StatusWatch:
        """Begin to follow a batch whose end is all that matters."""
        return await bridge(self._connections.follow_status(batch_id), undo=self._connections.forget)

    async def forget(self, watch: StatusWatch) -> None:
        """Stop following a batch."""
        await bridge(self._connections.forget(watch))

    async def ask_soon(self) -> None:
        """Ask for everything that is followed: something may have changed that no event reports."""
        await bridge(self._connections.ask_soon())


def preload() -> None:
    """Import what every request needs: done while a request waits, it would block an event loop."""
    import_httpx_alone()
    for name in ("invokeai_gen.server.response", "invokeai_gen.server.follow"):
        import_module(name)


def shared_client(url: str | None = None) -> AsyncInvokeAIClient:
    """Return the client that is used if none is given: one for each address, shared by the whole process.

    The address is `url`, else `INVOKEAI_URL`, else `http://localhost:9090`. It is closed when the process ends.
    """
    address = clean_url(url or os.environ.get("INVOKEAI_URL") or DEFAULT_URL)
    # If two threads come here at once, both get the client of the first.
    return _shared.get(address) or _shared.setdefault(address, AsyncInvokeAIClient(address))


def core_of(client: ClientFacade | AsyncInvokeAIClient | None) -> AsyncInvokeAIClient:
    """Return the asynchronous client behind a client; the shared one for `None`. Raise `TypeError` for anything else."""
    if isinstance(client, AsyncInvokeAIClient):
        return client
    if client is not None and not isinstance(client, ClientFacade):
        raise TypeError(f"client should be an InvokeAIClient, not {client!r}; make one with InvokeAIClient(url)")
    return client._core if client is not None else shared_client()


class Connections:
    """What one client has open, apart from it so that it can be closed after the client is gone."""

    def __init__(self, transport: Transport, queue_id: str) -> None:
        self.transport = transport
        self._queue_id = queue_id
        self._follower: Follower | None = None
        _open.add(self)

    @property
    def are_open(self) -> bool:
        """Whether there is anything to close."""
        return self._follower is not None or self.transport.is_open

    @property
    def is_silent(self) -> bool:
        """Whether the server failed to answer when it was last asked about what is followed."""
        return self._follower is not None and self._follower._silent_since is not None

    async def follow(self, batch_id: str, labels: Mapping[str, str], *, keeps_events: bool) -> Watch:
        """Begin to follow a batch with its events."""
        return await self.follower().watch(batch_id, labels, keeps_events=keeps_events)

    async def follow_status(self, batch_id: str) -> StatusWatch:
        """Begin to follow a batch to its end."""
        return self.follower().watch_status(batch_id)

    def follower(self) -> Follower:
        """Return what follows all batches of the client."""
        if self._follower is None:
            from invokeai_gen.server.follow import Follower
            from invokeai_gen.server.run_queue import RunQueue

            self._follower = Follower(self.transport, RunQueue(self.transport, self._queue_id))
        return self._follower

    async def forget(self, watch: StatusWatch) -> None:
        """Stop following a batch."""
        if self._follower is not None:
            self._follower.forget(watch)

    async def ask_soon(self) -> None:
        """Ask for everything that is followed."""
        if self._follower is not None:
            self._follower.ask_soon()

    async def close(self) -> None:
        """Close everything; the next request opens new connections."""
        follower, self._follower = self._follower, None
        if follower is not None:
            await follower.close()
        await self.transport.close()

    def abandon(self) -> None:
        """Close soon, without waiting: called when Python collects the client, on any thread."""
        _open.discard(self)
        if self.are_open:
            import asyncio

            asyncio.run_coroutine_threadsafe(self.close(), background.loop())

    def leave_to_parent(self) -> None:
        """Forget what is open without closing it: in a forked child it still belongs to the parent."""
        background.disown((self._follower, self.transport.abandon()))
        self._follower = None


def _after_fork() -> None:
    for connections in _open:
        connections.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _close_all() -> None:
    """Leave no connection open, so that neither side complains."""
    left = [each for each in _open if each.are_open]
    if left:
        import asyncio
        import concurrent.futures

        closing = [asyncio.run_coroutine_threadsafe(each.close(), background.loop()) for each in left]
        concurrent.futures.wait(closing, EXIT_TIMEOUT)
