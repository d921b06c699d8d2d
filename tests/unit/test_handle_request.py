"""A handle sends what the generated module sends, to the letter."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from invokeai_gen import InvokeAIClient
from invokeai_gen.cli import cli
from invokeai_gen.handle import WorkflowDefinition, WorkflowHandle
from invokeai_gen.schema import Schema
from invokeai_gen.server.status_errors import RejectedError

WORKFLOWS = Path(__file__).parents[2] / "data" / "workflows"
CORPUS = os.environ.get("INVOKEAI_GEN_CORPUS", "")
NOBODY = "http://127.0.0.1:9"

CHANGES: dict[str, dict[str, Any]] = {
    "sunset_poster": {"Title": "First light", "Width": 512, "Sky Color": "#2b4c7e", "Mood": "stormy", "Ripples": 0.5},
    "sd15_image_to_image": {"Source Image": "here.png", "CFG Scale": [7.0, 3.0], "Output Board": "none", "Steps": 3},
    "color_study_batch": {"Names": ["a", "b", "c"], "Hues": [1, 2, 3], "Blur": "box"},
    "sdxl_with_lora": {},
}


class Recorder:
    """A server that has every model, board and image, takes note of what it is to enqueue, and refuses it."""

    def __init__(self, models: list[dict[str, Any]], boards: list[str]) -> None:
        self.models = models
        self.boards = [{"board_id": board_id, "board_name": "A board"} for board_id in boards]
        self.sent: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/enqueue_batch"):
            self.sent.append(json.loads(request.content))
            return httpx.Response(422, json={"detail": []})
        if path.endswith("/models/"):
            return httpx.Response(200, json={"models": self.models})
        if path.endswith("/boards/"):
            return httpx.Response(200, json=self.boards)
        if "/images/i/" in path:
            return httpx.Response(200, json={"image_name": path.rpartition("/")[2], "width": 8, "height": 8})
        return httpx.Response(404, json={"detail": f"no {path}"})

    def last(self) -> dict[str, Any]:
        """The last request, without the ids that are new each time."""
        request = self.sent[-1]
        return {
            **request,
            "batch": {**request["batch"], "batch_id": "", "graph": {**request["batch"]["graph"], "id": ""}},
        }


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Callable[[WorkflowHandle], Any]]:
    """Generates the module of a handle, and imports it."""
    folder = tmp_path / "made_from_handles"
    sys.path.insert(0, str(tmp_path))

    def load(handle: WorkflowHandle) -> Any:
        path = handle.to_module(folder)
        return importlib.import_module(f"made_from_handles.{path.stem}")

    yield load
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_from_handles"]:
        del sys.modules[name]


def _sent_by_both(handle: WorkflowHandle, module: Any, changes: dict[str, Any]) -> list[dict[str, Any]]:
    values = [item.value for item in handle.plan.inputs]
    loras = [entry["lora"] for value in values if isinstance(value, list) for entry in value if "lora" in str(entry)]
    objects = [value for value in [*values, *loras] if isinstance(value, dict)]
    recorder = Recorder(
        [value for value in objects if "key" in value], [value["board_id"] for value in objects if "board_id" in value]
    )
    client = InvokeAIClient(NOBODY, http_backend=httpx.MockTransport(recorder))
    handle.client = client
    params = module.Params(**{item.name: changes[item.label] for item in handle.list_inputs() if item.label in changes})
    for item in handle.list_inputs():
        if item.label in changes:
            item.field.value = changes[item.label]
    found = []
    for submit in (handle.submit_sync, lambda: module.submit(params, client=client)):
        with pytest.raises(RejectedError):
            submit()
        found.append(recorder.last())
    return found


@pytest.mark.parametrize("name", CHANGES)
def test_a_handle_and_its_module_send_the_same(
    name: str, schema: Schema, modules: Callable[[WorkflowHandle], Any]
) -> None:
    handle = WorkflowHandle(WorkflowDefinition.from_file(WORKFLOWS / f"{name}.json"), schema)
    by_handle, by_module = _sent_by_both(handle, modules(handle), CHANGES[name])
    assert by_handle == by_module
    assert len(by_handle["batch"]["graph"]["nodes"]) > 3


@pytest.mark.skipif(not CORPUS, reason="INVOKEAI_GEN_CORPUS names no folder of recorded requests")
def test_a_handle_and_its_module_send_the_same_for_a_large_workflow(
    schema: Schema, modules: Callable[[WorkflowHandle], Any]
) -> None:
    path = Path(CORPUS) / "gui" / "community-sdxl-flux-refine" / "workflow.json"
    handle = WorkflowHandle(WorkflowDefinition.from_file(path), schema)
    changes = {"Positive Prompt": "a fox", "Output Width": 768, "Scheduler": "euler", "CFG Scale": 5.5}
    by_handle, by_module = _sent_by_both(handle, modules(handle), changes)
    assert by_handle == by_module


def test_the_module_of_a_handle_is_the_one_that_generate_writes(schema: Schema, tmp_path: Path) -> None:
    handle = WorkflowHandle(WorkflowDefinition.from_file(WORKFLOWS / "sunset_poster.json"), schema)
    handle.get_inputs_by_user_name()["Width"].field.value = 512
    made = handle.to_module(tmp_path / "one" / "workflows")
    two = tmp_path / "two" / "workflows"
    done = CliRunner().invoke(cli, ["generate", str(WORKFLOWS / "sunset_poster.json"), "-o", str(two)])
    assert done.exit_code == 0, done.output
    assert made.name == "sunset_poster.py"
    for suffix in (".py", ".json"):
        assert made.with_suffix(suffix).read_bytes() == (two / f"sunset_poster{suffix}").read_bytes()
