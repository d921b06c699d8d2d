"""The command killed at any moment: every file is the old one or the new one, and the next run repairs the rest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest

from tests.cli import adder, save

KILLS = 8
HANG = 120
"""Seconds after which a process is taken for stuck; none of them comes near."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")


def start(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "invokeai_gen", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(*arguments: object) -> float:
    """Run the command to its end, and return the seconds that it took."""
    started = time.monotonic()
    assert start(*arguments).wait(HANG) == 0
    return time.monotonic() - started


def kill(moment: float, *arguments: object) -> None:
    """Start the command and kill it that many seconds later, unless it has ended by then."""
    process = start(*arguments)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(HANG)


def contents(folder: Path) -> dict[str, bytes]:
    """What is there, without the notes about it and the beginnings of files that a kill left behind."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".part"}


def sources(folder: Path, *, value: int) -> Path:
    for number in range(4):
        save(folder / f"w{number}.json", adder(value=value + number, label=f"First of {value}"))
    return folder


def test_generate(tmp_path: Path) -> None:
    workflows, out = tmp_path / "workflows", tmp_path / "out"
    states = []
    for value in (100, 200):
        sources(workflows, value=value)
        seconds = finish("generate", workflows, "-o", out)
        states.append(contents(out))
    assert states[0].keys() == states[1].keys()
    rng = Random(7)
    for turn in range(KILLS):
        wanted = states[turn % 2]
        sources(workflows, value=(100, 200)[turn % 2])
        # Most of the time goes by before anything is written.
        kill(seconds * rng.uniform(0.5, 1.1), "generate", workflows, "-o", out)
        found = contents(out)
        assert found.keys() == wanted.keys()
        for name, data in found.items():
            assert data in (states[0][name], states[1][name]), name
        if turn % 4 == 3:
            finish("generate", workflows, "-o", out)
            assert contents(out) == wanted
            finish("check", workflows, "-o", out)


def test_two_at_once(tmp_path: Path) -> None:
    workflows, out = sources(tmp_path / "workflows", value=100), tmp_path / "out"
    both = [start("generate", workflows, "-o", out) for _ in range(2)]
    assert [process.wait(HANG) for process in both] == [0, 0]
    assert len(contents(out)) == 4 * 2 + 3
    finish("check", workflows, "-o", out)


def test_pull(tmp_path: Path) -> None:
    saved = tmp_path / "openapi.json"
    with serving() as (url, state):
        states = []
        for version in ("6.1.0", "6.2.0"):
            state["version"] = version
            seconds = finish("pull", "--server", url, "-o", saved)
            states.append(saved.read_bytes())
        rng = Random(8)
        for turn in range(KILLS // 2):
            state["version"] = ("6.1.0", "6.2.0")[turn % 2]
            kill(seconds * rng.uniform(0.6, 1.05), "pull", "--server", url, "-o", saved)
            assert saved.read_bytes() in states
        finish("pull", "--server", url, "-o", saved)
        assert saved.read_bytes() == states[turn % 2]


@contextmanager
def serving() -> Iterator[tuple[str, dict[str, str]]]:
    """A server that has node types and a version, and nothing else."""
    state = {"version": ""}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "InvokeAI", "version": "1.0.0"},
        "components": {
            "schemas": {
                f"Node{number}": {
                    "class": "invocation",
                    "properties": {"type": {"default": f"node{number}"}},
                    "description": "x" * 2_000,
                }
                for number in range(2_000)
            }
        },
    }
    openapi = json.dumps(document).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_version = self.path.endswith("/version")
            body = json.dumps({"version": state["version"]}).encode() if is_version else openapi
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except ConnectionError:  # whoever asked is dead
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
