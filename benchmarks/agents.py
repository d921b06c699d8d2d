"""How long an agent waits for `invokeai-gen mcp`, from its start to its list of tools, beside importing the MCP SDK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.contest import ROOT, Contest, Costs, Setup, run

TOOLS = 30
ABOUT = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "benchmark", "version": "1"}}
MESSAGES = (
    {"method": "initialize", "id": 0, "params": ABOUT},
    {"method": "notifications/initialized"},
    {"method": "tools/list", "id": 1},
)


def contests(setup: Setup) -> Iterator[Contest]:
    """Yield the contest of this file."""
    folder = setup.work / "agents"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    plans = sorted((ROOT / "generated").glob("*.json"))
    for number in range(TOOLS):
        shutil.copy(plans[number % len(plans)], folder / f"workflow_{number}.json")
    sdk = "import mcp"
    yield Contest(
        f"start of mcp until {TOOLS} tools are listed",
        {
            "ours": partial(_listing, folder, setup.fast_server.url),
            sdk: partial(run, [sys.executable, "-c", sdk], source=ROOT),
        },
        {(sdk, "CPU"): 0.85, (sdk, "time"): 0.85},
        rounds=setup.many(20),
    )


def _listing(folder: Path, url: str) -> Costs:
    """Return what the command costs until it has answered a client that speaks JSON lines."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "invokeai_gen", "mcp", str(folder), "--server", url]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"".join(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n" for message in MESSAGES))
    process.stdin.flush()
    while (answer := json.loads(process.stdout.readline())).get("id") != 1:
        pass
    wall = time.perf_counter() - began
    process.kill()
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    if len(answer["result"]["tools"]) < TOOLS:
        sys.exit(f"only {len(answer['result']['tools'])} tools are listed")
    return {"time": wall, "CPU": used.ru_utime + used.ru_stime}
