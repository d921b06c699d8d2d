"""The server that the other live tests stand on: it runs graphs, runs the tiny models, survives and leaves nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server import Server, ServerError
from tests.server.api import call
from tests.server.process import DatabaseInUseError, PortTakenError, free_port, listens

REPOSITORY = Path(__file__).parents[2]

Graph = dict[str, Any]


def graph(nodes: list[dict[str, Any]], edges: list[str]) -> Graph:
    """Nodes with their ids, and edges written ``node.field -> node.field``."""

    def end(text: str) -> dict[str, str]:
        node, field = text.strip().split(".")
        return {"node_id": node, "field": field}

    pairs = [edge.split("->") for edge in edges]
    return {
        "id": "harness",
        "nodes": {node["id"]: node for node in nodes},
        "edges": [{"source": end(source), "destination": end(target)} for source, target in pairs],
    }


def model_free() -> Graph:
    return graph(
        [
            {"id": "blank", "type": "blank_image", "width": 64, "height": 64, "use_cache": False},
            {"id": "blur", "type": "img_blur", "radius": 2.0},
        ],
        ["blank.image -> blur.image"],
    )


def text_to_image(url: str, base: str) -> Graph:
    """The shortest text to image there is: two steps, 64 by 64 pixels."""
    found = call("GET", f"{url}/api/v2/models/?base_models={base}&model_type=main")["models"]
    model = {key: found[0][key] for key in ("key", "hash", "name", "base", "type")}
    sdxl = base == "sdxl"
    loader, prompt = ("sdxl_model_loader", "sdxl_compel_prompt") if sdxl else ("main_model_loader", "compel")
    encoders = ["clip", "clip2"] if sdxl else ["clip"]
    return graph(
        [
            {"id": "model", "type": loader, "model": model},
            {"id": "positive", "type": prompt, "prompt": "a cat"},
            {"id": "negative", "type": prompt, "prompt": ""},
            {"id": "noise", "type": "noise", "seed": 7, "width": 64, "height": 64},
            {"id": "denoise", "type": "denoise_latents", "steps": 2, "cfg_scale": 4.0, "scheduler": "euler"},
            {"id": "image", "type": "l2i", "use_cache": False},
        ],
        [
            *(f"model.{clip} -> {text}.{clip}" for text in ("positive", "negative") for clip in encoders),
            "model.unet -> denoise.unet",
            "positive.conditioning -> denoise.positive_conditioning",
            "negative.conditioning -> denoise.negative_conditioning",
            "noise.noise -> denoise.noise",
            "denoise.latents -> image.latents",
            "model.vae -> image.vae",
        ],
    )


def run(url: str, work: Graph, timeout: float = 60, token: str | None = None) -> dict[str, Any]:
    """Enqueue a graph and return its finished queue item."""
    queue = f"{url}/api/v1/queue/default"
    answer = call("POST", f"{queue}/enqueue_batch", {"batch": {"graph": work, "runs": 1}}, token=token)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        item: dict[str, Any] = call("GET", f"{queue}/i/{answer['item_ids'][0]}", token=token)
        if item["status"] not in ("pending", "in_progress"):
            return item
        time.sleep(0.02)
    raise AssertionError(f"still {item['status']} after {timeout} s")


def image_size(item: dict[str, Any], node: str) -> tuple[int, int]:
    """Width and height of the image that a node made; fails in the server's own words if the item did."""
    assert item["status"] == "completed", item["error_traceback"]
    (prepared,) = item["session"]["source_prepared_mapping"][node]
    result = item["session"]["results"][prepared]
    return result["width"], result["height"]


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_a_graph_without_models_runs(server_url: str) -> None:
    assert image_size(run(server_url, model_free()), "blur") == (64, 64)


@pytest.mark.parametrize("base", ["sd-1", "sdxl"])
def test_text_to_image_runs(server_url: str, base: str) -> None:
    assert image_size(run(server_url, text_to_image(server_url, base)), "image") == (64, 64)


