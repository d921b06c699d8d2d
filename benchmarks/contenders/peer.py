"""invokeai-py-client 1.1.1, as its documentation has it. Runs in an environment that has it and not us."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measure import lateness, main

# Known to no type checker: they are installed in this script's own environment alone.
requests: Any = importlib.import_module("requests")
InvokeAIClient: Any = importlib.import_module("invokeai_py_client").InvokeAIClient
WorkflowDefinition: Any = importlib.import_module("invokeai_py_client.workflow").WorkflowDefinition

SECONDS = 900.0
PATIENCE = 3.0
"""Seconds until an item that takes half of one counts as never heard of."""


def _definition(folder: str) -> Any:
    return WorkflowDefinition.from_file(Path(folder, "workflow.json"))


def sync_latency(url: str, count: int, folder: str) -> list[float]:
    client, definition = InvokeAIClient.from_url(url), _definition(folder)
    return [_run(client, definition) for _ in range(count)]


def async_latency(url: str, count: int, folder: str) -> list[float | None]:
    """It subscribes to events after it has enqueued, and never hears of an item that ended before."""

    async def run() -> list[float | None]:
        client, definition = InvokeAIClient.from_url(url), _definition(folder)
        late: list[float | None] = []
        for _ in range(count):
            workflow = client.create_workflow(definition)
            await workflow.submit()
            try:
                item = await workflow.wait_for_completion(timeout=PATIENCE)
            except TimeoutError:
                late.append(None)
            else:
                late.append(lateness(item["completed_at"]))
        await client.disconnect_socketio()
        return late

    return asyncio.run(run())


def runs(url: str, count: int, folder: str) -> None:
    sync_latency(url, count, folder)


def waits(url: str, count: int, folder: str) -> list[float]:
    """One client for each wait: waits on one client take each other's events."""
    definition = _definition(folder)
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: _run(InvokeAIClient.from_url(url), definition), range(count)))


def downloads(url: str, count: int, folder: str) -> None:
    names = Path(folder, "images.txt").read_text(encoding="utf-8").split()
    board = InvokeAIClient.from_url(url).board_repo.get_board_handle(
        Path(folder, "board.txt").read_text(encoding="utf-8")
    )
    for number in range(count):
        Path(folder, "saved", f"{number}.png").write_bytes(board.download_image(names[number % len(names)]))


def _run(client: Any, definition: Any) -> float:
    workflow = client.create_workflow(definition)
    workflow.submit_sync()
    return lateness(workflow.wait_for_completion_sync(timeout=SECONDS)["completed_at"])


def _count(one_more: Callable[[], None]) -> None:
    send = requests.Session.send

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        one_more()
        return send(self, *arguments, **options)

    requests.Session.send = counted


if __name__ == "__main__":
    main({"sync": sync_latency, "async": async_latency, "runs": runs, "waits": waits, "downloads": downloads}, _count)
