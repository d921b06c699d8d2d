"""A folder of many images: looked at together, and uploaded a few at a time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest

from invokeai_gen import InvokeAIClient, image_files
from invokeai_gen.runtime import resolve
from tests import plans

COUNT = 200


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (1, 1), (number, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_few_files_are_held_and_the_first_upload_waits_for_no_thread_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(COUNT):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    threads: list[str] = []
    before: list[int] = []
    sending = most = 0
    to_thread = asyncio.to_thread

    async def counted(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        threads.append(getattr(call, "__name__", "?"))
        return await to_thread(call, *args, **kwargs)

    class Backend(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal sending, most
            if request.url.path.endswith("/upload"):
                before.append(len(threads))
                sending, most = sending + 1, max(most, sending + 1)
                await request.aread()
                sending -= 1
                image = {"image_name": f"{len(before)}.png", "width": 1, "height": 1}
                return httpx.Response(201, json=image)
            if request.url.path.endswith("/enqueue_batch"):
                return httpx.Response(422, json={"detail": "that is all that was to be seen"})
            return httpx.Response(200, json={"version": "6.14.2", "items": []})

    monkeypatch.setattr(asyncio, "to_thread", counted)
    with (
        InvokeAIClient("http://server", http_backend=Backend()) as client,
        pytest.raises(Exception, match="that is all"),
    ):
        plans.resize().sweep(product={"picture": image_files(tmp_path)}, client=client)
    assert len(before) == COUNT
    assert before[0] < COUNT / 2
    assert 1 <= most <= resolve.UPLOADS_AT_ONCE
