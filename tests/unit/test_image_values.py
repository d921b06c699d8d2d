"""An image says which values made it: from the graph that ran, matched by node and field."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from invokeai_gen import BoardInput, BoardRef, ColorInput, ImageInput, ImageRef, Input, Limits, WorkflowParams, params
from invokeai_gen.core.image_values import ImageValuesError, RecallWarning, recall
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import Color
from invokeai_gen.png_texts import MAX_TEXT_BYTES, PNG_SIGNATURE, PngError, png_texts
from invokeai_gen.workflow import WorkflowError
from invokeai_gen.workflow.load import parse_workflow_file


@params
class Params(WorkflowParams):
    width: Annotated[int, Limits(ge=64, le=1024), Input(0, node="size", field="width", label="Width")] = 512
    glow: Annotated[float, Input(1, node="size", field="glow", label="Glow")] = 0.5
    sky: Annotated[ColorInput, Input(2, node="sky", field="color", label="Sky")] = "orange"
    board: Annotated[BoardInput, Input(3, node="save", field="board", label="Board")] = "auto"
    names: Annotated[list[str], Input(4, node="batch", field="strings", label="Names")] = None  # type: ignore[assignment]
    photo: Annotated[ImageInput | None, Input(5, node="photo", field="image", label="Photo")] = None
    seed: ClassVar[Input] = Input(6, node="noise", field="seed", label="Seed", fed_by="Random")
    called: Annotated[str, Input(7, node="call", field="saved_workflow_input::a", label="Called")] = "x"


NODES: dict[str, Any] = {
    "size": {"type": "size", "width": 256, "glow": 1},
    "sky": {"type": "color", "color": {"r": 0, "g": 0, "b": 255, "a": 255}},
    "save": {"type": "save_image", "board": {"board_id": "b1"}},
    "photo": {"type": "image", "image": {"image_name": "p.png"}},
    "noise": {"type": "noise", "seed": 0},
    "call": {"type": "call_saved_workflow", "workflow_inputs": {"saved_workflow_input::a": "y"}},
}


def stored(node: str, field: str, value: Any, label: str = "") -> dict[str, Any]:
    return {"id": node, "type": "invocation", "data": {"label": label, "inputs": {field: {"value": value}}}}


WORKFLOW: dict[str, Any] = {
    "name": "Skies",
    "nodes": [stored("batch", "strings", ["a", "b"]), stored("size", "width", 64), stored("save", "board", "auto")],
}


def texts_of(nodes: Any = NODES, edges: Any = (), workflow: Any = WORKFLOW) -> PngInfo:
    info = PngInfo()
    info.add_text("invokeai_graph", json.dumps({"nodes": nodes, "edges": list(edges)}))
    info.add_text("invokeai_workflow", json.dumps(workflow, ensure_ascii=False))
    return info


def png(info: PngInfo | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG", pnginfo=info if info is not None else texts_of())
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + b"0000"


def test_values_are_those_of_the_graph_and_lists_those_of_the_workflow() -> None:
    found = recall(Params, png())
    assert found.values == {
        "width": 256, "glow": 1.0, "sky": Color(0, 0, 255), "board": BoardRef("b1"), "names": ["a", "b"],
        "photo": ImageRef("p.png"), "called": "y",
    }  # fmt: skip
    assert found.unmatched == ()
    assert found.notes == ("Names (names) is the list of the whole batch; the image shows one of its runs",)
    with pytest.warns(RecallWarning, match="Names"):
        assert Params.from_image(png()) == Params(**found.values)


def test_an_image_may_be_a_path_bytes_an_open_file_or_a_pillow_image(tmp_path: Path) -> None:
    path = tmp_path / "sky.png"
    path.write_bytes(png())
    wanted = recall(Params, png()).values
    with path.open("rb") as file, Image.open(path) as image:
        for source in (path, str(path), file, image, bytearray(png())):
            assert recall(Params, source).values == wanted


def test_what_another_version_does_not_have_is_named() -> None:
    nodes = {**NODES, "size": {"type": "size", "width": 2048}}
    del nodes["sky"]
    edge = {"source": {"node_id": "noise", "field": "x"}, "destination": {"node_id": "call", "field": "saved_workflow_input::a"}}  # fmt: skip
    found = recall(Params, png(texts_of(nodes, [edge])))
    assert [problem.message for problem in found.unmatched] == [
        "Width (width): the image has 2048, but it should be at most 1024",
        "Glow (glow): its node in the image has no such field",
        "Sky (sky): the image has no such node, or no value for it",
        "Called (called): in the workflow of the image it is fed by node 'noise'",
    ]
    assert set(found.values) == {"board", "names", "photo"}


@pytest.mark.parametrize(("ran", "kept", "board"), [(None, "auto", "auto"), (None, "none", "none"), (None, {"board_id": "gone"}, "none")])  # fmt: skip
def test_a_graph_without_a_board(ran: Any, kept: Any, board: str) -> None:
    workflow = {"nodes": [stored("save", "board", kept)]}
    nodes = {**NODES, "save": {"type": "save_image", "board": ran}}
    assert recall(Params, png(texts_of(nodes, workflow=workflow))).values["board"] == board


def test_numbers_drawn_on_the_server_are_said_to_be_missing() -> None:
    nodes = {**NODES, "random": {"type": "rand_int", "low": 0, "high": 9}}
    notes = recall(Params, png(texts_of(nodes))).notes
    assert notes[0] == "node 'rand_int' draws a new number in each run, which the image does not have"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"GIF89a", "not a PNG file"),
        (png(PngInfo()), "does not say how it was made"),
        (png()[:200], "cut off"),
        ("no-such-file.png", "no-such-file.png: No such file"),
        (png(texts_of({"other": {"type": "x"}}, workflow={"name": "Cats\n"})), "another workflow, 'Cats\\\\n'"),
        (png(texts_of([1, 2], edges=[None], workflow={"nodes": 3})), "another workflow"),
        (7, "not an image: use a path"),
    ],
)
def test_images_that_cannot_be_used(image: Any, message: str) -> None:
    with pytest.raises(ImageValuesError, match=message):
        recall(Params, image)


def test_an_image_on_the_server_is_read_by_its_name() -> None:
    class Client:
        images: Any

    client = Client()
    client.images = type("Images", (), {"read": staticmethod({"sky.png": png()}.__getitem__)})
    assert recall(Params, "sky.png", client).values == recall(Params, ImageRef("sky.png"), client).values

    async def read(name: str) -> bytes:
        raise AssertionError(name)

    client.images = type("Images", (), {"read": staticmethod(read)})
    with pytest.raises(ImageValuesError, match=r"pass `await client\.images\.read\(name\)` as the image"):
        recall(Params, "sky.png", client)


@pytest.mark.parametrize("text", ["{", "[1]", '{"nodes": NaN}', "[" * 9000])
def test_a_graph_that_is_not_json(text: str) -> None:
    info = PngInfo()
    info.add_text("invokeai_graph", text)
    with pytest.raises(ImageValuesError, match="the graph in the image is damaged"):
        recall(Params, png(info))


def test_an_input_that_must_have_a_value_and_has_none_is_an_error() -> None:
    @params
    class Needed(WorkflowParams):
        width: Annotated[int, Input(0, node="size", field="width", label="Width")]
        more: Annotated[str, Input(1, node="gone", field="value", label="More")]

    with pytest.warns(RecallWarning, match="More"), pytest.raises(ParamsError, match="More .* is required"):
        Needed.from_image(png())


def test_texts_of_all_three_kinds_are_read() -> None:
    info = PngInfo()
    info.add_text("plain", "latin-1 é")
    info.add_text("packed", "é" * 100, zip=True)
    info.add_itxt("world", "日本", zip=False)
    info.add_itxt("packed world", "日本" * 100, zip=True)
    assert png_texts(png(info)) == {
        "plain": "latin-1 é", "packed": "é" * 100, "world": "日本", "packed world": "日本" * 100
    }  # fmt: skip


def test_a_text_that_unpacks_to_too_much_is_refused() -> None:
    bomb = zlib.compress(bytes(MAX_TEXT_BYTES + 1))
    with pytest.raises(PngError, match="larger than 64 MiB"):
        png_texts(PNG_SIGNATURE + chunk(b"zTXt", b"key\0\0" + bomb))


@pytest.mark.parametrize("content", [b"", b"key\0", b"key\0\1\0", b"key\0\1\0\0\0junk", b"key\0\0\0\0\0\xff"])
def test_damaged_texts(content: bytes) -> None:
    with pytest.raises(PngError):
        png_texts(PNG_SIGNATURE + chunk(b"iTXt", content))


def test_an_image_is_a_workflow_file() -> None:
    assert parse_workflow_file("sky.png", png()).data == WORKFLOW
    with pytest.raises(WorkflowError, match="an image without a workflow in it"):
        parse_workflow_file("sky.png", png(PngInfo()))
