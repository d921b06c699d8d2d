"""The parts of a server, as attributes of its client. Each is loaded when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from invokeai_gen.server.http import Transport

if TYPE_CHECKING:
    from invokeai_gen.server.accounts import AsyncAccounts
    from invokeai_gen.server.app import AsyncApp
    from invokeai_gen.server.boards import AsyncBoards
    from invokeai_gen.server.images import AsyncImages
    from invokeai_gen.server.models import AsyncModels
    from invokeai_gen.server.queue import AsyncQueue
    from invokeai_gen.server.videos import AsyncVideos
    from invokeai_gen.server.workflows import AsyncWorkflows


class ClientParts:
    """What `AsyncInvokeAIClient` has besides a run's own part of the queue."""

    _transport: Transport
    _queue_id: str

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
        from invokeai_gen.server.videos import AsyncVideos

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

    @cached_property
    def accounts(self) -> AsyncAccounts:
        """The accounts, on a server that has them."""
        from invokeai_gen.server.accounts import AsyncAccounts

        return AsyncAccounts(self._transport)

    @cached_property
    def app(self) -> AsyncApp:
        """The server itself: version, settings, cache of node results."""
        from invokeai_gen.server.app import AsyncApp

        return AsyncApp(self._transport)