def test_the_tiny_models_are_what_they_are_meant_to_be(server: Server) -> None:
    assert {model.name: (model.base, model.type) for model in server.models} == {
        "tiny-sd15": ("sd-1", "main"),
        "tiny-sd15-controlnet": ("sd-1", "controlnet"),
        "tiny-sd15-lora": ("sd-1", "lora"),
        "tiny-sd15-vae": ("sd-1", "vae"),
        "tiny-sdxl": ("sdxl", "main"),
        "tiny-sdxl-lora": ("sdxl", "lora"),
        "tiny-sdxl-vae": ("sdxl", "vae"),
    }
    assert len({model.hash for model in server.models}) == len(server.models)


COLLECTS = """
import gc
from tests.server.launch import freeze_survivors
gc.callbacks.append(freeze_survivors)
made = [[] for _ in range(100_000)]
gc.collect()
print(len(gc.get_objects()) < 10_000)
"""


def test_items_do_not_wait_for_garbage_collection() -> None:
    """Whatever the imports of the server have left is not looked at again before each item."""
    shown = subprocess.run([sys.executable, "-c", COLLECTS], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert shown.stdout == "True\n"


def test_a_killed_server_starts_again_with_what_it_had_and_leaves_nothing() -> None:
    with Server.start() as server:
        url = server.url
        done = run(url, model_free())["item_id"]
        server.kill()
        assert not server.running
        assert not listens(port_of(url))
        server.restart()
        assert server.url == url
        assert call("GET", f"{url}/api/v1/queue/default/i/{done}")["status"] == "completed"
    assert not server.root.exists()
    assert not listens(port_of(url))


@pytest.mark.parametrize(
    ("port", "faults", "is_started"),
    [
        (1, [DatabaseInUseError] * 2, True),
        (1, [DatabaseInUseError] * 3, False),
        (1, [PortTakenError], False),
        (None, [PortTakenError, DatabaseInUseError], True),
        (None, [PortTakenError] * 3, False),
    ],
)
def test_what_another_process_or_its_own_queue_ended_is_started_again(
    port: int | None, faults: list[type[ServerError]], is_started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, left = Server.__new__(Server), [*faults]

    def launch(_server: Server, _timeout: float) -> None:
        if left:
            raise left.pop(0)

    monkeypatch.setattr(server, "_port", port, raising=False)
    monkeypatch.setattr(Server, "_launch_once", launch)
    if is_started:
        server._launch(1)
    else:
        with pytest.raises(faults[-1]):
            server._launch(1)
    assert not left


def test_a_taken_port_is_an_error_and_not_another_port(server: Server, tmp_path: Path) -> None:
    port = port_of(server.url)
    with pytest.raises(ServerError, match=f"port {port} is taken"):
        Server.start(root=tmp_path, port=port)


def test_a_server_that_dies_while_starting_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="ended with code") as caught:
        Server.start(root=tmp_path, settings={"precision": "nonsense"})
    assert str(tmp_path / "server.log") in str(caught.value)
    assert "nonsense" in str(caught.value)


def test_accounts_and_models_go_together() -> None:
    with Server.start(multiuser=True, models=True) as server:
        assert server.admin is not None
        assert server.token is not None
        assert "tiny-sdxl" in {model.name for model in server.models}
        assert image_size(run(server.url, model_free(), token=server.token), "blur") == (64, 64)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_no_server_outlives_a_process_that_was_killed() -> None:
    port = free_port()
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.server", "run", "--port", str(port)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    assert parent.stderr
    with parent.stdout, parent.stderr:
        assert parent.stdout.readline() == f"INVOKEAI_URL=http://127.0.0.1:{port}\n"
        root = Path(parent.stderr.readline().removeprefix("log: ").strip()).parent
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    end = time.monotonic() + 120
    while (root.exists() or listens(port)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not root.exists()
    assert not listens(port)
