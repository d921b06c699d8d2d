"""The floor: nothing but httpx, which asks for the status of an item or batch until it has ended."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from benchmarks.contenders.measure import lateness, main

QUEUE = "/api/v1/queue/default"
PAUSE = 0.02
RARE = 2.0
"""Seconds between questions about a batch: more would cost the server time."""
CONNECTIONS = 32
PAGE = 100
CHUNK = 1 << 16


def latency(url: str, count: int, folder: Path) -> list[float]:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    with httpx.Client(base_url=url, timeout=60) as client:
        return [_run(client, request) for _ in range(count)]


def runs(url: str, count: int, folder: Path) -> None:
    latency(url, count, folder)


def waits(url: str, count: int, folder: Path) -> list[float]:
    """All enqueued first, then asked for one after the other in the order in which they run."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    with httpx.Client(base_url=url, timeout=60) as client:
        return [_wait(client, item) for item in [_enqueue(client, request) for _ in range(count)]]


def submits(url: str, count: int, folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))

    async def run() -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        async with httpx.AsyncClient(base_url=url, timeout=None, limits=limits) as client:

            async def one() -> None:
                answer = await client.post(f"{QUEUE}/enqueue_batch", json=request)
                assert answer.raise_for_status().json()["enqueued"] == 1

            await asyncio.gather(*(one() for _ in range(count)))

    asyncio.run(run())


def sweep(url: str, count: int, folder: Path) -> None:
    """The whole sweep as one batch; once it has ended, its results page by page."""
    request = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    first = int(time.time() * 1000) % 10**9
    request["batch"]["batch_id"] = str(uuid.uuid4())
    request["batch"]["data"][0][0]["items"] = list(range(first, first + count))
    with httpx.Client(base_url=url, timeout=300) as client:
        answer = client.post(f"{QUEUE}/enqueue_batch", json=request).raise_for_status().json()
        while client.get(f"{QUEUE}/b/{request['batch']['batch_id']}/status").json()["completed"] < count:
            time.sleep(RARE)
        for start in range(0, count, PAGE):
            page = client.post(f"{QUEUE}/items_by_ids", json={"item_ids": answer["item_ids"][start : start + PAGE]})
            assert all(item["session"]["results"] for item in page.raise_for_status().json())


def downloads(url: str, count: int, folder: Path) -> None:
    names = (folder / "images.txt").read_text(encoding="utf-8").split()
    with httpx.Client(base_url=url, timeout=60) as client:
        for number in range(count):
            path = f"/api/v1/images/i/{names[number % len(names)]}/full"
            with client.stream("GET", path) as answer, (folder / "saved" / f"{number}.png").open("wb") as file:
                file.writelines(answer.iter_bytes(CHUNK))


def uploads(url: str, count: int, folder: Path) -> None:
    paths = sorted((folder / "images").iterdir())
    query = {"image_category": "user", "is_intermediate": "false"}
    with httpx.Client(base_url=url, timeout=60) as client:
        for number in range(count):
            with paths[number % len(paths)].open("rb") as file:
                client.post("/api/v1/images/upload", params=query, files={"file": file}).raise_for_status()


def _run(client: httpx.Client, request: Any) -> float:
    return _wait(client, _enqueue(client, request))


def _enqueue(client: httpx.Client, request: Any) -> int:
    answer = client.post(f"{QUEUE}/enqueue_batch", json=request)
    item: int = answer.raise_for_status().json()["item_ids"][0]
    return item


def _wait(client: httpx.Client, item_id: int) -> float:
    while True:
        item = client.get(f"{QUEUE}/i/{item_id}").json()
        if item["status"] == "completed":
            return lateness(item["completed_at"])
        time.sleep(PAUSE)


def _count(one_more: Callable[[], None]) -> None:
    send = httpx.Client.send

    def counted(self: httpx.Client, *arguments: Any, **options: Any) -> httpx.Response:
        one_more()
        return send(self, *arguments, **options)

    httpx.Client.send = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    tasks = (latency, runs, waits, submits, sweep, downloads, uploads)
    main({task.__name__: task for task in tasks}, _count)
