"""Which models, images, videos and boards a run refers to."""

import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.cli.server.diagnosis import missing_assets
from invokeai_gen.core.assets import assets_of, with_assets
from invokeai_gen.schema import Schema
from invokeai_gen.server import background, constants
from invokeai_gen.server.client import core_of
from invokeai_gen.server.errors import RequestTimeoutError
from tests.unit.workflow_builder import Builder

MODEL = {"key": "k", "hash": "h", "name": "dreamshaper", "base": "sd-1", "type": "main"}


def test_hidden_fields_count_as_those_on_the_form(schema: Schema) -> None:
    builder = Builder(schema).node("load", "main_model_loader", model=MODEL, label="Loader")
    builder.node("save", "save_image", board={"board_id": "b"}, image={"image_name": "in.png"}).field("save.image")
    plan = builder.compile().plan
    found = {(asset.kind, asset.label, asset.binding) for asset in assets_of(plan, {})}
    assert found == {
        ("model", "Loader → Model", ("load", "model")),
        ("board", "Save Image → Board", ("save", "board")),
        ("image", "Image", ("save", "image")),
    }
    assert [asset.planned is not None for asset in assets_of(plan, {})] == [False, False, True]


def test_a_value_that_is_given_takes_the_place_of_the_file_s(schema: Schema) -> None:
    plan = Builder(schema).node("save", "save_image", image={"image_name": "in.png"}).field("save.image").compile().plan
    (given,) = assets_of(plan, {("save", "image"): {"image_name": "other.png"}})
    assert given.value == {"image_name": "other.png"}


def test_boards_without_an_id_refer_to_nothing(schema: Schema) -> None:
    for board in ("auto", "none"):
        builder = Builder(schema).node("save", "save_image", board=board, image={"image_name": "in.png"})
        assert {asset.kind for asset in assets_of(builder.compile().plan, {})} == {"image"}


def test_a_field_that_an_edge_or_a_batch_feeds_is_left_out(schema: Schema) -> None:
    builder = Builder(schema).node("batch", "image_batch", images=[{"image_name": "a.png"}, {"image_name": "b.png"}])
    builder.node("blur", "img_blur", image={"image_name": "stale.png"}).edge("batch.image", "blur.image")
    builder.node("save", "save_image", image={"image_name": "stale.png"}).edge("blur.image", "save.image")
    found = [(asset.binding, asset.place, asset.value["image_name"]) for asset in assets_of(builder.compile().plan, {})]
    assert found == [(("batch", "images"), 0, "a.png"), (("batch", "images"), 1, "b.png")]


def test_the_board_of_an_image_generator_counts(schema: Schema) -> None:
    settings = {"type": "image_generator_images_from_board", "board_id": "b", "category": "images"}
    builder = Builder(schema).node("make", "image_generator", generator=settings).node("batch", "image_batch")
    builder.node("save", "save_image").edge("make.images", "batch.images").edge("batch.image", "save.image")
    (board,) = assets_of(builder.compile(validate=False).plan, {})
    assert (board.kind, board.value) == ("board", {"board_id": "b"})


def test_metadata_may_name_what_no_longer_exists(schema: Schema) -> None:
    plan = Builder(schema).node("meta", "core_metadata", model=MODEL).compile().plan
    assert assets_of(plan, {}) == ()


def test_found_models_replace_those_of_another_server(schema: Schema) -> None:
    loras = [{"lora": MODEL, "weight": 0.5}]
    builder = Builder(schema).node("load", "main_model_loader", model=MODEL)
    builder.node("loras", "lora_collection_loader", loras=loras)
    plan = builder.compile(validate=False).plan
    here = {**MODEL, "key": "here"}
    found = {(asset.binding, asset.place): here for asset in assets_of(plan, {})}
    changed = with_assets(plan, {}, found)
    assert changed == {("load", "model"): here, ("loras", "loras"): [{"lora": here, "weight": 0.5}]}
    assert loras == [{"lora": MODEL, "weight": 0.5}]


def test_any_number_of_images_is_asked_about_within_one_limit(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "COMMAND_TIMEOUT", -1.0)
    builder = Builder(schema)
    for number in range(3):
        builder.node(f"save{number}", "save_image", image={"image_name": f"{number}.png"})
    client = InvokeAIClient("http://server.invalid")
    with (
        client,
        pytest.raises(
            RequestTimeoutError, match="did not answer 3 questions about models, boards, images and videos within -1 s"
        ),
    ):
        background.run(missing_assets(builder.compile(validate=False).plan, core_of(client)))
