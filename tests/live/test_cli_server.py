"""The commands that talk to a server, on a real one. They touch only what they made."""

from __future__ import annotations

import importlib.util
import json
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from PIL import Image

from invokeai_gen import InvokeAIClient
from invokeai_gen.cli import cli as group
from invokeai_gen.schema import Schema, load_schema
from invokeai_gen.server import constants
from invokeai_gen.server.boards import Board
from tests.cli import Cli, adder, save
from tests.live import proxy as faults
from tests.live.proxy import Proxy
from tests.unit.workflow_builder import Builder


@pytest.fixture
def name(client: InvokeAIClient) -> Iterator[str]:
    """A name that nothing on the server has; workflows and boards that get it are deleted afterwards."""
    unique = f"../cli test {uuid.uuid4().hex[:8]}"
    yield unique
    for workflow in client.workflows.list(search=unique[3:]):
        client.workflows.delete(workflow.workflow_id)
    for board in client.boards.find(unique):
        client.boards.delete(board.board_id, images="delete")


@pytest.fixture
def board(client: InvokeAIClient, name: str) -> Board:
    """A board with three images."""
    made = client.boards.create(name)
    for shade in (10, 120, 230):
        buffer = BytesIO()
        Image.new("RGB", (16, 16), (shade, shade, shade)).save(buffer, "PNG")
        client.images.upload(buffer.getvalue(), "shade.png", board_id=made.board_id)
    return made


def test_pull_saves_a_schema_that_generate_accepts(cli: Cli) -> None:
    answer = cli("pull", "-o", "api.json")
    assert answer.code == 0, answer.err
    pulled = load_schema(Path("api.json"))
    assert pulled.version.count(".") == 2
    assert answer.lines == [f"api.json: InvokeAI {pulled.version}, {len(list(pulled.node_types))} node types"]
    save(Path("adder.json"), adder())
    assert cli("generate", "adder.json", "--openapi", "api.json").code == 0


def test_pull_replaces_what_it_pulled(cli: Cli) -> None:
    assert cli("pull").code == cli("pull").code == 0
    Path("openapi.json").write_text("mine", encoding="utf-8")
    assert cli("pull").code == 1
    assert cli("pull", "--force").code == 0


def test_pull_goes_where_the_pyproject_says(cli: Cli) -> None:
    cli("init", "--openapi", "node-types.json")
    assert cli("pull").code == 0
    assert Path("node-types.json").is_file()


def test_a_server_can_be_the_schema(cli: Cli, server_url: str) -> None:
    save(Path("adder.json"), adder())
    assert cli("generate", "adder.json", "--server", server_url).code == 0
    assert cli("check", "adder.json", "--server", server_url).code == 0


def test_what_is_no_invokeai_is_reported(cli: Cli, server_url: str) -> None:
    answer = cli("pull", "--server", f"{server_url}/api")
    assert answer.code == 1
    assert len(answer.errors) == 1


def _payload(cli: Cli, data: dict[str, Any], *options: object) -> Any:
    save(Path("workflow.json"), data)
    answer = cli("payload", "workflow.json", *options)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_payload_asks_the_server_for_dynamic_prompts(cli: Cli, schema: Schema, server_url: str) -> None:
    settings = {
        "type": "string_generator_dynamic_prompts_combinatorial",
        "input": "a {red|green} {fox|owl}",
        "maxPrompts": 10,
    }
    builder = Builder(schema).node("g", "string_generator", generator=settings).node("b", "string_batch")
    builder.node("s", "string").edge("g.strings", "b.strings").edge("b.value", "s.value")
    save(Path("workflow.json"), builder.data())
    without = cli("payload", "workflow.json")
    assert without.code == 1
    assert "name one with --server URL" in without.err
    request = _payload(cli, builder.data(), "--server", server_url)
    (data,) = request["batch"]["data"]
    assert sorted(data[0]["items"]) == ["a green fox", "a green owl", "a red fox", "a red owl"]


