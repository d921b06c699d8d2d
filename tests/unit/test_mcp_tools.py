"""Workflows as tools of an agent: what is listed, and what arguments become. Calls are in `tests/live/test_mcp*.py`."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from invokeai_gen.agents import quick_import
from invokeai_gen.agents.tool import IMAGES, CallSettings, WorkflowTool, name_in
from invokeai_gen.codegen.names import assign_names
from invokeai_gen.compiler import NotReadyError, compile_workflow
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import ImageRef
from invokeai_gen.schema import shipped_schema
from invokeai_gen.server.boards import Board
from invokeai_gen.server.models import Model
from invokeai_gen.workflow import WorkflowError, read_workflow_file
from tests.unit.test_params_json import FILES, SHIPPED, name_of
from tests.unit.workflow_builder import Builder


def board(name: str, board_id: str) -> Board:
    return Board.of({"board_id": board_id, "board_name": name, "image_count": 0, "asset_count": 0, "video_count": 0})


def model(name: str, key: str, base: str = "sd-1") -> Model:
    known = {"key": key, "hash": key, "name": name, "base": base, "type": "main", "path": "", "source": ""}
    return Model.of({**known, "file_size": 0, "description": "", "format": "diffusers"})


@cache
def plan_of(path: Path) -> WorkflowPlan | None:
    """The plan of a file; `None` if the GUI refuses it, too."""
    try:
        return assign_names(compile_workflow(read_workflow_file(path), shipped_schema()).plan)
    except (NotReadyError, WorkflowError):
        return None


def tool_of(path: Path) -> WorkflowTool:
    plan = plan_of(path)
    if plan is None:
        pytest.skip("the GUI refuses it, too")
    return WorkflowTool.of(path.stem, plan, CallSettings())


def shipped(name: str) -> WorkflowTool:
    return tool_of(next(path for path in SHIPPED if path.stem == name))


@pytest.fixture
def blur() -> WorkflowTool:
    builder = Builder(shipped_schema()).node("b", "img_blur", radius=1).node("s", "save_image")
    plan = builder.edge("b.image", "s.image").field("b.image").field("b.radius").compile().plan
    return WorkflowTool.of("blur", assign_names(plan), CallSettings())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_workflow_is_listed_with_valid_schemas_and_plain_texts(path: Path) -> None:
    tool = tool_of(path)
    listed = tool.listed([model("tiny", "k1")], [board("Cats", "b1")])
    for schema in (listed.input_schema, listed.output_schema or {}):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", listed.name)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", key) for key in listed.input_schema["properties"])
    assert len(listed.title or "") <= 120
    assert len(listed.description or "") <= 600
    assert "\\u001b" not in json.dumps(listed.model_dump(mode="json"))
    fed = {item.name for item in tool.plan.inputs if item.fed_by is not None}
    assert not fed & listed.input_schema["properties"].keys()


def test_models_and_boards_of_the_server_are_choices_while_they_are_few() -> None:
    tool = shipped("sd15_text_to_image")
    models = [model("tiny-sd15", "k1"), model("other", "k2"), model("xl", "k3", "sdxl")]
    schema = tool.input_schema(models, [board("Cats", "b1"), board("Cats", "b2")])
    assert schema["properties"]["model"]["enum"] == ["other", "tiny-sd15"]
    assert schema["properties"]["output_board"]["enum"] == ["auto", "none", "b1", "b2"]
    assert schema["properties"]["output_board"]["default"] in ("auto", "none")
    assert "output_board" not in schema["required"]

    many = tool.input_schema([model(f"m{n}", f"k{n}") for n in range(61)], [])
    assert "enum" not in many["properties"]["model"]
    assert "enum" not in many["properties"]["output_board"]


def test_a_model_that_the_server_does_not_have_is_no_default() -> None:
    tool = shipped("sd15_text_to_image")
    before = tool.input_schema([], [])
    assert "model" not in before["required"]
    default = before["properties"]["model"]["default"]
    have = tool.input_schema([model(default["name"], "k1"), model("other", "k2")], [])
    assert have["properties"]["model"]["default"] == default["name"]
    lack = tool.input_schema([model("other", "k2")], [])
    assert "default" not in lack["properties"]["model"]
    assert "model" in lack["required"]


def test_two_workflows_of_one_name_are_two_tools() -> None:
    plan = plan_of(SHIPPED[0])
    assert plan is not None
    first = WorkflowTool.of("a b", plan, CallSettings())
    second = WorkflowTool.of("a b", plan, CallSettings(), {first.name})
    assert first.name == "a_b"
    assert second.name.startswith("a_b_")
    assert WorkflowTool.of("画像", plan, CallSettings()).name.startswith("workflow_")


def test_an_argument_whose_label_agents_do_not_take_has_a_name_of_its_own() -> None:
    builder = Builder(shipped_schema()).node("b", "img_blur", radius=1).node("s", "save_image")
    builder.edge("b.image", "s.image").field("b.image").field("b.radius")
    inputs = builder.nodes[0]["data"]["inputs"]
    inputs["image"]["label"], inputs["radius"]["label"] = "画像", "Input 0"
    plan = assign_names(builder.compile().plan)
    tool = WorkflowTool.of("blur", plan, CallSettings())
    properties = tool.input_schema([], [])["properties"]
    assert {name: about["title"] for name, about in properties.items()} == {"input_0_": "画像", "input_0": "Input 0"}
    assert tool.arguments(tool.params({"input_0_": "a.png", "input_0": 3})) == {
        "input_0_": {"image_name": "a.png"},
        "input_0": 3,
    }
    with pytest.raises(ParamsError) as error:
        tool.params({"input_0_": "a.png", "input_0": "many"})
    assert [problem.name for problem in error.value.problems] == ["input_0"]


def link_of(name: str) -> str:
    return IMAGES.expand({"name": name})


@pytest.mark.parametrize("name", ["a.png", "a b.png", "画像.png", "100%.png"])
def test_a_link_is_read_as_the_name_it_was_made_of(name: str) -> None:
    assert name_in(link_of(name)) == name
    assert name_in(name) == name


def test_images_are_names_links_or_files_below_an_allowed_folder(
    blur: WorkflowTool, allowed: Path, tmp_path: Path
) -> None:
    def image(value: Any, *folders: Path) -> Any:
        tool = replace(blur, settings=CallSettings(folders=folders or (tmp_path / "nothing", allowed)))
        return vars(tool.params({"image": value}))["image"]

    assert image("a.png") == image(link_of("a.png")) == image({"image_name": "a.png"}) == ImageRef("a.png")
    assert image({"path": "red.png"}) == image({"path": str(allowed / "red.png")}) == allowed / "red.png"
    assert image("/etc/hostname") == ImageRef("/etc/hostname"), "only a name on the server"
    assert image("file:///etc/hostname") == ImageRef("file:///etc/hostname")
    for path in ("../secret.png", "link.png", str(tmp_path / "secret.png"), "photos/../../secret.png", ""):
        with pytest.raises(ParamsError, match="Image"):
            image({"path": path}, allowed)
    with pytest.raises(ParamsError, match="Image"):
        blur.params({"image": {"path": str(allowed / "red.png")}})


def test_values_come_back_as_arguments_without_the_images_of_the_call(blur: WorkflowTool, tmp_path: Path) -> None:
    given = {"image": "data:image/png;base64,iVBORw0KGgo=", "radius": 3}
    assert blur.arguments(blur.params(given)) == {"radius": 3}
    named = {"image": link_of("a.png"), "radius": 3}
    assert blur.arguments(blur.params(named)) == {"image": {"image_name": "a.png"}, "radius": 3}


def test_serving_modules_loads_no_generator_and_nothing_that_only_a_run_needs() -> None:
    heavy = "jinja2 black libcst rich PIL socketio aiohttp invokeai_gen.compiler invokeai_gen.codegen invokeai_gen.server.events"
    program = (
        "import sys, invokeai_gen.cli.server.mcp as verb, invokeai_gen.agents.server\n"
        "plans = [*verb._plans(['generated'], None)]\n"
        "assert len(plans) > 5\n"
        f"print(*[name for name in {heavy!r}.split() if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert loaded.stdout.split() == []


def test_models_imported_quickly_are_built_when_first_used() -> None:
    try:
        with quick_import():

            class Deferred(BaseModel):
                number: int

    finally:
        gc.unfreeze()
    assert gc.isenabled()
    assert not Deferred.__pydantic_complete__
    assert Deferred(number=1).number == 1
    assert Deferred.__pydantic_complete__
    assert "defer_build" not in BaseModel.model_config, "others are built as ever"
