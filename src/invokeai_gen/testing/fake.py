"""`FakeInvokeAI`: the real client in front of a fake server, with scripted results."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from typing import Any, Final, Self
from unittest import mock

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.runtime.runner import Runner
from invokeai_gen.server import client as clients
from invokeai_gen.server.blocking import ServerClient
from invokeai_gen.server.client import AsyncInvokeAIClient, Connections
from invokeai_gen.server.event_link import EventLink
from invokeai_gen.server.follow import Follower
from invokeai_gen.sweeps import many_runs
from invokeai_gen.sweeps.space import Space
from invokeai_gen.testing.outcomes import Run, ScriptedRun
from invokeai_gen.testing.server import FakeServer, Submission, submission

URL: Final = "http://invokeai.test"


class _Link(EventLink):
    """Passes on the events of the fake server instead of opening a connection."""

    server: FakeServer

    async def _connection(self) -> None:
        self.server.listeners.add(self._receive)
        try:
            self._note_connection()
            await asyncio.Event().wait()
        finally:
            self.server.listeners.discard(self._receive)


class _Connections(Connections):
    server: FakeServer

    def follower(self) -> Follower:
        follower = super().follower()
        if follower._link is None:
            follower._link = link = _Link(self.transport, "default", follower._receive, follower._note_link)
            link.server = self.server
        return follower


class FakeInvokeAI:
    """A server for tests: what it returns is scripted, and what was run on it is recorded.

    Use it as a context manager, or as the pytest fixture `invokeai`. Inside, programs that name no client and no
    server run against it; `client` is for those that take one.
    """

    def __init__(self) -> None:
        self._server = FakeServer()
        core = AsyncInvokeAIClient(URL, http_backend=self._server)
        core._connections = _Connections(core._transport, "default")
        core._connections.server = self._server
        self._core = core
        self._patches = ExitStack()

    @property
    def client(self) -> ServerClient:
        """A client of the fake server."""
        return ServerClient.around(self._core)

    @property
    def async_client(self) -> AsyncInvokeAIClient:
        """An asynchronous client of the fake server."""
        return self._core

    @property
    def runs(self) -> list[Run]:
        """Every queue item that was submitted, in order."""
        return self._server.runs

    @property
    def calls(self) -> list[str]:
        """Method and path of each request, such as `POST /api/v1/queue/default/enqueue_batch`."""
        return self._server.calls

    def returns(self, *, progress: tuple[float, ...] = (), **outputs: Any) -> None:
        """Script the next run: outputs by name; called again, the run after it. The last one repeats.

        An image is a Pillow image, bytes, a path, or its size, such as `(64, 64)`; a number or text is itself; any other
        result is a dict of its fields. Behind an `iterate` node, give a list. Outputs that are not named return grey
        images, zeros and empty texts; the run fails if it has no output of a name. Each node reports `progress`, from 0
        to 1, while it works.
        """
        self._server.outcomes.append(ScriptedRun(outputs, progress=progress))

    def fails(self, message: str, *, error_type: str = "RuntimeError", node: str | None = None) -> None:
        """Script the next run: a node fails, the first one unless `node` is the label of another."""
        self._server.outcomes.append(ScriptedRun(error=(error_type, message, node)))

    def hangs(self) -> None:
        """Script the next run: it does not end until it is cancelled."""
        self._server.outcomes.append(ScriptedRun(hangs=True))

    def has_model(self, name: str, *, base: str, type: str = "main", key: str = "", hash: str = "") -> None:
        """Install a model. Those that the workflow itself refers to are installed already."""
        key = key or f"key of {name}"
        model = {"key": key, "hash": hash or f"hash of {name}", "name": name, "base": base, "type": type}
        self._server.models[key] = model

    def has_board(self, name: str, board_id: str = "") -> None:
        """Create a board. Those that the workflow itself refers to exist already."""
        self._server.boards[board_id or f"id of {name}"] = name

    def has_image(self, name: str, image: Any = None) -> None:
        """Store an image under a name. Those that the workflow itself refers to exist already."""
        self._server.store(image, name=name)

    def __enter__(self) -> Self:
        for patch in (
            mock.patch.dict(os.environ, {"INVOKEAI_URL": URL}),
            mock.patch.dict(clients._shared, {URL: self._core}),
            mock.patch.object(Runner, "start", _announced(Runner.start)),
            mock.patch.object(many_runs, "start", _announced(many_runs.start)),
        ):
            self._patches.enter_context(patch)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._patches.close()
        self.client.close()


def _announced(method: Any) -> Any:
    """Return a method that lets the fake server know what it is about to submit."""

    async def call(workflow: Any, values: WorkflowParams | Space[Any], *args: Any, **options: Any) -> Any:
        token = submission.set(Submission(workflow.plan, values))
        try:
            return await method(workflow, values, *args, **options)
        finally:
            submission.reset(token)

    return call
