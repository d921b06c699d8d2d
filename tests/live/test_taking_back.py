"""A test that leaves items in the queue does not make the next one wait for them."""

from __future__ import annotations

from generated import sunset_poster as wf
from invokeai_gen import InvokeAIClient
from tests.server import Server


def test_what_waits_and_runs_can_be_taken_back(server: Server) -> None:
    with InvokeAIClient(server.url) as client:
        job = wf.submit(wf.Params(), client=client, runs=30)
        server.take_back()
        statuses = [item.status for item in job.items()]
        assert "canceled" in statuses
        assert set(statuses) <= {"completed", "canceled"}
        assert wf.run(wf.Params(), client=client).images
