"""The fake server of `invokeai_gen.testing` and a real one are used alike by the same program."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx

from generated import sunset_poster as wf
from invokeai_gen import InvokeAIClient, InvokeAIGenError
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.server.blocking import ServerClient
from invokeai_gen.server.events import InvocationProgress, StatusChanged
from invokeai_gen.testing import FakeInvokeAI
from tests import plans
from tests.live.test_runtime_cleanup import png

TIME = 120.0


class Recorder(httpx.AsyncBaseTransport):
    """Passes requests on to the network, and keeps method and path of each."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._below = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        return await self._below.handle_async_request(request)

    async def aclose(self) -> None:
        await self._below.aclose()


def observed(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error that it raises, without what is random."""
    try:
        found = call()
    except InvokeAIGenError as error:
        return type(error).__name__, re.sub(
            r"queue items? [\d, ]+", "queue item N", str(error).split(" This server")[0]
        )
    return found


def program(client: ServerClient) -> list[Any]:
    """A small program, and everything that it can observe."""
    seen: list[Any] = []
    with wf.submit(wf.Params(width=256, height=256), client=client) as job:  # type: ignore[arg-type]
        seen += [
            (type(event).__name__, event.status if isinstance(event, StatusChanged) else event.node_label)
            for event in job.events()
            if not isinstance(event, InvocationProgress)
        ]
        out = job.outputs(timeout=TIME)
    seen.append((out.poster.size, sorted(out.user_outputs)))
    done = plans.resize().run(
        plans.ResizeParams(picture=png("teal")), client=client, timeout=TIME, cleanup=("inputs", "queue_items")
    )
    assert done.cleanup is not None
    seen.append((len(done.cleanup.deleted), dict(done.cleanup.failed)))
    batch: WorkflowParams = plans.BatchParams(widths=[16, 24])
    seen.append(observed(lambda: plans.batched().run(batch, client=client)))  # type: ignore[arg-type]
    seen.append([o.input_values for o in plans.batched().run_all(batch, client=client, timeout=TIME)])  # type: ignore[arg-type]
    seen.append(observed(lambda: wf.run(wf.Params(poster_board="No such board"), client=client)))  # type: ignore[arg-type]
    seen.append(observed(lambda: plans.picture().run(plans.PictureParams(board="none"), client=client).item_id > 0))
    return seen


def told(calls: list[str]) -> list[str]:
    """The requests that change something, and each kind of question; how often the client polls is a matter of time."""
    named = [re.sub(r"/(i|b|d)/[^/]+", r"/\1/…", call) for call in calls]
    return [call for call in named if not call.startswith("GET")] + sorted(
        {call for call in named if call.startswith("GET") and "/status" not in call}
    )


def test_the_same_program_observes_and_asks_the_same(server_url: str) -> None:
    recorder = Recorder()
    with InvokeAIClient(server_url, http_backend=recorder) as client:
        real = program(client)
    with FakeInvokeAI() as fake:
        fake.returns(poster=(256, 256))
        imagined = program(fake.client)
    kinds = [sorted(map(str, seen[: len(real) - 6])) for seen in (real, imagined)]
    assert kinds[0] == kinds[1], "the same events; nodes that do not depend on each other may run in any order"
    assert imagined[-6:] == real[-6:]
    assert told(fake.calls) == told(recorder.calls)
