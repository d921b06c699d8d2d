"""`payload`: values that come as text, and everything that is wrong with them, at once and by its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.handle import WorkflowDefinition, WorkflowHandle
from invokeai_gen.schema import Schema
from tests.cli import Cli, adder, save
from tests.unit.workflow_builder import Builder

NODE = "node 'Sky' (color, id c), field 'Color' (color)"
REFUSED = (
    f"error: sky.json: {NODE}: Color (color) is {{}}, but should be a colour: "
    '"#ff8000", a CSS name, (255, 128, 0), (255, 128, 0, 255) or a Color'
)


@pytest.fixture
def cli(cli: Cli, schema: Schema) -> Cli:
    save(Path("adder.json"), adder())
    save(Path("sky.json"), Builder(schema).node("c", "color", label="Sky").field("c.color").data())
    return cli


def _nodes(text: str) -> Any:
    return json.loads(text)["batch"]["graph"]["nodes"]


@pytest.mark.parametrize("text", ["reddish", "#12", "#12345"])
def test_what_is_no_colour_is_reported(cli: Cli, text: str) -> None:
    answer = cli("payload", "sky.json", "--set", f"Color={text}")
    assert (answer.code, answer.out, answer.errors) == (1, "", [REFUSED.format(repr(text))])
    save(Path("params.json"), {"color": text})
    answer = cli("payload", "sky.json", "--params", "params.json")
    assert (answer.code, answer.out) == (1, "")
    assert answer.errors == [REFUSED.replace("sky.json", "params.json").format(repr(text))]
    unchecked = cli("payload", "sky.json", "--no-validate", "--set", f"Color={text}")
    assert _nodes(unchecked.out)["c"]["color"] == text


def test_an_object_that_is_no_colour_is_reported(cli: Cli) -> None:
    answer = cli("payload", "sky.json", "--set", 'Color={"r": 300, "g": 0, "b": 0}')
    assert (answer.code, answer.out, len(answer.errors)) == (1, "", 1)
    assert answer.errors[0].startswith(f"error: sky.json: {NODE}: Color (color) is {{'r': 300, 'g': 0, 'b': 0}}")
    assert "channel r of a colour is 300" in answer.errors[0]


def test_a_file_is_no_image_of_the_server(cli: Cli, schema: Schema) -> None:
    save(Path("image.json"), Builder(schema).node("i", "image").field("i.image").data())
    answer = cli("payload", "image.json", "--set", 'Image={"path": "x.png"}')
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "is the file 'x.png', and payload uploads nothing" in answer.errors[0]


@pytest.mark.parametrize("text", ["soft\u00adhyphen", "next\u0085line", "\U0001f3f4\U000e0067\U000e007f"])
def test_the_request_is_json_whatever_a_terminal_cannot_show(cli: Cli, schema: Schema, text: str) -> None:
    save(Path("text.json"), Builder(schema).node("s", "string").field("s.value").data())
    answer = cli("payload", "text.json", "--set", f"value={text}")
    assert (_nodes(answer.out)["s"]["value"], text in answer.out) == (text, False)


def test_set_without_a_value_is_wrong_usage(cli: Cli) -> None:
    answer = cli("payload", "adder.json", "--set", "foo")
    assert (answer.code, answer.out) == (2, "")
    assert "'foo' has no '='; write --set NAME=VALUE" in answer.err


def test_names_and_values_are_reported_at_once_with_their_file(cli: Cli) -> None:
    save(Path("params.json"), {"secnd": 3, "b": "x"})
    answer = cli("payload", "adder.json", "--params", "params.json", "--set", "nix=1", "--set", "first=true")
    assert (answer.code, answer.out) == (1, "")
    assert [line[: line.index(": ", 25)] if "node" in line else line for line in answer.errors] == [
        "error: params.json: unknown input 'secnd'; there are first, b",
        "error: adder.json: unknown input 'nix'; there are first, b",
        "error: params.json: node 'Sum' (add, id sum), field 'B' (b)",
        "error: adder.json: node 'Sum' (add, id sum), field 'First' (a)",
    ]


def test_choices_that_are_numbers_are_taken_as_such(cli: Cli, schema: Schema) -> None:
    document = json.loads(json.dumps(schema.document))
    level = document["components"]["schemas"]["AddInvocation"]["properties"]["a"]
    level.update(enum=[1, 2, 3], default=1)
    save(Path("api.json"), document)

    def payload(text: str) -> Any:
        return cli("payload", "adder.json", "--openapi", "api.json", "--set", f"first={text}")

    assert _nodes(payload("3").out)["sum"]["a"] == 3
    for text, shown in (("7", "7"), ("x", "'x'")):
        answer = payload(text)
        assert (answer.code, len(answer.errors)) == (1, 1)
        assert answer.errors[0].endswith(f"First (first) is {shown}, but should be 1, 2 or 3")


def test_a_generator_that_needs_a_server_is_reported_with_the_rest(cli: Cli, schema: Schema) -> None:
    settings = {"type": "image_generator_images_from_board", "board_id": "b1", "category": "images"}
    builder = Builder(schema).node("g", "image_generator", label="Gen", generator=settings).node("b", "image_batch")
    builder.node("s", "image").node("n", "noise").edge("g.images", "b.images").edge("b.image", "s.image")
    save(Path("batch.json"), builder.field("n.width").data())
    answer = cli("payload", "batch.json", "--set", "width=7")
    assert (answer.code, answer.out, len(answer.errors)) == (1, "", 2)
    assert answer.errors[0].startswith("error: batch.json: node 'Gen' (image_generator, id g), field ")
    assert answer.errors[0].endswith("a generator needs a server (the images of a board): name one with --server URL")
    assert "Width (width) is 7" in answer.errors[1]


def test_the_names_are_those_of_the_module(cli: Cli, schema: Schema) -> None:
    builder = Builder(schema).node("a", "integer", value=1).field("a.value")
    data = builder.data()
    data["nodes"][0]["data"]["inputs"]["value"]["label"] = "Width"
    save(Path("w.json"), data)
    assert cli("generate", "w.json").code == 0
    twice = Builder(schema).node("b", "integer", value=2).node("a", "integer", value=1).field("b.value")
    data = twice.field("a.value").data()
    for node in data["nodes"]:
        node["data"]["inputs"]["value"]["label"] = "Width"
    save(Path("w.json"), data)
    answer = cli("payload", "w.json", "--set", "width=7")
    assert _nodes(answer.out)["a"]["value"] == 7, answer.err
    assert _nodes(answer.out)["b"]["value"] == 2

    definition = WorkflowDefinition.from_file("w.json")
    assert WorkflowHandle(definition, schema, modules="generated").plan.inputs[1].name == "width"
    assert "width" not in [item.name for item in WorkflowHandle(definition, schema).plan.inputs]
