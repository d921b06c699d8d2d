"""How long a new process takes until its first run is on its way, beside a process that only imports httpx and posts.

    python benchmarks/first_result.py [--repeat 25] [--json FILE]

Starts an InvokeAI of its own. Every contender is a fresh process, and they take turns. The request passes through a
relay in this process, which notes when the POST arrives and ends the contender there, so that its CPU time is that of
the way to the POST. Nothing here is asserted. Linux and macOS only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for tests.server

from tests.server import Server

POST = b"POST /api/v1/queue/default/enqueue_batch"
PATIENCE = 60.0

FIRST_RESULT: Mapping[str, str] = {
    "run() of a generated module": ("from generated import sunset_poster as wf\nwf.run(wf.Params(width=512))\n"),
    "import httpx, one POST": (
        "import json, os, pathlib, httpx\n"
        "body = json.loads(pathlib.Path(os.environ['BODY']).read_text())\n"
        "httpx.post(os.environ['INVOKEAI_URL'] + '/api/v1/queue/default/enqueue_batch', json=body, timeout=60)\n"
    ),
}
"""Ends with the POST."""
IMPORTS: Mapping[str, str] = {
    "generated module + Params + client": (
        "from generated import sunset_poster as wf\n"
        "from invokeai_gen import InvokeAIClient\n"
        "wf.Params(width=512)\n"
        "InvokeAIClient('http://localhost:9')\n"
    ),
    "import pydantic, httpx": "import pydantic, httpx\n",
}
"""Ends by itself."""
NOTHING = "an empty process"


class Relay:
    """Passes connections on to a server until one of them posts a run."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.posted = threading.Event()
        self.at = 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._target)
            threading.Thread(target=self._pass, args=(client, server), kwargs={"watched": True}, daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, *, watched: bool = False) -> None:
        try:
            while data := source.recv(1 << 16):
                if watched and data.startswith(POST):
                    self.at = time.perf_counter()
                    self.posted.set()
                    return  # the server never sees it: no run is left over
                target.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, target):
                end.close()


def main() -> None:
    """Measure all contenders in turns and print a table of medians."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeat", type=int, default=25)
    options.add_argument("--json", type=Path, help="write the medians and ratios to this file, too")
    arguments = options.parse_args()
    work = Path(tempfile.mkdtemp())
    measured: dict[str, list[tuple[float, float]]] = {}
    try:
        with Server.start() as server:
            relay = Relay(server.url)
            (work / "body.json").write_text(_body(), encoding="utf-8")
            environment = {
                **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                "PYTHONPYCACHEPREFIX": str(work / "pycache"),  # of installed packages, too: all are compiled once
                "INVOKEAI_URL": relay.url,
                "BODY": str(work / "body.json"),
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            }
            for number in range(arguments.repeat + 1):
                for name, code in {**FIRST_RESULT, **IMPORTS, NOTHING: ""}.items():
                    took = _measure(code, environment, relay if name in FIRST_RESULT else None)
                    if number:  # the first one fills caches
                        measured.setdefault(name, []).append(took)
    finally:
        shutil.rmtree(work)
    medians = {name: _medians(taken) for name, taken in measured.items()}
    print(f"{'median of ' + str(arguments.repeat):40} {'CPU':>9} {'wall':>9}")
    for name, (cpu, wall) in medians.items():
        print(f"{name:40} {cpu * 1000:7.0f}ms {wall * 1000:7.0f}ms")
    ratios = {}
    for ours, theirs in (tuple(FIRST_RESULT), tuple(IMPORTS)):
        ratios[f"{ours} / {theirs}"] = [medians[ours][index] / medians[theirs][index] for index in (0, 1)]
    for name, (cpu, wall) in ratios.items():
        print(f"{name:66} CPU {cpu:.2f}  wall {wall:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"seconds": medians, "ratios": ratios}, indent=2), encoding="utf-8")


def _body() -> str:
    """Return what the generated module posts."""
    code = "import json; from generated import sunset_poster as wf; print(json.dumps(wf.WORKFLOW.request(wf.Params())))"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _measure(code: str, environment: Mapping[str, str], relay: Relay | None) -> tuple[float, float]:
    """Return the seconds of CPU and of wall time that a process takes: to its end, or to its POST to a relay."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], env=dict(environment), stderr=subprocess.DEVNULL)
    if relay is not None:
        if not relay.posted.wait(PATIENCE):
            raise TimeoutError(f"no POST within {PATIENCE:g} s of {code!r}")
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wall = (relay.at if relay is not None else time.perf_counter()) - began
    if relay is not None:
        relay.posted.clear()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, wall


def _medians(taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(cpu for cpu, _ in taken), statistics.median(wall for _, wall in taken)


if __name__ == "__main__":
    main()
