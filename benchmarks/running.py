"""Following runs, sweeps, and moving images, on a real InvokeAI, beside other clients; see the folder `contenders`."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.contest import ROOT, Contest, Costs, Setup

PEER = "invokeai-py-client==1.1.1"
RAW, PEER_NAME = "bare httpx", "invokeai-py-client"
IMAGES = 10
SIDE = 1800
"""Pixels: noise of that size is a PNG of about 10 MB."""
QUEUE = "/api/v1/queue/default"


def latency(setup: Setup) -> Iterator[Contest]:
    """Yield how late it is known that a run has ended, one after the other and many at once."""
    folder, url = _material(setup), setup.server.url
    peer = setup.python_with(PEER)
    for task, count, title, material in (
        ("latency", setup.many(20), "know that a run has ended", folder),
        ("waits", setup.many(200), f"know it, {setup.many(200)} at once", folder),
        ("runs", setup.many(100), f"{setup.many(100)} short runs, one after the other", folder),
        (
            "runs",
            setup.many(50),
            f"{setup.many(50)} runs of a second, one after the other",
            _material(setup, long=True),
        ),
    ):
        yield Contest(
            title,
            _contenders(setup, task, count, url, material, peer=None if task == "runs" else peer),
            {
                (PEER_NAME, "lateness"): None,
                (PEER_NAME, "requests"): None,
                (RAW, "CPU"): 1.3 if task == "runs" else None,
                (RAW, "time"): None,
            }
            if task != "waits"
            else {(PEER_NAME, "lateness"): None, (PEER_NAME, "requests"): None},
            rounds=min(setup.rounds, 3),
            warm_up=False,
        )


def submits(setup: Setup) -> Iterator[Contest]:
    """Yield how fast runs get into the queue of a server that runs none of them."""
    folder, url, count = _material(setup), setup.fast_server.url, setup.many(1000)

    def on_a_paused_queue(work: Callable[[], Costs]) -> Costs:
        _put(f"{url}{QUEUE}/processor/pause")
        try:
            return work()
        finally:
            _put(f"{url}{QUEUE}/clear")
            _put(f"{url}{QUEUE}/processor/resume")

    contenders = _contenders(setup, "submits", count, url, folder)
    yield Contest(
        f"{count:,} asubmit on one client",
        {name: partial(on_a_paused_queue, work) for name, work in contenders.items()},
        {(RAW, "time"): 1.11, (RAW, "CPU"): 1.3, (RAW, "memory"): None},
    )


def transfers(setup: Setup) -> Iterator[Contest]:
    """Yield 100 images of about 10 MB from and to the server; ours four at a time, bare httpx one after the other."""
    folder, url = _material(setup, with_images=True), setup.fast_server.url
    _upload(url, folder)
    for task in ("downloads", "uploads"):
        yield Contest(
            f"{setup.many(100)} {task} of 10 MB",
            _contenders(setup, task, setup.many(100), url, folder),
            {(RAW, "time"): 1.05, (RAW, "CPU"): 1.2, (RAW, "memory"): None},
            warm_up=False,
        )


def sweeps(setup: Setup) -> Iterator[Contest]:
    """Yield a sweep with all its results, beside the batch sent by hand and its results fetched once it has ended."""
    folder = _material(setup)
    for server, speed in ((setup.fast_server, "fast server"), (setup.server, "server as it is")):
        count = setup.many(1000)
        contenders = _contenders(setup, "sweep", count, server.url, folder)
        yield Contest(
            f"a sweep of {count:,} runs, {speed}",
            {name: partial(_with_server, server, work) for name, work in contenders.items()},
            {(RAW, "time"): 1.03, (RAW, "server CPU"): 1.03, (RAW, "requests"): None, (RAW, "CPU"): None},
            rounds=min(setup.rounds, 3),
            warm_up=False,
        )


def _with_server(server: Any, work: Callable[[], Costs]) -> Costs:
    """Return what a task costs, and what it costs the server."""
    before = _cpu_of(server)
    return {**work(), "server CPU": _cpu_of(server) - before}


def _cpu_of(server: Any) -> float:
    """Return the seconds of CPU that a server has had. Linux only."""
    fields = Path(f"/proc/{server._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _contenders(
    setup: Setup, task: str, count: int, url: str, folder: Path, peer: Path | None = None
) -> dict[str, Callable[[], Costs]]:
    """Return who does a task; each has a process of its own."""

    def run(name: str, python: Path) -> Costs:
        done = subprocess.run(
            [str(python), "-m", f"benchmarks.contenders.{name}", task, url, str(count), str(folder)],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        costs: Costs = json.loads(done.stdout.splitlines()[-1])
        return costs

    ours = Path(sys.executable)
    contenders = {"ours": partial(run, "ours", ours)}
    if peer is not None:
        contenders[PEER_NAME] = partial(run, "peer", peer)
    return {**contenders, RAW: partial(run, "raw", ours)}


def _material(setup: Setup, *, with_images: bool = False, long: bool = False) -> Path:
    """Return a folder with what the contenders need: a workflow as each wants it, the request of a sweep, images.

    `long` is for a workflow that takes a second in place of half of one, with a server that answers meanwhile.
    """
    from invokeai_gen.compiler import compile_workflow
    from invokeai_gen.core.request import build_request
    from invokeai_gen.schema import shipped_schema
    from invokeai_gen.workflow import read_workflow_file

    folder = setup.work / ("long" if long else "running")
    (folder / "saved").mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    (folder / "workflow.json").write_text(json.dumps(_workflow(long)), encoding="utf-8")
    plan = compile_workflow(read_workflow_file(folder / "workflow.json"), shipped_schema()).plan
    (folder / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    (folder / "request.json").write_text(json.dumps(build_request(plan, {})), encoding="utf-8")
    (folder / "sweep.json").write_text(json.dumps(_sweep_request()), encoding="utf-8")
    if with_images and len(list((folder / "images").iterdir())) < IMAGES:
        import PIL.Image

        noise = random.Random(1)
        for number in range(IMAGES):
            image = PIL.Image.frombytes("RGB", (SIDE, SIDE), noise.randbytes(SIDE * SIDE * 3))
            buffer = BytesIO()
            image.save(buffer, "PNG", compress_level=1)
            (folder / "images" / f"{number}.png").write_bytes(buffer.getvalue())
    return folder


def _upload(url: str, folder: Path) -> None:
    from invokeai_gen import InvokeAIClient

    with InvokeAIClient(url) as client:
        names = [client.images.upload(path).image_name for path in sorted((folder / "images").iterdir())]
    (folder / "images.txt").write_text("\n".join(names), encoding="utf-8")


def _sweep_request() -> dict[str, Any]:
    """Return the request of a sweep over seeds, without the seeds."""
    from generated import sunset_poster as wf
    from invokeai_gen.core.request import build_request

    values: dict[tuple[str, str], Any] = dict(wf.Params(width=256, height=256).values())
    plain = {binding: value for binding, value in values.items() if isinstance(value, (str, int, float))}
    request: dict[str, Any] = build_request(wf.WORKFLOW.plan, plain, batch_id=str(uuid.uuid4()))
    seed = next(item for item in wf.Params.inputs() if item.name == "seed")
    request["batch"]["data"] = [[{"node_path": seed.node, "field_name": seed.field, "items": []}]]
    return request


def _put(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT")) as answer:
        answer.read()


def _workflow(long: bool) -> dict[str, Any]:
    """A small image, made anew each time, or a large one that is blurred as well."""
    color = {"r": 255, "g": 128, "b": 0, "a": 255}
    side = 2000 if long else 64
    nodes = [_node("blank", "blank_image", {"width": side, "height": side, "mode": "RGB", "color": color})]
    edges = []
    if long:
        nodes.append(_node("blur", "img_blur", {"radius": 30, "blur_type": "gaussian"}))
        edges.append(
            {
                "id": "edge",
                "type": "default",
                "source": "blank",
                "sourceHandle": "image",
                "target": "blur",
                "targetHandle": "image",
            }
        )
    root = {"id": "root", "type": "container", "data": {"layout": "column", "children": []}}
    return {
        **dict.fromkeys(("author", "description", "version", "contact", "tags", "notes"), ""),
        "name": "benchmark",
        "nodes": nodes,
        "edges": edges,
        "form": {"elements": {"root": root}, "rootElementId": "root"},
        "exposedFields": [],
        "meta": {"version": "3.0.0", "category": "user"},
    }


def _node(node_id: str, node_type: str, values: dict[str, Any]) -> dict[str, Any]:
    inputs = {name: {"name": name, "label": "", "description": "", "value": value} for name, value in values.items()}
    data = {
        "id": node_id,
        "type": node_type,
        "version": "1.2.2",
        "nodePack": "invokeai",
        "label": "",
        "notes": "",
        "inputs": inputs,
        "isOpen": True,
        "isIntermediate": False,
        "useCache": False,
    }
    return {"id": node_id, "type": "invocation", "data": data, "position": {"x": 0, "y": 0}}
