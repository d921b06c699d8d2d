"""A workflow opened at run time: its inputs, its values, and what stays the same when it is edited."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.compiler import NotReadyError
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.handle import (
    IndexMapError,
    IvkColorField,
    IvkFloatField,
    IvkIntegerField,
    IvkModelIdentifierField,
    IvkStringField,
    IvkStructureField,
    MappedInput,
    WorkflowDefinition,
    WorkflowHandle,
    register_field,
)
from invokeai_gen.handle import field as field_module
from invokeai_gen.handle.index_map import compare_index_maps
from invokeai_gen.runtime.options import SubmitOptions
from invokeai_gen.schema import Schema, shipped_schema
from invokeai_gen.server.events import Callbacks
from invokeai_gen.server.run_errors import NotCompletedError
from invokeai_gen.workflow import WorkflowError
from tests.unit.workflow_builder import Builder

WORKFLOWS = Path(__file__).parents[2] / "data" / "workflows"
CORPUS = os.environ.get("INVOKEAI_GEN_CORPUS", "")
REFINE = Path(CORPUS) / "gui" / "community-sdxl-flux-refine" / "workflow.json"

needs_corpus = pytest.mark.skipif(not CORPUS, reason="INVOKEAI_GEN_CORPUS names no folder of recorded requests")


@pytest.fixture
def opened(schema: Schema) -> Callable[[str], WorkflowHandle]:
    """Opens one of our examples."""
    return lambda name: WorkflowHandle(WorkflowDefinition.from_file(WORKFLOWS / f"{name}.json"), schema)


def small(schema: Schema) -> Builder:
    """Two numbers of which one is fed, an image that must be chosen, and a board."""
    return (
        Builder(schema)
        .node("number", "integer", label="Size", value=64)
        .node("resize", "img_resize", label="it's \\ resized", width=1)
        .node("save", "save_image")
        .edge("number.value", "resize.width")
        .edge("resize.image", "save.image")
        .text("Sizes", heading=True)
        .field("number.value")
        .field("resize.width")
        .field("resize.height")
        .field("resize.image")
        .field("save.board")
    )


def of(builder: Builder) -> WorkflowHandle:
    return WorkflowHandle(WorkflowDefinition.from_dict(builder.data()), builder.schema)


# -- the definition ---------------------------------------------------------------------------------------------------


def test_a_definition_tells_what_its_author_wrote() -> None:
    definition = WorkflowDefinition.from_file(WORKFLOWS / "sunset_poster.json")
    data = json.loads((WORKFLOWS / "sunset_poster.json").read_bytes())
    told = {name: getattr(definition, name) for name in ("name", "author", "description", "version", "tags", "notes")}
    assert told == {name: data[name] for name in told}
    assert definition.to_dict() == data
    assert (definition.source, definition.contact) == ("sunset_poster.json", data["contact"])


def test_a_definition_is_a_copy_that_nobody_can_change(schema: Schema) -> None:
    data = small(schema).data()
    definition = WorkflowDefinition.from_dict(data)
    before = definition.to_dict()
    data["nodes"].clear()
    definition.to_dict()["nodes"].clear()
    handle = WorkflowHandle(definition, schema)
    handle.get_input_value(0).value = 99
    handle.get_input_value(3).value = "a.png"
    handle.params()
    assert definition.to_dict() == before
    assert WorkflowHandle(definition, schema).get_input_value(0).value == 64


@pytest.mark.usefixtures("no_collection")
def test_what_is_no_workflow_is_reported_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    for name, problem in (("broken.json", "not JSON"), ("absent.json", "No such file")):
        with pytest.raises(WorkflowError, match=rf"{name}: {problem}"):
            WorkflowDefinition.from_file(tmp_path / name)
    with pytest.raises(WorkflowError, match="not JSON data"):
        WorkflowDefinition.from_dict({"nodes": {1, 2}})
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(WorkflowError, match="not JSON data: it is nested too deeply"):
        WorkflowDefinition.from_dict({"nodes": deep})


def test_a_file_of_the_first_version_may_lack_nodes_as_in_the_gui() -> None:
    definition = WorkflowDefinition.from_dict({"meta": {"version": "1.0.0"}})
    assert definition.nodes == []
    assert WorkflowHandle(definition, shipped_schema()).list_inputs() == []


@pytest.mark.parametrize(
    ("data", "lack"),
    [
        ({}, "it has no meta.version"),
        ({"meta": {"category": "user"}, "nodes": []}, "it has no meta.version"),
        ({"meta": {"version": "3.0.0"}}, "it has no list of nodes"),
        ({"meta": {"version": "3.0.0"}, "nodes": {}}, "it has no list of nodes"),
        ([], "it is not a JSON object"),
    ],
)
def test_other_json_is_no_definition(data: Any, lack: str, tmp_path: Path) -> None:
    told = f"not a workflow: {lack} (export it from the InvokeAI workflow editor)"
    with pytest.raises(WorkflowError) as info:
        WorkflowDefinition.from_dict(data)
    assert str(info.value) == told
    path = tmp_path / "other.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(WorkflowError) as info:
        WorkflowDefinition.from_file(path)
    assert str(info.value) == f"{path}: {told}"


# -- inputs -----------------------------------------------------------------------------------------------------------


def test_inputs_come_in_the_order_of_the_form(schema: Schema) -> None:
    handle = of(small(schema))
    listed = [
        (item.input_index, item.label, item.node_name, item.field_name, item.required, item.fed_by)
        for item in handle.list_inputs()
    ]
    assert listed == [
        (0, "Value", "Size", "value", False, None),
        (1, "Width", "it's \\ resized", "width", False, "Size"),
        (2, "Height", "it's \\ resized", "height", False, None),
        (3, "Image", "it's \\ resized", "image", True, None),
        (4, "Board", "save_image", "board", False, None),
    ]
    assert [type(item.field).__name__ for item in handle.list_inputs()] == [
        "IvkIntegerField", "IvkIntegerField", "IvkIntegerField", "IvkImageField", "IvkBoardField",
    ]  # fmt: skip


def test_an_input_is_found_by_index_system_name_and_label(schema: Schema) -> None:
    handle = of(small(schema))
    height = handle.get_input(2)
    assert height is handle.get_inputs_by_system_name()["resize.height"]
    assert height is handle.get_inputs_by_user_name()["Height"]
    assert height.field is handle.get_input_value(2)
    assert height.jsonpath == "$.nodes[?(@.id=='resize')].data.inputs['height'].value"
    for wrong in (5, -1, True):
        with pytest.raises(ParamsError, match=r"unknown form index .*; indices run from 0 to 4"):
            handle.get_input(wrong)


def test_labels_that_several_inputs_share_are_reported_with_their_nodes(schema: Schema) -> None:
    builder = small(schema).node("second", "integer", value=1).field("second.value")
    with pytest.raises(ValueError, match=r"2 inputs are labelled 'Value', .* 'Size' \(number, .* 'integer' \(second, "):
        of(builder).get_inputs_by_user_name()


def test_a_field_of_another_class_is_no_value(schema: Schema) -> None:
    handle = of(small(schema))
    handle.set_input_value(0, IvkIntegerField(value=128))
    assert handle.get_input_value(0).value == 128
    for wrong in (IvkFloatField(value=1.0), IvkStringField(value="1")):
        with pytest.raises(TypeError, match=r"Value \(value\): the field is of class IvkIntegerField, not Ivk"):
            handle.set_input_value(0, wrong)
    assert handle.get_input_value(0).value == 128


def test_a_field_that_two_handles_were_given_belongs_to_neither(schema: Schema) -> None:
    builder = small(schema)
    one, other, shared = of(builder), of(builder), IvkIntegerField(value=8)
    one.set_input_value(0, shared)
    other.set_input_value(0, shared)
    one.get_input_value(0).value = 16
    assert (shared.value, other.get_input_value(0).value) == (8, 8)


def test_what_is_missing_is_listed_until_it_is_given(schema: Schema) -> None:
    handle = of(small(schema))
    assert [item.label for item in handle.get_missing_required_inputs()] == ["Image"]
    assert handle.validate_inputs() == {3: ["Image (image) is required: the workflow has no usable value for it"]}
    with pytest.raises(ParamsError, match="Image"):
        handle.submit_sync()
    handle.get_input_value(3).value = "a.png"
    assert handle.get_missing_required_inputs() == []
    assert handle.validate_inputs() == {}


def test_values_are_checked_together_even_if_a_list_was_changed_in_place(
    opened: Callable[[str], WorkflowHandle],
) -> None:
    handle = opened("color_study_batch")
    hues = handle.get_inputs_by_user_name()["Hues"]
    hues.field.value.append("green")
    (problems,) = handle.validate_inputs().values()
    assert "Hues" in problems[0]
    assert "'green'" in problems[0]
    assert list(handle.validate_inputs()) == [hues.input_index]


def test_a_model_of_the_wrong_base_is_reported_before_anything_is_sent(opened: Callable[[str], WorkflowHandle]) -> None:
    handle = opened("sd15_text_to_image")
    item = handle.get_inputs_by_user_name()["Model"]
    assert isinstance(item.field, IvkModelIdentifierField)
    before = item.field.value
    with pytest.raises(ParamsError, match=r"^Model \(model\) is .*should be a model of base sd-1 or sd-2, not flux$"):
        item.field.base = "flux"
    with pytest.raises(ParamsError, match="should be a model of type main, not vae"):
        handle.set_input_value(item.input_index, IvkModelIdentifierField(name="mine", base="sd-1", type="vae"))
    assert item.field.value == before
    item.field.name = "any name, which the server is asked about at submission"
    assert handle.validate_inputs() == {}


def test_a_preview_has_a_short_row_for_each_input(opened: Callable[[str], WorkflowHandle]) -> None:
    handle = opened("sunset_poster")
    handle.get_inputs_by_user_name()["Title"].field.value = "x" * 1000
    rows = handle.preview()
    assert [row["index"] for row in rows] == list(range(16))
    assert rows[2] == {"index": 2, "label": "Width", "type": "IvkIntegerField", "value": "768"}
    assert max(len(row["value"]) for row in rows) <= 80


@needs_corpus
def test_a_large_community_workflow_is_opened_as_the_gui_shows_it(schema: Schema) -> None:
    handle = WorkflowHandle(WorkflowDefinition.from_file(REFINE), schema)
    inputs = handle.list_inputs()
    assert [item.input_index for item in inputs] == list(range(25))
    assert (inputs[0].label, inputs[0].node_name, inputs[5].node_name) == ("Positive Prompt", "Positive", "save_image")
    assert len(handle.get_inputs_by_system_name()) == 25
    assert handle.validate_inputs() == {}
    with pytest.raises(ValueError, match="3 inputs are labelled 'Output Board'"):
        handle.get_inputs_by_user_name()


# -- workflows that cannot run ----------------------------------------------------------------------------------------


def test_a_workflow_that_the_gui_would_not_invoke_can_be_looked_at(schema: Schema, tmp_path: Path) -> None:
    handle = of(small(schema).node("odd", "no_such_node").field("number.value"))
    assert len(handle.list_inputs()) == 5
    (reason,) = handle.reasons
    assert reason.node_id == "odd"
    assert repr(handle).endswith("5 inputs, cannot run: see reasons)")
    *rows, last = handle.preview()
    assert len(rows) == 5
    assert last == {"index": "", "label": "cannot run", "type": "", "value": str(reason)}
    handle.get_input_value(3).value = "a.png"
    for attempt in (handle.submit_sync, lambda: handle.to_module(tmp_path / "made")):
        with pytest.raises(NotReadyError, match="no_such_node"):
            attempt()
    assert not (tmp_path / "made").exists()
    assert handle.validate_inputs() == {}
    fit = of(small(schema))
    assert repr(fit).endswith(", 5 inputs)")
    assert [row["label"] for row in fit.preview()] == [item.label for item in fit.list_inputs()]


def test_an_unknown_option_is_reported_with_all_that_there_are(schema: Schema) -> None:
    handle = of(small(schema))
    options: Any = {"on_foo": print}
    with pytest.raises(
        TypeError, match=r"^unknown option 'on_foo'; there are subscribe_events, .*\bon_status\b"
    ) as info:
        asyncio.run(handle.submit(**options))
    assert all(name in str(info.value) for name in (*SubmitOptions.__annotations__, *Callbacks.__annotations__))


def test_results_need_a_submission_first(schema: Schema) -> None:
    handle = of(small(schema))
    assert handle.get_uploaded_assets() == []
    assert not handle.has_uploaded_assets()
    for ask in (handle.get_outputs, handle.get_queue_item, handle.cancel, handle.cleanup_outputs, lambda: handle.job):
        with pytest.raises(NotCompletedError, match="nothing was submitted yet"):
            ask()


# -- index maps -------------------------------------------------------------------------------------------------------


def test_an_index_map_tells_what_an_edit_did_to_the_indices(schema: Schema, tmp_path: Path) -> None:
    path = tmp_path / "inputs.json"
    before = of(small(schema))
    before.export_input_index_map(path)
    assert before.verify_input_index_map(path).is_same
    edited = (
        Builder(schema)
        .node("number", "integer", label="Renamed", value=64)
        .node("resize", "img_resize")
        .node("save", "save_image")
        .edge("resize.image", "save.image")
        .field("number.value")
        .field("resize.height")
        .field("resize.image")
        .field("resize.resample_mode")
    )
    report = of(edited).verify_input_index_map(path)
    assert [item.system_name for item in report.unchanged] == ["number.value"]
    assert [(item.before.system_name, item.before.index, item.now.index) for item in report.moved] == [
        ("resize.height", 2, 1),
        ("resize.image", 3, 2),
    ]
    assert [item.system_name for item in report.missing] == ["resize.width", "save.board"]
    assert [(item.system_name, item.index) for item in report.new] == [("resize.resample_mode", 3)]
    assert not report.is_same


def test_an_index_map_tells_moves_in_either_direction() -> None:
    first, second, third = (MappedInput(index, name, name, "value", "") for index, name in enumerate("abc"))
    now = (replace(third, index=0), replace(second, label="renamed"), replace(first, index=2))
    report = compare_index_maps((first, second, third), now)
    assert [(move.before.index, move.now.index) for move in report.moved] == [(0, 2), (2, 0)]
    assert report.unchanged == (now[1],)


def test_an_index_map_is_the_same_file_every_time(schema: Schema, tmp_path: Path) -> None:
    for name in ("a", "b"):
        of(small(schema)).export_input_index_map(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("text", ["", "[]", '["a"]', '{"inputs": [{"index": 1}]}', '{"inputs": {}}'])
def test_another_file_is_no_index_map(text: str, schema: Schema, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(text, encoding="utf-8")
    with pytest.raises(IndexMapError) as info:
        of(small(schema)).verify_input_index_map(tmp_path / "map.json")
    assert str(info.value) == f"{tmp_path / 'map.json'} is not an index map as export_input_index_map writes them"


def test_values_reach_the_workflow_that_is_stored_with_the_images(opened: Callable[[str], WorkflowHandle]) -> None:
    handle = opened("sunset_poster")
    color: Any = handle.get_inputs_by_user_name()["Sky Color"]
    assert isinstance(color.field, IvkColorField)
    color.field.set_hex("#102030")
    assert handle.params().values()[color.node_id, color.field_name].b == 0x30


# -- custom nodes -----------------------------------------------------------------------------------------------------


def test_a_custom_node_brings_its_own_class_of_field(schema: Schema) -> None:
    builder = small(_with_tiles(schema)).node("tiles", "tiles").field("tiles.tile")
    assert type(of(builder).get_input_value(5)) is IvkStructureField

    class TileField(IvkStructureField):
        """The size of tiles: `{"size": 8}`, or 8 for short."""

        @classmethod
        def plain(cls, value: Any) -> Any:
            if isinstance(value, int) and value > 16:
                raise ValueError("Input should be a size up to 16")
            return {"size": value} if isinstance(value, int) else value

    register_field("TileField")(TileField)
    try:
        handle = of(builder)
        field = handle.get_input_value(5)
        assert (type(field), field.is_empty, handle.get_input(5).is_missing) == (TileField, True, True)
        with pytest.raises(ValueError, match=r"^Tile \(tile\) is 32, but should be a size up to 16$"):
            field.value = 32
        field.value = 16
        assert field.to_json_dict() == {"value": {"size": 16}}
        handle.get_input_value(3).value = "a.png"
        assert handle.params().values()["tiles", "tile"] == {"size": 16}
    finally:
        field_module._classes.pop("TileField")


def _with_tiles(schema: Schema) -> Schema:
    """The same server with a custom node that has a field of a type of its own."""
    tile = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}
    number = schema.schemas["IntegerInvocation"]
    own = {
        "tile": {
            "$ref": "#/components/schemas/TileField",
            "field_kind": "input",
            "input": "any",
            "title": "Tile",
            "orig_required": True,
        },
        "type": {"const": "tiles", "default": "tiles", "field_kind": "node_attribute", "type": "string"},
    }
    kept = {name: number["properties"][name] for name in ("id", "is_intermediate", "use_cache")}
    node = {**number, "title": "Tiles", "properties": {**kept, **own}}
    schemas = {**schema.schemas, "TileField": tile, "TilesInvocation": node}
    return Schema({**schema.document, "components": {"schemas": schemas}}, source="a server with tiles")
