"""invokeai-py-client 1.1.1, as its documentation has it. Runs in an environment that has it and not us."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.contenders.measure import lateness, main

# Known to no type checker: they are installed in this script's own environment alone.
requests: Any = importlib.import_module("requests")
InvokeAIClient: Any = importlib.import_module("invokeai_py_client").InvokeAIClient
WorkflowDefinition: Any = importlib.import_module("invokeai_py_client.workflow").WorkflowDefinition

SECONDS = 900.0


def _definition(folder: Path) -> Any:
    return WorkflowDefinition.from_file(folder / "workflow.json")


def latency(url: str, count: int, folder: Path) -> list[float]:
    client, definition = InvokeAIClient.from_url(url), _definition(folder)
    return [_run(client, definition) for _ in range(count)]


def runs(url: str, count: int, folder: Path) -> None:
    latency(url, count, folder)


def waits(url: str, count: int, folder: Path) -> list[float]:
    """One client for each wait: waits on one client take each other's events."""
    definition = _definition(folder)
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: _run(InvokeAIClient.from_url(url), definition), range(count)))


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
    main({"latency": latency, "runs": runs, "waits": waits}, _count)
