"""Whatever can be awaited can also be called without `await`, with the same parameters."""

import inspect
from typing import Any

import pytest

from invokeai_gen import AsyncJob, ImageOutput, InvokeAIClient, Job, VideoOutput, WorkflowOutputs
from invokeai_gen.server.accounts import Accounts, AsyncAccounts
from invokeai_gen.server.app import App, AsyncApp
from invokeai_gen.server.boards import AsyncBoardHandle, AsyncBoards, BoardHandle, Boards
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.images import AsyncImages, Images
from invokeai_gen.server.models import AsyncModels, Models
from invokeai_gen.server.queue import AsyncQueue, Queue
from invokeai_gen.server.videos import AsyncVideos, Videos
from invokeai_gen.server.workflows import AsyncWorkflows, Workflows

FOR_JOBS = {"of", "run_queue", "follow", "follow_status", "forget", "wait_until", "read_outputs", "post", "ask_soon"}
"""What the asynchronous client has for the jobs alone."""


def parameters(owner: type, name: str) -> list[str]:
    attribute: Any = getattr(owner, name)
    return list(inspect.signature(attribute).parameters) if callable(attribute) else []


@pytest.mark.parametrize(
    ("awaited", "blocking"),
    [
        (AsyncInvokeAIClient, InvokeAIClient),
        (AsyncAccounts, Accounts),
        (AsyncApp, App),
        (AsyncBoards, Boards),
        (AsyncBoardHandle, BoardHandle),
        (AsyncImages, Images),
        (AsyncVideos, Videos),
        (AsyncModels, Models),
        (AsyncQueue, Queue),
        (AsyncWorkflows, Workflows),
        (AsyncJob, Job),
    ],
)
def test_both_clients_have_the_same_methods(awaited: type, blocking: type) -> None:
    names = {name for name in dir(awaited) if not name.startswith("_")} - FOR_JOBS
    assert names <= set(dir(blocking))
    for name in names:
        assert parameters(blocking, name) == parameters(awaited, name), name


@pytest.mark.parametrize("owner", [ImageOutput, VideoOutput, WorkflowOutputs])
def test_an_output_has_a_blocking_twin_for_each_method_to_await(owner: type) -> None:
    awaited = [name for name in dir(owner) if inspect.iscoroutinefunction(getattr(owner, name)) and name[0] == "a"]
    assert len(awaited) >= 4
    for name in awaited:
        assert parameters(owner, name[1:]) == parameters(owner, name)
