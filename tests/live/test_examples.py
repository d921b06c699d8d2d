"""Every example workflow, as its generated module, runs on a real server and leaves real images."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from invokeai_gen import InvokeAIClient
from invokeai_gen.compiler import compile_workflow
from invokeai_gen.core.field_values import default_of
from invokeai_gen.core.image_values import RecallWarning
from invokeai_gen.core.json_writing import to_json
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.values import as_color
from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import Schema
from invokeai_gen.server.run_errors import EnqueueError, ValueResolutionError
from invokeai_gen.workflow import read_workflow_file
from tests.cli import Cli

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "data" / "workflows").glob("*.json"))
MODULES = sorted(path.stem for path in (ROOT / "generated").glob("*.py") if not path.stem.startswith("_"))

SMALL: dict[str, Any] = {"width": 64, "height": 64, "output_width": 64, "output_height": 64, "steps": 2}
"""What keeps the runs short, for the modules that have such inputs."""


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "input.png"
    Image.linear_gradient("L").convert("RGB").resize((96, 64)).save(path)
    return path


def _params(module: Any, picture: Path) -> Any:
    """The module's own defaults, made small; a picture for every image that must be given."""
    inputs = module.WORKFLOW.plan.inputs
    given = {item.name: max(SMALL[item.name], item.constraints.ge or 0) for item in inputs if item.name in SMALL}
    required = [item for item in inputs if default_of(item) is UNSET]
    return module.Params(**given, **{item.name: picture for item in required})


def test_there_is_a_module_for_each_example() -> None:
    assert len(MODULES) == len(EXAMPLES) >= 8


@pytest.mark.parametrize("name", MODULES)
def test_an_example_runs_and_its_images_are_real(
    name: str, client: InvokeAIClient, picture: Path, tmp_path: Path
) -> None:
    module = importlib.import_module(f"generated.{name}")
    outputs = module.WORKFLOW.run_all(_params(module, picture), client=client, timeout=120)
    assert outputs
    shown = [item.name for item in module.WORKFLOW.plan.outputs if item.role == "user"]
    assert shown
    for number, output in enumerate(outputs):
        for attribute in shown:
            image = getattr(output, attribute)
            saved = image.save(tmp_path / f"{attribute}-{number}.png")
            with Image.open(saved) as opened:
                assert opened.size == (image.width, image.height)
                assert opened.format == "PNG"


@pytest.mark.parametrize("name", MODULES)
def test_the_values_of_an_example_come_back_from_its_images(
    name: str, client: InvokeAIClient, picture: Path, recwarn: pytest.WarningsRecorder
) -> None:
    module = importlib.import_module(f"generated.{name}")
    given = _params(module, picture)
    outputs = module.WORKFLOW.run_all(given, client=client, timeout=120)
    shown = next(item.name for item in module.WORKFLOW.plan.outputs if item.role == "user")
    image = getattr(outputs[-1], shown)
    recalled = module.Params.from_image(image)
    assert recalled == module.Params.from_image(image.bytes()) == module.Params.from_image(image.pil())
    assert recalled == module.Params.from_image(image.name, client=client)
    assert _comparable(recalled) == _comparable(given)
    print(f"{len(_comparable(given))} values")
    assert {str(item.message) for item in recwarn.list if item.category is not RecallWarning} == set()
    assert all("list of the whole batch" in str(item.message) for item in recwarn.list)
    again = getattr(module.WORKFLOW.run_all(recalled, client=client, timeout=120)[-1], shown)
    assert again.pil().tobytes() == image.pil().tobytes()


def test_each_image_of_a_sweep_says_its_own_values(client: InvokeAIClient) -> None:
    """The server varies the numbers by itself, so the workflow in every image has those of the first run."""
    from generated import sunset_poster as wf

    base = wf.Params(width=256, height=256)
    with wf.sweep(base, product={"ripples": [0.0, 1.0], "title": ["a", "b"]}, client=client) as sweep:
        made = [(result.params, result.outputs) for result in sweep.results()]
    assert len(made) == 4
    for params, outputs in made:
        assert _comparable(wf.Params.from_image(outputs.poster)) == _comparable(params)


