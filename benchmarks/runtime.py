"""How fast runs are followed and images loaded, beside the client library on PyPI and beside plain HTTP.

    python benchmarks/runtime.py [--peer-python PATH]

Starts an InvokeAI of its own. Without --peer-python, invokeai-py-client 1.1.1 is installed from PyPI into a virtual
environment of its own, once. Nothing here is asserted: see README.md for what the lines mean.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for tests.server

from invokeai_gen import InvokeAIClient
from invokeai_gen.compiler import compile_workflow
from invokeai_gen.core.request import build_request
from invokeai_gen.schema import shipped_schema
from invokeai_gen.workflow import read_workflow_file
from tests.server import Server

PEER = "invokeai-py-client==1.1.1"
CONTENDERS = Path(__file__).with_name("contenders")
IMAGES = 10
SIDE = 1800
"""Pixels: noise of that size is a PNG of about 10 MB."""

Results = Mapping[str, Mapping[str, Any]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--peer-python", type=Path, help=f"Python of an environment that has {PEER}")
    options.add_argument("--latency", type=int, default=20, help="items whose completion is timed")
    options.add_argument("--runs", type=int, default=100, help="runs one after the other")
    options.add_argument("--waits", type=int, default=200, help="runs at once")
    options.add_argument("--downloads", type=int, default=100)
    options.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "invokeai-gen-benchmark")
    arguments = options.parse_args()
    work: Path = arguments.work / "runtime"
    (work / "saved").mkdir(parents=True, exist_ok=True)
    pythons = {"ours": Path(sys.executable), "raw": Path(sys.executable)}
    pythons["peer"] = arguments.peer_python or _peer(arguments.work / "peer")
    with Server.start(fast=False) as server:
        _lay_out(server.url, work)
        print(
            f"InvokeAI {server.version}, load {os.getloadavg()[0]:.1f} at the start, {os.cpu_count()} CPUs", flush=True
        )
        for title, task, contenders in (
            ("completion known, blocking", "sync", ("ours", "peer", "raw")),
            ("completion known, async", "async", ("ours", "peer")),
            ("runs one after another", "runs", ("ours", "peer", "raw")),
            ("runs at once", "waits", ("ours", "peer")),
            ("large downloads", "downloads", ("ours", "peer", "raw")),
        ):
            count = getattr(arguments, "latency" if task in ("sync", "async") else task)
            results = {name: _measure(pythons[name], name, task, server.url, count, work) for name in contenders}
            _show(f"{count} × {title}", results)
    shutil.rmtree(work)


def _measure(python: Path, contender: str, task: str, url: str, count: int, work: Path) -> Mapping[str, Any]:
    """One task of one contender, in a process of its own."""
    command = [str(python), str(CONTENDERS / f"{contender}.py"), task, url, str(count), str(work)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _show(title: str, results: Results) -> None:
    ours = results["ours"]
    print(f"\n{title:34} {'late':>9} {'wall':>9} {'requests':>9} {'CPU':>8} {'peak':>8}")
    for name, result in results.items():
        late = f"{result['late'] * 1000:7.1f}ms" if result["late"] is not None else ""
        print(
            f"  {_NAMES[name]:32} {late:>9} {result['wall']:8.2f}s {result['requests']:9} {result['cpu']:7.2f}s "
            f"{result['peak']:6.0f}MB" + (f"  {result['missed']} never heard of" if result["missed"] else "")
        )
    for name, result in results.items():
        if name != "ours":
            late = f"{ours['late'] / result['late']:8.3f}×" if result["late"] else ""
            print(
                f"  {'ours / ' + _NAMES[name]:32} {late:>9} {ours['wall'] / result['wall']:8.3f}× "
                f"{ours['requests'] / result['requests']:8.3f}× {ours['cpu'] / result['cpu']:7.3f}× "
                f"{ours['peak'] / result['peak']:7.3f}×",
                flush=True,
            )


_NAMES = {"ours": "invokeai-gen", "peer": "invokeai-py-client", "raw": "plain HTTP"}


def _lay_out(url: str, work: Path) -> None:
    """What the contenders need: the workflow as each wants it, and large images on a board."""
    schema = shipped_schema()
    workflow = _workflow()
    (work / "workflow.json").write_text(json.dumps(workflow), encoding="utf-8")
    plan = compile_workflow(read_workflow_file(work / "workflow.json"), schema).plan
    (work / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    (work / "request.json").write_text(json.dumps(build_request(plan, {})), encoding="utf-8")
    noise = random.Random(1)
    with InvokeAIClient(url) as client:
        board = client.boards.create("benchmark")
        names = []
        for _ in range(IMAGES):
            buffer = BytesIO()
            PIL.Image.frombytes("RGB", (SIDE, SIDE), noise.randbytes(SIDE * SIDE * 3)).save(
                buffer, "PNG", compress_level=1
            )
            names.append(client.images.upload(buffer.getvalue(), board_id=board.board_id).image_name)
        size = len(client.images.read(names[0])) / 1e6
    print(f"images of {size:.1f} MB")
    (work / "images.txt").write_text("\n".join(names), encoding="utf-8")
    (work / "board.txt").write_text(board.board_id, encoding="utf-8")


def _workflow() -> dict[str, Any]:
    """A small image, made anew each time."""
    color = {"r": 255, "g": 128, "b": 0, "a": 255}
    inputs = {"width": 64, "height": 64, "mode": "RGB", "color": color}
    data = {
        "id": "blank",
        "type": "blank_image",
        "version": "1.2.2",
        "nodePack": "invokeai",
        "label": "",
        "notes": "",
        "inputs": {
            name: {"name": name, "label": "", "description": "", "value": value} for name, value in inputs.items()
        },
        "isOpen": True,
        "isIntermediate": False,
        "useCache": False,
    }
    root = {"id": "root", "type": "container", "data": {"layout": "column", "children": []}}
    return {
        **dict.fromkeys(("author", "description", "version", "contact", "tags", "notes"), ""),
        "name": "benchmark",
        "nodes": [{"id": "blank", "type": "invocation", "data": data, "position": {"x": 0, "y": 0}}],
        "edges": [],
        "form": {"elements": {"root": root}, "rootElementId": "root"},
        "exposedFields": [],
        "meta": {"version": "3.0.0", "category": "user"},
    }


def _peer(folder: Path) -> Path:
    """Python of an environment that has the client library, made if it is not there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "done.txt"
    if not done.is_file() or done.read_text(encoding="utf-8") != PEER:
        print(f"installing {PEER} …", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PEER], check=True)
        done.write_text(PEER, encoding="utf-8")
    return python


if __name__ == "__main__":
    main()
