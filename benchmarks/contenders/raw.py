"""The floor: nothing but httpx, which asks for the status of an item until it has ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from measure import lateness, main

QUEUE = "/api/v1/queue/default"
PAUSE = 0.02


def latency(url: str, count: int, folder: str) -> list[float]:
    request = json.loads(Path(folder, "request.json").read_text(encoding="utf-8"))
    with httpx.Client(base_url=url, timeout=60) as client:
        return [_run(client, request) for _ in range(count)]


def runs(url: str, count: int, folder: str) -> None:
    latency(url, count, folder)


def waits(url: str, count: int, folder: str) -> list[float]:
    """All enqueued first, then asked for one after the other in the order in which they run."""
    request = json.loads(Path(folder, "request.json").read_text(encoding="utf-8"))
    with httpx.Client(base_url=url, timeout=60) as client:
        return [_wait(client, item) for item in [_enqueue(client, request) for _ in range(count)]]


def downloads(url: str, count: int, folder: str) -> None:
    names = Path(folder, "images.txt").read_text(encoding="utf-8").split()
    with httpx.Client(base_url=url, timeout=60) as client:
        for number in range(count):
            path = f"/api/v1/images/i/{names[number % len(names)]}/full"
            with client.stream("GET", path) as answer, Path(folder, "saved", f"{number}.png").open("wb") as file:
                file.writelines(answer.iter_bytes(1 << 16))


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
    main({"sync": latency, "runs": runs, "waits": waits, "downloads": downloads}, _count)
