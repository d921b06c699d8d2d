"""One InvokeAI server for programs without asyncio: `ServerClient`, whose methods block."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, Unpack

from invokeai_gen.server.client import AsyncInvokeAIClient, ClientFacade, ClientOptions, with_parts
from invokeai_gen.server.facades import facade

if TYPE_CHECKING:
    from invokeai_gen.server.accounts import Accounts
    from invokeai_gen.server.app import App
    from invokeai_gen.server.boards import Boards
    from invokeai_gen.server.images import Images
    from invokeai_gen.server.models import Models
    from invokeai_gen.server.queue import Queue
    from invokeai_gen.server.videos import Videos
    from invokeai_gen.server.workflows import Workflows


@with_parts
class ServerClient(ClientFacade):
    """One InvokeAI server. `InvokeAIClient` adds workflows that are opened without generating.

    May be used from several threads at once, and in a forked process, which opens connections of its own. Takes the
    arguments of `AsyncInvokeAIClient` and raises the same errors.
    """

    boards: Boards
    """The boards of the gallery."""
    images: Images
    """The images on the server."""
    videos: Videos
    """The videos on the server."""
    models: Models
    """The models that are installed."""
    queue: Queue
    """The queue: what waits, runs and has run."""
    workflows: Workflows
    """The workflow library."""
    accounts: Accounts
    """The accounts, on a server that has them."""
    app: App
    """The server itself: version, settings, cache of node results."""

    def __init__(self, url: str | None = None, **options: Unpack[ClientOptions]) -> None:
        self._core = AsyncInvokeAIClient(url, **options)

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

    def _part(self, name: str) -> object:
        kind = getattr(import_module(f"invokeai_gen.server.{name}"), name.capitalize())
        return kind(getattr(self._core, name))

    def _settings(self) -> dict[str, Any]:
        return self._core._settings()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    login = facade(AsyncInvokeAIClient.login)
    version = facade(AsyncInvokeAIClient.version)
    openapi = facade(AsyncInvokeAIClient.openapi)
    ask = facade(AsyncInvokeAIClient.ask)
    close = facade(AsyncInvokeAIClient.close)
