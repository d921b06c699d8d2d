"""How long a new process takes until its first run is on its way, beside a process that only imports httpx and posts.

The request passes through a relay in this process, which notes when the POST arrives and ends the contender there, so
that its CPU time is that of the way to the POST.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from urllib.parse import urlsplit

from benchmarks.contest import ROOT, Contest, Costs, Setup

POST = b"POST /api/v1/queue/default/enqueue_batch"
PATIENCE = 60.0
OURS = "from generated import sunset_poster as wf\nwf.run(wf.Params(width=512))\n"
BARE = """
import json, os, pathlib, httpx
body = json.loads(pathlib.Path(os.environ['BODY']).read_text())
httpx.post(os.environ['INVOKEAI_URL'] + '/api/v1/queue/default/enqueue_batch', json=body, timeout=60)
"""


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


def contests(setup: Setup) -> Iterator[Contest]:
    """Yield the contest of this file."""
    relay, work = Relay(setup.fast_server.url), setup.work
    (work / "body.json").write_text(_body(), encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPYCACHEPREFIX": str(work / "pycache"),  # of installed packages, too: all are compiled once
        "INVOKEAI_URL": relay.url,
        "BODY": str(work / "body.json"),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src"))),
    }
    bare = "import httpx, one POST"
    yield Contest(
        "a new process, until its run is posted",
        {"ours": partial(_measure, OURS, environment, relay), bare: partial(_measure, BARE, environment, relay)},
        {(bare, "CPU"): 1.5, (bare, "time"): 1.5},
        rounds=setup.many(25),
    )


def _body() -> str:
    """Return what the generated module posts."""
    code = "import json; from generated import sunset_poster as wf; print(json.dumps(wf.WORKFLOW.request(wf.Params())))"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _measure(code: str, environment: Mapping[str, str], relay: Relay) -> Costs:
    """Return what a process takes until its POST arrives at a relay."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], env=dict(environment), stderr=subprocess.DEVNULL)
    if not relay.posted.wait(PATIENCE):
        process.kill()
        raise TimeoutError(f"no POST within {PATIENCE:g} s of {code!r}")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    relay.posted.clear()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {"time": relay.at - began, "CPU": cpu}
