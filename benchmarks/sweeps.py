"""A sweep beside the same batch sent by hand: how long it takes in all, and how many requests.

    python benchmarks/sweeps.py [--runs 1000] [--rounds 2]

Starts an InvokeAI of its own. Nothing here is asserted: see README.md for what the lines mean.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for tests.server and generated

from generated import sunset_poster as wf
from invokeai_gen import InvokeAIClient
from invokeai_gen.core.request import build_request
from invokeai_gen.server.records import QueueItem, spanning
from tests.live.proxy import Proxy
from tests.server import Server

SIZE = 256
"""Pixels: the smallest that the workflow takes."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=2)
    arguments = options.parse_args()
    with Server.start(fast=False) as server, Proxy(server.url) as proxy:
        print(f"InvokeAI {server.version}, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs", flush=True)
        _swept(server.url, 10)
        ratios = []
        for number in range(arguments.rounds):
            by_hand, own_time = _by_hand(server.url, arguments.runs)
            proxy.requests.clear()
            wall, server_time = _swept(proxy.url, arguments.runs)
            ratios.append(wall / own_time)
            print(
                f"round {number + 1}: {arguments.runs} items by hand {by_hand:.2f} s (the server says {own_time:.2f} s), "
                f"as a sweep {wall:.2f} s (the server says {server_time:.2f} s): {wall / own_time:.3f}, "
                f"{len(proxy.requests)} requests, {proxy.asked('enqueue_batch')} of them enqueues",
                flush=True,
            )
        print(f"median of sweep / server's own time for the batch sent by hand: {statistics.median(ratios):.3f}")


def _swept(url: str, runs: int) -> tuple[float, float]:
    """Seconds until every result of a sweep is there, and those that the server says it took."""
    with InvokeAIClient(url) as client:
        began = time.perf_counter()
        sweep = wf.sweep(wf.Params(width=SIZE, height=SIZE), product={"seed": range(runs)}, client=client)
        results = [*sweep]
        wall = time.perf_counter() - began
        assert {result.outputs.poster.width for result in results} == {SIZE}
        return wall, _span([result.outputs.queue_item for result in results])


def _by_hand(url: str, runs: int) -> tuple[float, float]:
    """The same for a request that is sent, and asked for every half second; its results are not fetched."""
    values: dict[tuple[str, str], Any] = dict(wf.Params(width=SIZE, height=SIZE).values())
    plain = {binding: value for binding, value in values.items() if isinstance(value, (str, int, float))}
    request = build_request(wf.WORKFLOW.plan, plain, batch_id=str(uuid.uuid4()))
    seed = next(item for item in wf.Params.inputs() if item.name == "seed")
    items = [{"node_path": seed.node, "field_name": seed.field, "items": list(range(runs, 2 * runs))}]
    request["batch"]["data"] = [items]
    with httpx.Client(base_url=url, timeout=300) as http:
        began = time.perf_counter()
        answer = http.post("/api/v1/queue/default/enqueue_batch", json=request).raise_for_status().json()
        status = f"/api/v1/queue/default/b/{request['batch']['batch_id']}/status"
        while http.get(status).json()["completed"] < runs:
            time.sleep(0.5)
        wall = time.perf_counter() - began
    with InvokeAIClient(url) as client:
        return wall, _span(client.queue.items(answer["item_ids"], with_sessions=False))


def _span(items: list[QueueItem]) -> float:
    """Seconds from the first creation to the last end, by the server's clock."""
    span = spanning([item.timings for item in items])
    assert span.created
    assert span.completed
    return (span.completed - span.created).total_seconds()


if __name__ == "__main__":
    main()
