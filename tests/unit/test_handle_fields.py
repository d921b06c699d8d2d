"""What a field takes, keeps and refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from pydantic import ValidationError

from invokeai_gen.core.plan import Constraints
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.results import LatentsOutput
from invokeai_gen.core.values import BoardRef, BoundingBox, Color, ImageRef, LoRA, ModelRef
from invokeai_gen.handle import (
    FIELD_CLASSES,
    IvkBoardField,
    IvkBooleanField,
    IvkBoundingBoxField,
    IvkCLIPField,
    IvkCollectionField,
    IvkColorField,
    IvkEnumField,
    IvkField,
    IvkFloatField,
    IvkImageField,
    IvkIntegerField,
    IvkLatentsField,
    IvkLoRAField,
    IvkModelIdentifierField,
    IvkSchedulerField,
    IvkStringField,
    IvkStructureField,
    IvkTensorField,
    IvkUNetField,
    IvkVAEField,
    IvkVideoField,
    register_field,
)
from invokeai_gen.handle import field as field_module
from invokeai_gen.handle.inputs import field_for
from invokeai_gen.js_json import UNSET
from tests.plan_factory import an_input

MODEL = {"key": "k", "hash": "h", "name": "n", "base": "sdxl", "type": "main"}


def a_field(field_type: str = "IntegerField", **changes: Any) -> Any:
    """The field of an input, as a handle makes it."""
    return field_for(an_input(field_type=field_type, name="width", **changes))


def kind(field: object) -> object:
    """Its class, without a type checker drawing conclusions."""
    return type(field)


# -- one value --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        (IvkIntegerField(), np.int64(1024), 1024),
        (IvkIntegerField(), 8.0, 8),
        (IvkFloatField(), np.float32(7.5), 7.5),
        (IvkFloatField(), 7, 7.0),
        (IvkBooleanField(), np.bool_(True), True),
        (IvkStringField(), "", ""),
        (IvkImageField(), {"image_name": "a.png"}, ImageRef("a.png")),
        (IvkImageField(), Path("a.png"), Path("a.png")),
        (IvkBoardField(), {"board_id": "b"}, BoardRef("b")),
        (IvkIntegerField(), IvkIntegerField(value=3), 3),
        (IvkColorField(), np.array([255, 128, 0]), Color(255, 128, 0)),
        (IvkCollectionField(), np.array([1, 2]), [1, 2]),
    ],
)
def test_what_is_meant_is_what_is_kept(field: Any, given: object, kept: object) -> None:
    field.value = given
    assert field.value == kept
    assert type(field.value) is type(kept)


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (IvkIntegerField, True),
        (IvkIntegerField, "many"),
        (IvkIntegerField, "512"),
        (IvkFloatField, "7.5"),
        (IvkBooleanField, "true"),
        (IvkBooleanField, 1),
        (IvkIntegerField, 1.5),
        (IvkFloatField, False),
        (IvkFloatField, float("nan")),
        (IvkBooleanField, "maybe"),
        (IvkStringField, 7),
        (IvkEnumField, 7),
        (IvkSchedulerField, ["euler", 7]),
        (IvkImageField, 7),
        (IvkVideoField, 7),
        (IvkBoardField, ""),
        (IvkLatentsField, 7),
        (IvkTensorField, 7),
        (IvkColorField, "orangish"),
        (IvkIntegerField, np.bool_(True)),
        (IvkStringField, b"a fox"),
        (IvkModelIdentifierField, ImageRef("a.png")),
        (IvkModelIdentifierField, Path("model")),
        (IvkLatentsField, Path("latents")),
        (IvkLatentsField, ["latents"]),
        (IvkLoRAField, {"lora": MODEL, "weight": "heavy"}),
    ],
)
def test_what_cannot_be_meant_is_refused(cls: type[IvkField], wrong: object) -> None:
    with pytest.raises(ValueError, match="."):
        cls.from_value(wrong)


def test_a_field_takes_no_attribute_that_it_does_not_have() -> None:
    field: Any = IvkIntegerField(value=1)
    with pytest.raises(ValueError, match="valu"):
        field.valu = 2
    assert field.value == 1


def test_fields_are_equal_by_what_they_hold() -> None:
    assert a_field(value=7) == IvkIntegerField(value=7)
    assert a_field(value=7) != IvkIntegerField(value=8)
    assert IvkFloatField(value=7) != IvkIntegerField(value=7)
    assert IvkColorField() != IvkColorField.empty()


# -- in a handle ------------------------------------------------------------------------------------------------------


def test_a_value_outside_of_its_range_is_refused_in_the_words_of_the_gui_and_the_old_one_stays() -> None:
    width = a_field(value=512, constraints=Constraints(ge=64, le=2048, multiple_of=8))
    for wrong, told in (
        (56, "64 or more"),
        (70, "multiple of 8"),
        (4096, "at most 2048"),
    ):
        with pytest.raises(ParamsError, match=told) as info:
            width.value = wrong
        assert str(info.value).startswith("Width (width) is ")
        assert width.value == 512
    assert width.constraints.ge == 64


DEEP: list[Any] = []
DEEP.append(DEEP)
COLOR = {"r": 1, "g": 2, "b": 3, "a": 4}
A_COLOR = 'a colour: "#ff8000", a CSS name, (255, 128, 0), (255, 128, 0, 255) or a Color'


@pytest.mark.parametrize(
    ("field", "attribute", "wrong", "told"),
    [
        (a_field(), "value", "wide", "Width (width) is 'wide', but should be a valid integer"),
        (a_field("FloatField"), "value", "wide", "Width (width) is 'wide', but should be a valid number"),
        (
            a_field("EnumField", value="a", choices=("a", "b")),
            "value",
            7,
            "Width (width) is 7, but should be 'a' or 'b'",
        ),
        (
            a_field(cardinality="COLLECTION", value=[1]),
            "value",
            [1, "wide"],
            "Width (width): item 1: got 'wide', should be a valid integer",
        ),
        (
            a_field(cardinality="SINGLE_OR_COLLECTION"),
            "value",
            [1, "wide"],
            "Width (width): item 1: got 'wide', should be a valid integer",
        ),
        (
            a_field("ColorField", cardinality="COLLECTION", value=[]),
            "value",
            ["#000000", {"r": "{x}"}],
            f"Width (width): item 1: got {{'r': '{{x}}'}}, should be {A_COLOR}",
        ),
        (a_field(), "value", DEEP, "Width (width) is [[...]], but cannot be used: it is nested too deeply"),
        (
            a_field("ColorField", value=COLOR),
            "value",
            {"lora": DEEP, "weight": 1},
            f"Width (width) is {{'lora': [[...]], 'weight': 1}}, but should be {A_COLOR}",
        ),
        (a_field("ColorField", value=COLOR), "r", "x", "Width (width), r is 'x', but should be a valid integer"),
        (
            a_field("LoRAField", value={"lora": MODEL, "weight": 1}),
            "value",
            {"lora": MODEL, "weight": "heavy"},
            "Width (width), weight is 'heavy', but should be a valid number",
        ),
        (IvkIntegerField(), "value", "wide", "IvkIntegerField is 'wide', but should be a valid integer"),
    ],
)
@pytest.mark.usefixtures("no_collection")
def test_a_refusal_is_one_sentence_with_label_value_and_what_is_allowed(
    field: Any, attribute: str, wrong: object, told: str
) -> None:
    before = field.to_value()
    with pytest.raises(ParamsError) as info:
        setattr(field, attribute, wrong)
    assert str(info.value) == told
    assert field.to_value() == before


def test_each_part_that_is_wrong_is_a_problem_of_the_input() -> None:
    color = a_field("ColorField", value=COLOR)
    with pytest.raises(ParamsError) as info:
        color.set_rgba(1, "x", "y")
    assert [(problem.name, problem.label) for problem in info.value.problems] == [("width", "Width")] * 2
    assert [str(problem)[:21] for problem in info.value.problems] == ["Width (width), g is '", "Width (width), b is '"]


def test_a_choice_is_one_of_those_in_the_schema() -> None:
    scheduler = a_field("SchedulerField", value="euler", choices=("ddim", "euler"))
    assert kind(scheduler) is IvkSchedulerField
    assert scheduler.choices == ("ddim", "euler")
    with pytest.raises(ParamsError, match="'ddim' or 'euler'"):
        scheduler.value = "slow"
    scheduler.value = "ddim"
    assert scheduler.to_json_dict() == {"value": "ddim"}


def test_an_input_that_needs_a_value_starts_empty_and_takes_no_emptiness() -> None:
    image = a_field("ImageField", value=UNSET, required=True)
    assert image.is_empty
    image.value = "a.png"
    with pytest.raises(ParamsError, match="is None"):
        image.value = None
    assert image.value == "a.png"


def test_an_input_that_may_stay_empty_can_be_emptied() -> None:
    image = a_field("ImageField", value={"image_name": "a.png"})
    assert image.value == ImageRef("a.png")
    image.value = None
    assert image.is_empty
    model = a_field("ModelIdentifierField", value=MODEL)
    model.value = None
    assert (model.is_empty, model.name) == (True, "")


def test_an_input_that_a_node_feeds_cannot_be_set() -> None:
    seed = a_field(fed_by="Random Integer")
    with pytest.raises(ParamsError, match="fed by node 'Random Integer'"):
        seed.value = 8


def test_a_number_that_may_be_a_list_is_either() -> None:
    scale = a_field("FloatField", cardinality="SINGLE_OR_COLLECTION", value=7.5)
    assert kind(scale) is IvkFloatField
    scale.value = [1, 2]
    assert scale.value == [1.0, 2.0]
    with pytest.raises(ParamsError, match="valid integer"):
        a_field(value=7).value = [1, 2]


# -- collections ------------------------------------------------------------------------------------------------------


def test_the_items_of_a_collection_are_what_one_field_would_hold() -> None:
    numbers = a_field(cardinality="COLLECTION", value=[1], constraints=Constraints(le=9, max_items=3))
    assert kind(numbers) is IvkCollectionField
    numbers.value = [3, 4]
    numbers.append(5)
    assert (numbers.value, len(numbers), numbers[2]) == ([3, 4, 5], 3, 5)
    for wrong in ([10], ["x"], [1, 2, 3, 4], 5):
        with pytest.raises(ParamsError):
            numbers.value = wrong
    assert numbers.to_json_dict() == {"value": [3, 4, 5]}


def test_a_collection_of_structures_takes_their_json_and_their_fields() -> None:
    loras = a_field("LoRAField", cardinality="SINGLE_OR_COLLECTION", value=[{"lora": MODEL, "weight": 1}])
    assert loras.value == [LoRA(ModelRef(**MODEL), 1)]
    loras.append(IvkLoRAField(lora=IvkModelIdentifierField(name="ink"), weight=0.5))
    loras.append({"lora": MODEL, "weight": 0.25})
    assert loras.value[1:] == [LoRA("ink", 0.5), LoRA(ModelRef(**MODEL), 0.25)]
    colors = a_field("ColorField", cardinality="COLLECTION", value=[])
    colors.extend(["#ff0000", (0, 255, 0)])
    assert colors.value == [Color(255, 0, 0), Color(0, 255, 0)]


# -- structures -------------------------------------------------------------------------------------------------------


def test_a_color_is_set_by_channel_by_all_of_them_and_as_text() -> None:
    color = a_field("ColorField", value={"r": 1, "g": 2, "b": 3, "a": 4})
    color.g = 20
    assert color.value == Color(1, 20, 3, 4)
    color.set_rgba(9, 8, 7)
    assert color.value == Color(9, 8, 7, 255)
    color.set_hex("#ff8000c0")
    assert (color.to_json_dict(), color.to_hex()) == ({"r": 255, "g": 128, "b": 0, "a": 192}, "#ff8000c0")
    with pytest.raises(ParamsError, match="channel r of a colour is 256"):
        color.r = 256
    with pytest.raises(ParamsError, match="channel r of a colour is 256"):
        color.value = {"r": 256, "g": 0, "b": 0}
    with pytest.raises(ParamsError, match=r"^Width \(width\) is 'orangish', but should be a colour: \"#ff8000\""):
        color.set_hex("orangish")
    assert color.value == Color(255, 128, 0, 192)


def test_a_box_is_set_as_a_whole_so_that_it_is_never_inside_out() -> None:
    box = a_field("BoundingBoxField", value=UNSET)
    assert box.is_empty
    box.set_box(100, 50, 400, 300, 0.5)
    with pytest.raises(ParamsError, match=r"^Width \(width\) is .*, but x_min should be less than x_max$"):
        box.set_box(0, 0, 0, 512)
    assert box.value == BoundingBox(x_min=100, x_max=400, y_min=50, y_max=300, score=0.5)
    with pytest.raises(ParamsError, match="x_min <= x_max"):
        box.x_max = 99
    assert box.to_json_dict() == {"x_min": 100, "x_max": 400, "y_min": 50, "y_max": 300, "score": 0.5}
    box.clear()
    assert (box.is_empty, box.to_json_dict()) == (True, {})
    assert IvkBoundingBoxField.from_value({"x_min": 1, "x_max": 2, "y_min": 3, "y_max": 4}).y_max == 4


def test_the_last_word_on_which_model_is_meant_counts() -> None:
    model = a_field("ModelIdentifierField", value=MODEL)
    model.submodel_type = "vae"
    assert model.to_json_dict() == {**MODEL, "submodel_type": "vae"}
    model.hash = "blake3:2"
    assert (model.key, model.hash, model.name) == ("", "blake3:2", "n")
    model.name = "other"
    assert (model.key, model.hash, model.name, model.base) == ("", "", "other", "sdxl")
    model.value = "just a name"
    assert model.to_value() == "just a name"
    model.value = MODEL
    assert model.value == ModelRef(**MODEL)
    with pytest.raises(ParamsError, match="string"):
        model.name = 7


def test_what_a_loader_returns_is_json_with_parts() -> None:
    data = {
        "unet": MODEL,
        "scheduler": MODEL,
        "loras": [{"lora": MODEL, "weight": 0.5}],
        "seamless_axes": ["x"],
        "new_in_a_later_version": 1,
    }
    unet = a_field("UNetField", value=data)
    assert kind(unet) is IvkUNetField
    assert unet.unet.name == "n"
    unet.seamless_axes = ["x", "y"]
    assert unet.to_json_dict() == {**data, "seamless_axes": ["x", "y"]}
    clip = a_field("CLIPField", value={"tokenizer": MODEL, "text_encoder": MODEL, "skipped_layers": 0, "loras": []})
    assert kind(clip) is IvkCLIPField
    clip.skipped_layers = 2
    assert clip.value["skipped_layers"] == 2
    unet.value = {**data, "new_in_a_later_version": 2}
    assert unet.value["new_in_a_later_version"] == 2
    vae = a_field("VAEField", value={"vae": MODEL, "seamless_axes": []})
    assert kind(vae) is IvkVAEField
    assert vae.to_json_dict() == {"vae": MODEL, "seamless_axes": []}


def test_latents_and_tensors_go_by_their_names() -> None:
    latents: Any = IvkLatentsField.from_value(LatentsOutput("l1", 64, 64, seed=5))
    assert (latents.value, latents.to_json_dict()) == ("l1", {"value": {"latents_name": "l1", "seed": 5}})
    latents.value = {"latents_name": "l2", "seed": None}
    assert latents.value == "l2"
    assert IvkTensorField(value="t").to_value() == {"tensor_name": "t"}


def test_an_empty_field_empties_another() -> None:
    color = a_field("ColorField", value=UNSET)
    assert color.is_empty
    color.r = 5
    assert color.value == Color(5, 0, 0)
    color.assign(IvkColorField.empty())
    assert color.is_empty
    with pytest.raises(ParamsError, match="is None"):
        a_field("ColorField", value={"r": 1, "g": 2, "b": 3, "a": 4}, required=True).value = None


def test_what_only_the_server_can_turn_into_json_is_reported() -> None:
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        IvkImageField(value=b"bytes").to_json_dict()


def test_a_long_value_is_cut_in_the_repr() -> None:
    assert repr(IvkImageField(value=b"bytes")) == "IvkImageField(value=<5 bytes>)"
    assert len(repr(a_field("StringField", value="a fox " * 10**5))) < 600


# -- the registry -----------------------------------------------------------------------------------------------------


@pytest.fixture
def registry() -> Iterator[Mapping[str, type[IvkField]]]:
    """The registry, left as it was."""
    before = dict(FIELD_CLASSES)
    yield FIELD_CLASSES
    field_module._classes.clear()
    field_module._classes.update(before)


def test_a_type_without_a_class_is_held_as_json() -> None:
    tile = a_field("TileField", value={"r": 1, "g": 2, "b": 3, "size": 4})
    assert kind(tile) is IvkStructureField
    color_like = {"r": 1, "g": 2, "b": 3}
    tile.value = color_like
    assert tile.to_value() == color_like


def test_a_custom_type_gets_a_class_from_outside(registry: Mapping[str, type[IvkField]]) -> None:
    @register_field("TileField", "LegacyTile")
    class TileField(IvkField):
        """The size of tiles, in the custom node's own JSON."""

        size: int = 0

        @classmethod
        def from_value(cls, value: Any) -> Self:
            return cls(size=value["size"] if value else 0)

        def to_value(self) -> Any:
            return {"size": self.size} if self.size else None

        def to_json_dict(self) -> dict[str, Any]:
            return self.to_value() or {}

    assert registry["LegacyTile"] is TileField
    tile = a_field("TileField", value={"size": 8}, required=True)
    assert kind(tile) is TileField
    tile.size = "16"
    assert tile.to_json_dict() == {"size": 16}
    with pytest.raises(ParamsError, match=r"Width \(width\) is None"):
        tile.size = 0
    many = a_field("TileField", cardinality="COLLECTION", value=[{"size": 8}])
    many.append(TileField(size=2))
    assert many.value == [{"size": 8}, {"size": 2}]


def test_a_field_made_on_its_own_may_have_limits() -> None:
    integer: Any = IvkIntegerField  # limits are not in the types, which are those of the attributes
    text: Any = IvkStringField
    items: Any = IvkCollectionField
    field = integer(value=8, ge=8, le=64, multiple_of=8)
    for value in (0, 72, 12):
        with pytest.raises(ParamsError, match=rf"^IvkIntegerField is {value}, but should be"):
            field.value = value
    assert (field.value, field.constraints.le) == (8, 64)
    assert text(min_length=3).is_empty
    with pytest.raises(ValidationError, match="at least 3 items"):
        items(value=["a", "b"], min_items=3)
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        text(value="a", longest=3)