def test_payload_asks_the_server_for_the_images_of_a_board(
    cli: Cli, schema: Schema, server_url: str, board: Board
) -> None:
    settings = {"type": "image_generator_images_from_board", "board_id": board.board_id, "category": "assets"}
    builder = Builder(schema).node("g", "image_generator").node("b", "image_batch").node("s", "image")
    builder.edge("g.images", "b.images").edge("b.image", "s.image").field("g.generator")
    assigned = f"generator_type={json.dumps(settings)}"
    request = _payload(cli, builder.data(), "--server", server_url, "--set", assigned)
    (data,) = request["batch"]["data"]
    assert len(data[0]["items"]) == 3
    assert all(item["image_name"] for item in data[0]["items"])


def test_payload_tells_a_board_of_a_generator_that_is_not_there(cli: Cli, schema: Schema, server_url: str) -> None:
    settings = {"type": "image_generator_images_from_board", "board_id": "gone", "category": "images"}
    builder = Builder(schema).node("g", "image_generator", label="Gen", generator=settings).node("b", "image_batch")
    builder.node("s", "image").edge("g.images", "b.images").edge("b.image", "s.image").field("g.generator")
    save(Path("batch.json"), builder.data())
    answer = cli("payload", "batch.json", "--server", server_url)
    assert (answer.code, answer.out) == (1, "")
    where = "node 'Gen' (image_generator, id g), field 'Generator Type' (generator)"
    assert answer.errors == [f"error: batch.json: {where}: the server has no board with id 'gone'"]


def test_payload_tells_everything_that_is_not_on_the_server(cli: Cli, schema: Schema, server_url: str) -> None:
    builder = Builder(schema).node("i", "image").node("m", "main_model_loader").node("o", "save_image", label="Out")
    builder.node("n", "noise").edge("i.image", "o.image")
    builder.field("i.image").field("m.model").field("o.board").field("n.width")
    save(Path("all.json"), builder.data())
    wrong = ("0=abc.png", "model=nope", "board=zzz", "width=7")
    options = [part for item in wrong for part in ("--set", item)]
    answer = cli("payload", "all.json", "--server", server_url, *options)
    assert (answer.code, answer.out, len(answer.errors)) == (1, "", 4)
    image, model, board, width = answer.errors
    assert image.startswith(
        "error: all.json: node 'Image Primitive' (image, id i), field 'Image' (image): 'abc.png' is "
    )
    assert "field 'Model' (model): no model 'nope' that fits this field" in model and "tiny-sd15" in model
    assert "node 'Out' (save_image, id o), field 'Board' (board): no board has the name or id 'zzz'" in board
    assert "field 'Width' (width): Width (width) is 7" in width


def test_payload_looks_up_models_and_boards_by_name(cli: Cli, schema: Schema, server_url: str, board: Board) -> None:
    builder = Builder(schema).node("m", "main_model_loader").node("i", "blank_image").node("o", "save_image")
    builder.edge("i.image", "o.image").field("m.model").field("o.board")
    options = ("--server", server_url, "--set", "model=tiny-sd15", "--set", f"board={board.board_name}")
    nodes = _payload(cli, builder.data(), *options)["batch"]["graph"]["nodes"]
    assert nodes["m"]["model"]["hash"].startswith("blake3:")
    assert nodes["o"]["board"] == {"board_id": board.board_id}


