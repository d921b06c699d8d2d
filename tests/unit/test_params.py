"""`Params` checks every value when it is given, and tells in the GUI's words what is wrong."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from enum import Enum
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from invokeai_gen.core.checks import Limits
from invokeai_gen.core.params import WorkflowParams, params
from invokeai_gen.core.pictures import png_bytes
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import (
    BoardInput,
    BoardRef,
    BoundingBox,
    Color,
    ColorInput,
    ImageInput,
    ImageRef,
    Input,
    LoRA,
    ModelInput,
    ModelRef,
    VideoInput,
    VideoRef,
)
from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.server.boards import Board
from invokeai_gen.server.images import Image as ServerImage
from invokeai_gen.server.models import Model
from invokeai_gen.server.videos import Video


@params
class Params(WorkflowParams):
    model: Annotated[ModelInput, Input(2, node="m", field="model", label="SDXL Model", base=("sdxl",), type=("main",))]
    width: Annotated[int, Limits(ge=64, multiple_of=8), Input(0, node="w", field="value", label="Output Width")] = 512
    cfg: Annotated[float | list[float], Input(1, node="d", field="cfg_scale", label="CFG Scale")] = 7.5
    color: Annotated[ColorInput, Input(3, node="c", field="color", label="Colour")] = Color(1, 2, 3)
    loras: Annotated[list[LoRA], Input(4, node="l", field="loras", label="LoRAs")] = field(default_factory=list)
    mode: Annotated[Literal["RGB", "RGBA"], Input(5, node="b", field="mode", label="Mode")] = "RGB"
    seed: ClassVar[Input] = Input(6, node="n", field="seed", label="Seed", fed_by="Random Integer")
    image: Annotated[ImageInput | None, Input(7, node="i", field="image", label="Start Image")] = None
    board: Annotated[BoardInput, Input(8, node="s", field="board", label="Board")] = "auto"
    video: Annotated[VideoInput | None, Input(9, node="v", field="video", label="Video")] = None
    box: Annotated[BoundingBox | None, Input(10, node="x", field="box", label="Box")] = None
    flag: Annotated[bool, Input(11, node="f", field="value", label="Flag")] = False
    prompt: Annotated[str, Limits(min_length=1), Input(12, node="p", field="value", label="Prompt")] = "a fox"


@params
class AnyParams(WorkflowParams):
    thing: Annotated[Any, Input(0, node="n", field="thing", label="Thing")] = None


@params
class NumberParams(WorkflowParams):
    length: Annotated[Literal[256, 512], Input(0, node="n", field="length", label="Length")] = 256
    start: Annotated[Literal[0, 1], Input(1, node="n", field="start", label="Start")] = 0
    count: Annotated[int, Input(2, node="n", field="count", label="Count")] = 1
    counts: Annotated[list[int], Input(3, node="n", field="counts", label="Counts")] = field(default_factory=list)
    least: Annotated[int, Limits(ge=0), Input(4, node="n", field="least", label="Least")] = 0


DEEP: list[Any] = []
DEEP.append(DEEP)


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(ParamsError) as caught:
        make()
    return str(caught.value)


def test_values_are_keyed_by_node_and_field_in_form_order() -> None:
    values = Params(model="juggernaut", width=768).values()
    assert list(values.items())[:3] == [
        (("w", "value"), 768),
        (("d", "cfg_scale"), 7.5),
        (("m", "model"), "juggernaut"),
    ]
    assert ("n", "seed") not in values


def test_inputs_are_listed_in_form_order_with_those_that_an_edge_feeds() -> None:
    inputs = Params.inputs()
    assert [item.index for item in inputs] == list(range(13))
    assert inputs[0].name == "width"
    assert inputs[0].label == "Output Width"
    assert inputs[6].fed_by == "Random Integer"
    assert inputs[6] == Params.seed


def test_the_form_index_reads_and_sets() -> None:
    values = Params(model="a")
    values[0] = 64
    assert values.width == values[0] == 64
    assert refused(lambda: values[99]) == "unknown form index 99; indices run from 0 to 12"
    assert "Output Width (width) is 65, but should be a multiple of 8" in refused(lambda: values.__setitem__(0, 65))
    assert "True" in refused(lambda: values[True])


def test_all_problems_are_reported_at_once_in_form_order() -> None:
    wrong: dict[str, Any] = {"width": 63, "colour": 1, "mode": "CMYK", "seed": 4}
    assert refused(lambda: Params(**wrong)).splitlines() == [
        "5 problems:",
        "  Output Width (width) is 63, but should be a multiple of 8",
        "  SDXL Model (model) is required: the workflow has no usable value for it",
        "  Mode (mode) is 'CMYK', but should be 'RGB' or 'RGBA'",
        "  Seed (seed) cannot be set: in the workflow it is fed by node 'Random Integer'",
        "  unknown input 'colour'; did you mean Colour (color)?",
    ]


def test_problems_can_be_read_by_programs() -> None:
    with pytest.raises(ParamsError) as caught:
        Params(model=3)  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert (problem.name, problem.label) == ("model", "SDXL Model")
    assert isinstance(caught.value, InvokeAIGenError)
    assert isinstance(caught.value, ValueError)


def test_a_label_is_as_good_a_hint_as_a_name() -> None:
    assert "did you mean Output Width (width)?" in refused(lambda: Params(model="a", output_width=64))  # type: ignore[call-arg]


def test_an_unlike_name_gets_the_list() -> None:
    assert "there are width, cfg, model, color" in refused(lambda: Params(model="a", zzz=64))  # type: ignore[call-arg]


def test_assignment_is_checked_as_construction_is() -> None:
    values = Params(model="a")
    for name, value in (("width", "768"), ("width", True), ("width", 7.0), ("cfg", "7"), ("cfg", True), ("flag", 1)):
        assert f"({name}) is {value!r}" in refused(lambda name=name, value=value: setattr(values, name, value))  # type: ignore[misc]
    assert "did you mean Output Width (width)" in refused(lambda: setattr(values, "widht", 64))
    assert "fed by node 'Random Integer'" in refused(lambda: setattr(values, "seed", 64))
    assert values == Params(model="a")


def test_a_whole_number_is_a_float() -> None:
    values = Params(model="a", cfg=7)
    assert values.cfg == 7.0
    values.cfg = [1, 2.5]
    assert values.cfg == [1.0, 2.5]


def test_positional_values_are_refused() -> None:
    assert refused(lambda: Params("a")) == "Params takes its values by name: name=value"  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_such_number(value: float) -> None:
    assert "finite" in refused(lambda: Params(model="a", cfg=value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("color", "#ff8000"),
        ("color", "#FF8000c0"),
        ("color", (1, 2, 3)),
        ("color", (1, 2, 3, 4)),
        ("color", Color(1, 2, 3, 4)),
        ("image", Path("a.png")),
        ("image", b"\x89PNG"),
        ("image", "5f3a.png"),
        ("image", ImageRef("5f3a.png")),
        ("image", Image.new("RGB", (1, 1))),
        ("image", None),
        ("board", "none"),
        ("board", "My board"),
        ("board", BoardRef("b1")),
        ("model", ModelRef(name="a", base="sdxl", type="main")),
        ("model", ModelRef(hash="blake3:00")),
        ("video", Path("a.mp4")),
        ("box", BoundingBox(x_min=0, x_max=8, y_min=0, y_max=8)),
        ("loras", [LoRA("detail"), LoRA(ModelRef(name="film"), 0.5)]),
    ],
)
def test_accepted(name: str, value: Any) -> None:
    values = Params(model="a")
    setattr(values, name, value)
    assert getattr(values, name) == value


class Preset(str, Enum):  # noqa: UP042 - a `StrEnum` has the text itself as `str`
    """Texts that `str` would show by the names of the members."""

    IMAGE = "a.png"
    MODEL = "dreamshaper"
    BOARD = "Foxes"
    PROMPT = "a fox"


SIDES = ("x_min", "x_max", "y_min", "y_max")
MODEL = Model(key="k", hash="h", name="juggernaut", base="sdxl", type="main")
PIXELS = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("width", np.int64(128), 128),
        ("cfg", np.float32(0.5), 0.5),
        ("cfg", np.int8(7), 7.0),
        ("cfg", np.array([1, 2.5]), [1.0, 2.5]),
        ("cfg", [np.int64(1), 2], [1.0, 2.0]),
        ("flag", np.bool_(True), True),
        ("color", [255, 128, 0], (255, 128, 0)),
        ("color", np.array([255, 128, 0]), (255, 128, 0)),
        ("color", "Orange", "Orange"),
        ("model", MODEL, ModelRef(key="k", hash="h", name="juggernaut", base="sdxl", type="main")),
        (
            "loras",
            [LoRA(cast("Any", MODEL), 1)],
            [LoRA(ModelRef(key="k", hash="h", name="juggernaut", base="sdxl", type="main"), 1)],
        ),
        ("board", Board(board_id="b1", board_name="Foxes"), BoardRef("b1")),
        ("image", ServerImage(image_name="a.png", width=1, height=1), ImageRef("a.png")),
        ("video", Video(video_name="a.mp4", width=1, height=1), VideoRef("a.mp4")),
        ("image", BytesIO(b"\x89PNG"), b"\x89PNG"),
        ("image", bytearray(b"\x89PNG"), b"\x89PNG"),
        ("image", Preset("a.png"), "a.png"),
        ("model", Preset("dreamshaper"), "dreamshaper"),
        ("board", Preset("Foxes"), "Foxes"),
        ("prompt", Preset("a fox"), "a fox"),
        ("color", (np.uint8(255), np.uint8(128), np.uint8(0)), (255, 128, 0)),
        ("color", Color(*np.array([255, 128, 0], np.uint8)), Color(255, 128, 0)),
        ("loras", [LoRA("a", cast("float", np.float32(0.5)))], [LoRA("a", 0.5)]),
        ("box", BoundingBox(**dict.fromkeys(SIDES, cast("Any", np.int64(8)))), BoundingBox(**dict.fromkeys(SIDES, 8))),
        ("video", BytesIO(b"mp4"), b"mp4"),
    ],
)
def test_values_of_other_libraries_are_taken_for_what_they_are(name: str, given: Any, kept: Any) -> None:
    values = Params(model="a")
    setattr(values, name, given)
    found = getattr(values, name)
    assert (type(found), found, repr(found)) == (type(kept), kept, repr(kept))
    assert getattr(Params(**{"model": "a", name: given}), name) == kept


def test_an_open_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG")
    with path.open("rb") as file:
        file.read(2)
        assert Params(model="a", image=file).image == b"\x89PNG"
    assert "closed file" in refused(lambda: Params(model="a", image=file))
    with path.open(encoding="latin-1") as text:
        assert 'opened in binary mode: open(path, "rb")' in refused(lambda: Params(model="a", image=text))  # type: ignore[arg-type]


@pytest.mark.parametrize(("shape", "mode"), [((4, 6), "L"), ((4, 6, 1), "L"), ((4, 6, 3), "RGB"), ((4, 6, 4), "RGBA")])
def test_an_array_is_an_image(shape: tuple[int, ...], mode: str) -> None:
    image: Any = Params(model="a", image=np.zeros(shape, np.uint8)).image
    assert (image.mode, image.size) == (mode, (6, 4))


@pytest.mark.parametrize("array", [PIXELS.astype(float), PIXELS[:, :, :2], PIXELS[None], PIXELS[:0]])
def test_an_array_that_is_no_picture(array: Any) -> None:
    message = refused(lambda: Params(model="a", image=array))
    assert "Start Image (image)" in message
    assert "should be an array of uint8, height × width × 1, 3 or 4 channels" in message


def test_pillow_images_of_every_mode() -> None:
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "LA", "PA", "RGBa", "La", "I;16"):
        picture = Image.new(mode, (2, 2))
        data = Params(model="a", image=picture).to_dict(embed=True)["image"]
        assert data.startswith("data:image/png;base64,"), mode
    red = Image.open(BytesIO(png_bytes(Image.new("CMYK", (1, 1), (0, 255, 255, 0)))))
    assert (red.mode, red.getpixel((0, 0))) == ("RGB", (255, 0, 0))
    message = refused(lambda: Params(model="a", image=Image.new("F", (2, 2))))
    assert "Start Image (image)" in message
    assert "scale mode F to 0–255" in message


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "color",
            "reddish",
            "Colour (color) is 'reddish', but should be a colour: \"#ff8000\", a CSS name, (255, 128, 0)",
        ),
        ("color", (1, 2, 300), "channel b of a colour is 300"),
        ("color", (1, 2), "should be a colour"),
        ("image", 3, "Start Image (image) is 3, but should be an image: a path, bytes, an open file, a Pillow image"),
        ("image", "", "should be an image"),
        ("image", ImageRef(""), "should be an image"),
        ("image", ImageRef(cast("str", 5)), "should be an image"),
        ("image", b"", "should not be empty"),
        ("image", BytesIO(), "should not be empty"),
        ("video", VideoRef(""), "should be a video"),
        ("video", b"", "should not be empty"),
        ("board", BoardRef(""), "should be a board"),
        ("width", np.zeros((2, 2)), "is array([[0., 0.], [0., 0.]]), but should be a valid integer"),
        (
            "loras",
            [1, 2],
            "(loras): item 0: got 1, should be an instance of LoRA; item 1: got 2, should be an instance",
        ),
        ("loras", [1] * 1000, "; and 988 more"),
        ("board", 3, "should be a board"),
        *((name, "\ud800", "a text that UTF-8 can hold") for name in ("image", "video", "board", "model", "prompt")),
        ("model", "", "SDXL Model (model) is '', but should be a model: its name, key or hash"),
        ("model", ModelRef(), "should be a model"),
        ("model", ModelRef(name="x", base="flux"), "should be a model of base sdxl, not flux"),
        ("model", ModelRef(name="x", type="vae"), "should be a model of type main, not vae"),
        ("video", 3, "should be a video"),
        ("box", {"x_min": 0}, "should be an instance of BoundingBox"),
        ("loras", ["a"], "LoRAs (loras): item 0: got 'a', should be an instance of LoRA"),
        ("loras", (), "should be a valid list"),
        ("cfg", "a", "CFG Scale (cfg) is 'a', but should be a valid number or a valid list"),
        ("cfg", [1.0, "a"], "item 1: got 'a', should be a valid number"),
        ("prompt", "", "Prompt (prompt) is '', but string should have at least 1 character"),
    ],
)
def test_refused(name: str, value: Any, sentence: str) -> None:
    assert sentence in refused(lambda: setattr(Params(model="a"), name, value))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("start", True, "Start (start) is True, but should be 0 or 1"),
        ("length", 256.0, "Length (length) is 256.0, but should be 256 or 512"),
        *((name, 10**400, "0000, but should be at most 1.8e+308") for name in ("count", "least")),
        ("count", -(10**400), "0000, but should be -1.8e+308 or more"),
        ("counts", [1, 10**400], "Counts (counts): item 1: got 1000"),
    ],
    ids=["boolean", "float", "large", "large with a limit", "small", "large in a list"],
)
def test_a_number_that_cannot_be_sent_is_refused_when_it_is_given(name: str, value: Any, sentence: str) -> None:
    assert sentence in refused(lambda: NumberParams(**{name: value}))
    assert sentence in refused(lambda: setattr(NumberParams(), name, value))


def test_an_integer_may_be_as_large_as_a_double_can_be() -> None:
    assert NumberParams(count=10**308, least=2**63).to_dict()["count"] == 10**308
    assert NumberParams.from_dict({"length": 512.0, "count": 1e300}).length == 512


def test_long_values_are_cut_in_messages() -> None:
    assert len(refused(lambda: Params(model="a", image="x" * 500, color="y" * 500))) < 400
    assert "<500 bytes>" in refused(lambda: Params(model="a", color=b"x" * 500))  # type: ignore[arg-type]
    assert "Output Width (width) is <int>, but" in refused(lambda: Params(model="a", width=10**5000 + 1))


def test_a_list_that_was_changed_in_place_is_checked_before_it_is_used() -> None:
    values = Params(model="a")
    values.loras.append("not a LoRA")  # type: ignore[arg-type]
    assert "item 0: got 'not a LoRA'" in refused(values.values)


def test_default_lists_are_not_shared() -> None:
    Params(model="a").loras.append(LoRA("a"))
    assert Params(model="a").loras == []


def test_json_round_trip() -> None:
    values = Params(
        model=ModelRef(key="k", name="n"),
        cfg=[1.0, 2.0],
        color=(1, 2, 3),
        loras=[LoRA("a"), LoRA(ModelRef(name="b"), 1.5)],
        image=Path("folder/a.png"),
        board=BoardRef("b"),
        box=BoundingBox(x_min=0, x_max=8, y_min=0, y_max=8, score=0.5),
    )
    data = values.to_dict()
    assert data["image"] == {"path": "folder/a.png"}
    assert Params.from_dict(data) == dataclasses.replace(values, color=Color(1, 2, 3))


def test_images_in_memory_have_no_json() -> None:
    message = refused(Params(model="a", image=b"12345").to_dict)
    assert message == "Start Image (image): <5 bytes> cannot be written as JSON"


@pytest.mark.parametrize("value", [float("nan"), 10**400, object(), {"a": [float("inf")]}, DEEP])
@pytest.mark.usefixtures("no_collection")
def test_what_json_cannot_hold_is_refused_by_label(value: object) -> None:
    assert refused(AnyParams(thing=value).to_dict).startswith("Thing (thing): ")


@pytest.mark.usefixtures("no_collection")
def test_data_that_contains_itself_is_refused_by_label() -> None:
    assert refused(lambda: AnyParams.from_dict({"thing": DEEP})).endswith("cannot be used: it is nested too deeply")
    with pytest.raises(ValidationError, match="it is nested too deeply"):
        TypeAdapter(AnyParams).validate_python({"thing": DEEP})


def test_a_long_value_is_cut_in_the_repr() -> None:
    values = Params(model="a", image=b"\x89" * 10**6, prompt="a fox " * 10**5)
    assert len(repr(values)) < 2000
    assert "image=<1000000 bytes>" in repr(values)
    assert repr(values).startswith(
        "Params(model='a', width=512, cfg=7.5, color=Color(r=1, g=2, b=3, a=255), loras=[], "
    )
    assert repr(AnyParams(thing=10**5000)) == "AnyParams(thing=<int>)"
    assert eval(repr(Params(model="a", box=BoundingBox(x_min=0, x_max=8, y_min=0, y_max=8)))).box.x_max == 8


def test_what_a_subclass_remembers_is_no_value() -> None:
    class Sized(Params):
        @cached_property
        def area(self) -> int:
            return self.width**2

    values = Sized(model="a")
    assert values.area == 512**2
    assert values.to_dict() == Params(model="a").to_dict()
    assert "area" not in repr(values)


def test_copies_are_equal_and_independent() -> None:
    values = Params(model="a", loras=[LoRA("a")])
    for twin in (copy.deepcopy(values), pickle.loads(pickle.dumps(values)), dataclasses.replace(values)):
        assert twin == values
    twin = copy.deepcopy(values)
    twin.loras.clear()
    assert values.loras


def test_value_types_refuse_nonsense_themselves() -> None:
    for make in (
        lambda: Color(256, 0, 0),
        lambda: Color(True, 0, 0),
        lambda: BoundingBox(x_min=4, x_max=2, y_min=0, y_max=1),
        lambda: LoRA("a", "b"),  # type: ignore[arg-type]
        lambda: LoRA(""),
        lambda: LoRA("a", 10**400),
        lambda: Color(10**5000, 0, 0),
    ):
        with pytest.raises(ValueError):
            make()


class Style(TypedDict):
    name: str
    mode: str


@params
class StyledParams(WorkflowParams):
    styles: Annotated[list[Style], Input(0, node="s", field="styles", label="Styles")]


def test_a_part_that_is_missing_is_not_told_as_a_missing_input() -> None:
    with pytest.raises(ParamsError, match="item 0: got .*, field required"):
        StyledParams(styles=cast("list[Style]", [{"name": "a"}]))
    with pytest.raises(ParamsError, match="Styles .* is required"):
        StyledParams()  # type: ignore[call-arg]


@params
class Structures(WorkflowParams):
    one: Annotated[dict[str, Any], Input(0, node="n", field="one", label="One")]
    many: Annotated[list[dict[str, Any]], Input(1, node="n", field="many", label="Many")]
    color: Annotated[ColorInput, Input(2, node="n", field="color", label="Colour")]


def test_an_object_that_only_looks_like_a_colour_comes_back_as_it_was() -> None:
    given = Structures(one={"r": 1, "g": 2, "b": 3}, many=[{"image_name": "a"}, {}], color=Color(1, 2, 3))
    assert Structures.from_dict(given.to_dict()) == given