def _comparable(params: Any) -> dict[str, Any]:
    """The values as JSON, without what differs between servers: keys of models and names of uploads."""
    values: dict[str, Any] = params.to_dict()
    for item in params.inputs():
        value = values.get(item.name)
        if isinstance(value, dict) and "hash" in value:
            values[item.name] = (value["name"], value["base"], value["type"])
        elif isinstance(value, dict) and value.keys() & {"path", "image_name"}:
            values[item.name] = "an image"
        elif isinstance(value, str) and value.startswith("#"):
            values[item.name] = to_json(as_color(value))
    return values


def test_what_is_set_is_what_is_painted(client: InvokeAIClient, tmp_path: Path) -> None:
    module = importlib.import_module("generated.sunset_poster")
    params = module.Params(width=256, height=256, sky_color="#0000ff", horizon_color="#0000ff", ripples=0.0)
    outputs = module.run(params, client=client, timeout=60)
    with Image.open(outputs.poster.save(tmp_path / "poster.png")) as poster:
        red, _, blue = poster.convert("RGB").getpixel((2, 2))  # type: ignore[misc]
    assert blue > 200
    assert red < 60


def test_batches_give_one_result_for_each_queue_item(client: InvokeAIClient) -> None:
    module = importlib.import_module("generated.color_study_batch")
    params = module.Params(width=64, height=64, names=["a", "b"], hues=[0, 120])
    outputs = module.WORKFLOW.run_all(params, client=client, timeout=120)
    seeds = module.WORKFLOW.plan.node(module.WORKFLOW.plan.batches[-1].generator_node_id or "")
    count = next(item.value["count"] for item in seeds.fields if item.name == "generator")
    assert len(outputs) == 2 * count
    assert len({output.study.name for output in outputs}) == len(outputs)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_payload_of_an_example_is_accepted(
    path: Path, client: InvokeAIClient, schema: Schema, picture: Path, tmp_path: Path
) -> None:
    """`payload` prints, for a server that has the models and images, what that server takes as it is."""
    plan = compile_workflow(read_workflow_file(path), schema).plan
    params = tmp_path / "params.json"
    params.write_text(json.dumps(_resolved_values(plan, client, picture)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "invokeai_gen", "payload", str(path), "--params", str(params)],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stderr == ""
    answer = client.ask("POST", "/api/v1/queue/default/enqueue_batch", json=json.loads(done.stdout))
    assert answer["enqueued"] == answer["requested"] >= 1
    client.queue.cancel_batches([answer["batch"]["batch_id"]])


def _resolved_values(plan: WorkflowPlan, client: InvokeAIClient, picture: Path) -> dict[str, Any]:
    """This server's models and an image of its own, by form index."""
    models = {model.name: model for model in client.models.list()}
    values: dict[str, Any] = {}
    for item in plan.inputs:
        if item.field_type == "ModelIdentifierField" and isinstance(item.value, dict):
            model = models[item.value["name"]]
            values[str(item.index)] = {
                "key": model.key, "hash": model.hash, "name": model.name, "base": model.base, "type": model.type,
            }  # fmt: skip
        elif item.field_type == "ImageField":
            values[str(item.index)] = {"image_name": client.images.upload(picture.read_bytes(), "input.png").image_name}
    return values


def test_the_address_of_the_server_comes_from_the_environment(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOKEAI_URL", server_url)
    module = importlib.import_module("generated.sunset_poster")
    assert re.fullmatch(r"[0-9a-f-]{36}\.png", module.run(module.Params(), timeout=60).poster.name)


@pytest.mark.parametrize("name", MODULES)
def test_doctor_decides_as_the_server_does(name: str, cli: Cli, client: InvokeAIClient, picture: Path) -> None:
    report = json.loads(cli("doctor", ROOT / "generated" / f"{name}.py", "--json").out)
    errors = [item for items in report["modules"].values() for item in items if item["kind"] == "error"]
    module = importlib.import_module(f"generated.{name}")
    try:
        with module.WORKFLOW.submit(_params(module, picture), client=client) as job:
            job.cancel()
        accepted, refusal = True, ""
    except (EnqueueError, ValueResolutionError) as error:
        accepted, refusal = False, str(error)
    assert report["able"] is accepted, (errors, refusal)