def test_doctor_finds_what_is_missing(
    cli: Cli, schema: Schema, server_url: str, client: InvokeAIClient, board: Board
) -> None:
    (model,) = client.models.find("tiny-sd15", type="main")
    identifier = {key: getattr(model, key) for key in ("key", "hash", "name", "base", "type")}

    def workflow(key: str, board_id: str, image: str) -> dict[str, Any]:
        builder = Builder(schema).node("m", "main_model_loader", label="Loader", model={**identifier, "name": key, "key": key, "hash": key})  # fmt: skip
        builder.node("i", "image", label="Picture", image={"image_name": image})
        builder.node("o", "save_image", label="Result", board={"board_id": board_id})
        builder.edge("i.image", "o.image").field("m.model").field("i.image").field("o.board")
        return builder.data()

    image = client.boards.image_names(board.board_id)[0]
    able = workflow(model.key, board.board_id, image)
    able["nodes"][0]["data"]["inputs"]["model"]["value"] = identifier
    save(Path("flows/able.json"), able)
    save(Path("flows/unable.json"), workflow("gone", "gone-board", "gone.png"))
    assert cli("generate", "flows").code == 0

    fine = cli("doctor", "able", "--server", server_url)
    assert (fine.code, fine.lines[1]) == (0, "ok     generated/able.py"), fine.out
    answer = cli("doctor")
    assert answer.code == 1
    assert answer.lines[1:3] == ["ok     generated/able.py", "cannot generated/unable.py"]
    model_line, image_line, board_line = answer.lines[3:]
    assert model_line.startswith("  error: Model (model): no model 'gone' that fits this field (")
    assert "This server has: tiny-sd15" in model_line
    assert image_line == "  error: Image (image): the image 'gone.png' is not on this server."
    assert board_line.startswith("  error: Board (board): no board has the name or id 'gone-board'")
    workflow_files = cli(
        "doctor", "flows/able.json", "flows/unable.json", "Text to Image - SD1.5", "nothing of this name"
    )
    assert workflow_files.code == 1
    states = [line.split(" ", 1)[0] for line in workflow_files.lines[1:] if not line.startswith("  ")]
    assert states == ["ok", "cannot", "ok", "cannot"], workflow_files.out
    assert "  warning: Model (model): required: every run must set it; the server has " in workflow_files.out
    folder = cli("doctor", "flows", "able").lines
    states = [line for line in folder[1:] if not line.startswith("  ")]
    assert states == ["ok     flows/able.json", "cannot flows/unable.json", "ok     generated/able.py"]
    report = json.loads(cli("doctor", "--json").out)
    assert report["able"] is False
    assert [len(items) for items in report["modules"].values()] == [0, 3]


def test_a_workflow_goes_to_the_library_and_back(cli: Cli, client: InvokeAIClient, name: str) -> None:
    data = {**adder(), "name": name}
    save(Path("mine.json"), data)
    added = cli("workflows", "push", "mine.json")
    assert added.code == 0, added.err
    (listed,) = cli("workflows", "list", "--category", "user", "--search", name[3:]).lines
    assert listed.startswith(f"user     {name}  ")

    assert cli("workflows", "pull", name, "-o", "flows").code == 0
    (pulled,) = Path("flows").iterdir()
    assert pulled.name == f"{name[3:].replace(' ', '-')}.json"
    assert not list(Path().glob("*test*"))
    back = json.loads(pulled.read_text(encoding="utf-8"))
    assert "id" not in back
    assert (back["name"], back["nodes"]) == (name, json.loads(json.dumps(data["nodes"])))
    assert cli("diff", "mine.json", pulled).code == 0
    assert cli("diff", listed.split()[-1], "mine.json").code == 0

    assert cli("workflows", "pull", name, "-o", "flows").lines[0].startswith("unchanged")
    pulled.write_text("mine", encoding="utf-8")
    refused = cli("workflows", "pull", name, "-o", "flows")
    assert refused.code == 1
    assert refused.errors == [f"error: {pulled}: exists already; --force overwrites it"]
    assert pulled.read_text(encoding="utf-8") == "mine"
    assert cli("workflows", "pull", name, "-o", "flows", "--force").code == 0

    save(Path("mine.json"), {**data, "description": "changed"})
    assert cli("workflows", "push", "mine.json", "--replace", name).out.startswith("replaced")
    (found,) = client.workflows.list(search=name[3:])
    assert client.workflows.get(found.workflow_id).workflow is not None
    assert cli("workflows", "rm", name).code == 0
    assert client.workflows.list(search=name[3:]) == []
    gone = cli("workflows", "rm", name)
    assert gone.code == 1
    assert gone.err.startswith(f"error: no workflow has the name or id {name!r}")


