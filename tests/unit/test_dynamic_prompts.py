"""Prompts with choices that a server expands for a sweep, and what it may answer instead."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from invokeai_gen import AsyncInvokeAIClient
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.sweeps.dynamic_prompts import DynamicPrompts, expand
from tests import plans


def expanded(answer: Any, dynamic: DynamicPrompts) -> tuple[Any, Any]:
    """Return the values of a sweep, and what the server was asked."""
    asked: list[Any] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json=answer)

    client = AsyncInvokeAIClient("http://server", http_backend=httpx.MockTransport(server))
    return asyncio.run(expand(plans.TextToImageParams, {"prompt": dynamic, "steps": [1, 2]}, client)), asked[0]


def test_a_sweep_goes_over_the_prompts_that_the_server_makes() -> None:
    values, asked = expanded({"prompts": ["a b", "a c"], "error": None}, DynamicPrompts("a {b|c}", max_prompts=2))
    assert values == {"prompt": ["a b", "a c"], "steps": [1, 2]}
    assert asked == {"prompt": "a {b|c}", "max_prompts": 3, "combinatorial": True}
    random = DynamicPrompts("a {b|c}", max_prompts=2, combinatorial=False, seed=7)
    values, asked = expanded({"prompts": ["a b", "a b"]}, random)
    assert values["prompt"] == ["a b", "a b"]
    assert asked == {"prompt": "a {b|c}", "max_prompts": 2, "combinatorial": False, "seed": 7}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"prompts": ["a {b"], "error": "unbalanced braces"}, "unbalanced braces"),
        ({"prompts": None}, "it gave no prompts"),
        ({}, "it gave no prompts"),
        (["a b"], "it gave no prompts"),
        ({"prompts": ["a b", "a c", "a d"]}, "makes more than 2 prompts, the limit: allow more"),
    ],
)
def test_prompts_that_a_server_cannot_make_are_refused_with_its_reason(answer: Any, reason: str) -> None:
    with pytest.raises(ParamsError, match=rf"^Prompt \(prompt\): .*{reason}"):
        expanded(answer, DynamicPrompts("a {b|c|d}", max_prompts=2))