def test_workflows_that_ship_with_the_server_stay(cli: Cli, client: InvokeAIClient) -> None:
    shipped = client.workflows.list(category="default")[0]
    answer = cli("workflows", "rm", shipped.workflow_id)
    assert answer.code == 1
    assert answer.errors == [f"error: {shipped.name!r} is included in InvokeAI and cannot be deleted"]


def test_all_shipped_workflows_can_be_pulled_and_most_generated(cli: Cli) -> None:
    assert cli("workflows", "pull", "--all", "--category", "default", "-o", "flows").code == 0
    files = len(list(Path("flows").glob("*.json")))
    assert files >= 20
    answer = cli("generate", "flows", "-o", "out")
    assert len(list(Path("out").glob("[a-z]*.py"))) >= files - 6
    assert "Traceback" not in answer.err


def test_names_and_all_exclude_each_other(cli: Cli) -> None:
    assert cli("workflows", "pull").code == 2
    assert cli("workflows", "pull", "x", "--all").code == 2


def test_models_become_constants(cli: Cli, board: Board) -> None:
    answer = cli("models", "-o", "sub/server_models.py")
    assert answer.code == 0, answer.err
    path = Path("sub/server_models.py")
    spec = importlib.util.spec_from_file_location("server_models", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.Main.tiny_sd15.name == "tiny-sd15"
    assert module.Lora.tiny_sdxl_lora.base == "sdxl"
    assert board.board_id in {item.id for key, item in vars(module.Boards).items() if not key.startswith("_")}
    text = path.read_text(encoding="utf-8")
    assert cli("models", "-o", path).code == 0
    assert set(path.read_text(encoding="utf-8").splitlines()) >= {line for line in text.splitlines() if "tiny" in line}


def test_names_on_the_server_are_completed(cli: Cli, schema: Schema, board: Board) -> None:
    builder = Builder(schema).node("m", "main_model_loader").node("i", "blank_image").node("o", "save_image")
    save(Path("flow.json"), builder.edge("i.image", "o.image").field("m.model").field("o.board").data())

    def completed(*words: str) -> list[str]:
        *arguments, incomplete = words
        found = ShellComplete(group, {}, "invokeai-gen", "_X").get_completions(arguments, incomplete)
        return [str(item.value) for item in found]

    assert "tiny-sd15" in completed("run", "flow.json", "--model", "tiny")
    assert "model=tiny-sd15" in completed("payload", "flow.json", "--set", "model=TINY-SD")
    assert not any("lora" in name for name in completed("run", "flow.json", "--model", ""))
    assert completed("run", "flow.json", "--board", board.board_name[:8]) == [board.board_name]
    assert completed("run", "flow.json", "--auto-board", board.board_name) == [board.board_name]
    assert "Text to Image - SD1.5" in completed("workflows", "pull", "text to image")
    assert "Text to Image - SD1.5" in completed("run", "Text to Im")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/api/v1/app/version", "pull"),
        ("/openapi.json", "pull"),
        ("/openapi.json", "doctor flow.json"),
        ("/api/v2/models/", "models"),
        ("/api/v1/workflows/", "workflows list"),
        ("/api/v1/workflows/", "inspect nothing-of-that-name"),
        ("/openapi.json", "payload flow.json --server URL"),
    ],
)
def test_an_answer_that_drips_in_does_not_hold_a_command(
    path: str, line: str, cli: Cli, server_url: str, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "COMMAND_TIMEOUT", 1.0)
    save(Path("flow.json"), adder(schema))
    with Proxy(server_url) as proxy:
        monkeypatch.setenv("INVOKEAI_URL", proxy.url)
        proxy.on(f"GET {path}", faults.dripping, faults.FOR_GOOD)
        answer = cli(*line.replace("URL", proxy.url).split())
    assert answer.code == 1
    assert f"did not finish its answer to GET {path} within 1 s" in answer.err
