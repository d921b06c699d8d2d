"""`Params` speak JSON: what their schema allows they accept, what it forbids they refuse, for every workflow we have."""

from __future__ import annotations

import base64
import io
import json
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema
from PIL import Image
from pydantic import BaseModel, TypeAdapter, ValidationError

from invokeai_gen import NoLocalFiles
from invokeai_gen.codegen.names import assign_names
from invokeai_gen.compiler import NotReadyError, compile_workflow
from invokeai_gen.core import field_values
from invokeai_gen.core.json_schema import plan_schema
from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.problems import ParamsError
from invokeai_gen.core.values import BoardRef, BoundingBox, Color, ImageRef, LoRA, ModelRef, VideoRef
from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import shipped_schema
from invokeai_gen.sweeps.dynamic_workflow import params_type
from invokeai_gen.workflow import WorkflowError, read_workflow_file
from tests.unit.test_params import Params

PNG = b"\x89PNG\r\n\x1a\n0000"
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
SHIPPED = sorted((Path(__file__).parents[2] / "data" / "workflows").glob("*.json"))
CORPUS = Path(os.environ.get("INVOKEAI_GEN_CORPUS", os.devnull))
FILES = [*SHIPPED, *sorted(CORPUS.glob("gui*/*/workflow.json"))]

CANDIDATES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 7, 64, 65, -1, 2**60, 0.5, 7.0, -0.25, "", " ", "a", "7", "auto", "none", "euler"),
    *("#f80", "#ff8000", "#ff80", "#ff800", "ff8000", "orange", "orangish", "photo.png", PNG_URL, "data:x", "data:"),
    *(PNG_URL.replace("image", "video"), [], [1], [1.0, 2], [0.5], ["a"], [True], [None], [[1]], [{}], {}, {"a": 1}),
    *([255, 128, 0], [255, 128, 0, 7], [255, 128, 300], [255, 128], [1.0, 2.0, 3.0], {"r": 1, "g": 2, "b": 3}),
    *({"r": 1, "g": 2, "b": 3, "a": 4}, {"r": 1, "g": 2, "b": 300}, {"r": 1, "g": 2}, {"r": 1, "g": 2, "b": 3, "x": 1}),
    *({"image_name": "a.png"}, {"image_name": ""}, {"image_name": 3}, {"path": "a.png"}, {"path": ""}),
    *({"image_name": "a", "path": "b"}, {"video_name": "a.mp4"}, {"board_id": "b"}, {"board_id": " "}),
    *({"name": "m"}, {"key": "k", "name": "", "base": ""}, {"name": "m", "base": "sdxl"}, {"name": "m", "base": "x"}),
    *(
        {"name": "m", "type": "main"},
        {"name": "m", "more": 1},
        {"name": 3},
        {"base": "sdxl"},
        {"hash": "h", "key": None},
    ),
    *({"name": "m", "submodel_type": None}, {"name": "m", "submodel_type": 3}, ["detail"], [{"lora": "detail"}]),
    *([{"lora": {"name": "d"}, "weight": 1}], [{"lora": "d", "weight": "1"}], [{"weight": 1}], [{"lora": "d", "x": 1}]),
    *({"x_min": 0, "x_max": 8, "y_min": 0, "y_max": 8}, {"x_min": 0, "x_max": 8, "y_min": 0, "y_max": 8, "score": 0.5}),
    *({"x_min": 0.5, "x_max": 8, "y_min": 0, "y_max": 8}, {"x_min": 0, "x_max": 8, "y_min": 0, "y_max": 8, "score": 2}),
    *({"x_min": 0.0, "x_max": 8, "y_min": 0, "y_max": 8, "score": None}, {"x_min": 0, "x_max": 8}),
)


@cache
def params_of(path: Path) -> type[WorkflowParams] | None:
    """The `Params` of a workflow file with the defaults that its generated module has; `None` if it cannot compile."""
    try:
        plan = assign_names(compile_workflow(read_workflow_file(path), shipped_schema()).plan)
    except (NotReadyError, WorkflowError):
        return None
    defaults = {item.name: field_values.default_of(item) for item in plan.inputs if item.fed_by is None}
    return params_type(plan, {name: value for name, value in defaults.items() if value is not UNSET})


def usable(path: Path) -> type[WorkflowParams]:
    params = params_of(path)
    if params is None:
        pytest.skip("the GUI refuses it too")
    return params


def name_of(path: Path) -> str:
    return path.stem if path in SHIPPED else f"{path.parents[1].name}/{path.parent.name}"


def example(params: type[WorkflowParams]) -> dict[str, Any]:
    """An object that the schema allows: the first candidate that fits for each required input."""
    schema = params.json_schema()
    found = {}
    for name in schema.get("required", ()):
        one = jsonschema.Draft202012Validator(schema["properties"][name])
        found[name] = next(
            data for data in (*CANDIDATES, *schema["properties"][name].get("enum", ())) if one.is_valid(data)
        )
    return found


def values_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a schema allows. (`from_schema` does the leaves: its objects need an older hypothesis.)"""
    if "anyOf" in schema and "properties" not in schema:
        return st.one_of([values_of(one) for one in schema["anyOf"]])
    if schema.get("type") == "array":
        sizes = {"min_size": schema.get("minItems", 0), "max_size": min(schema.get("maxItems", 4), 4)}
        return st.lists(values_of(schema["items"]), **sizes)
    if "properties" not in schema:
        return from_schema(schema) if schema.get("type") != "object" else st.just({"type": "any"})
    parts = {name: values_of(one) for name, one in schema["properties"].items()}
    required = schema.get("required", ())
    optional = {name: part for name, part in parts.items() if name not in required}
    made = st.fixed_dictionaries({name: parts[name] for name in required}, optional=optional)
    whole = jsonschema.Draft202012Validator(schema)
    return made.filter(whole.is_valid) if "anyOf" in schema else made


def accepts(params: type[WorkflowParams], data: dict[str, Any]) -> bool:
    try:
        params.from_dict(data)
    except ParamsError:
        return False
    return True


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_workflow_has_a_valid_schema_and_agrees_with_it(path: Path) -> None:
    params = usable(path)
    schema = params.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert params.__plan__ is not None
    assert {"$schema": schema["$schema"], **plan_schema(params.__plan__())} == schema, "the same without the class"
    whole = jsonschema.Draft202012Validator(schema)
    given_values = example(params)
    assert whole.is_valid(given_values)
    dumped = params.from_dict(given_values).to_dict(embed=True)
    assert list(whole.iter_errors(dumped)) == []
    assert params.from_dict(dumped).to_dict(embed=True) == dumped
    seen = set()
    for name, described in schema["properties"].items():
        alike = json.dumps(
            {key: part for key, part in described.items() if key not in ("title", "description", "default")}
        )
        if alike in seen:
            continue
        seen.add(alike)
        one = jsonschema.Draft202012Validator(described)
        assert "title" in described
        for data in (*CANDIDATES, *described.get("enum", ())):
            assert accepts(params, {**given_values, name: data}) == one.is_valid(data), (name, data)
    assert not whole.is_valid({**given_values, "no_such_input": 1})
    assert not accepts(params, {**given_values, "no_such_input": 1})


@pytest.mark.parametrize("path", [*SHIPPED, None], ids=lambda path: name_of(path) if path else "every kind")
def test_what_a_schema_allows_is_accepted_and_can_be_dumped(path: Path | None) -> None:
    params = Params if path is None else usable(path)
    schema = params.json_schema()
    whole = jsonschema.Draft202012Validator(schema)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(values_of(schema))
    def check(data: dict[str, Any]) -> None:
        assume("\n" not in json.dumps(data).replace("\\n", "\n"))  # Python's `$` also matches before a line end
        box = data.get("box")
        assume(box is None or (box["x_min"] <= box["x_max"] and box["y_min"] <= box["y_max"]))  # not in JSON Schema
        dumped = params.from_dict(data).to_dict(embed=True)
        assert list(whole.iter_errors(dumped)) == []
        assert params.from_dict(json.loads(json.dumps(dumped))).to_dict(embed=True) == dumped

    check()


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*Params.json_schema()["properties"], "other"]),
        st.one_of(
            st.sampled_from(CANDIDATES),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(),
                lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
                max_leaves=6,
            ),
        ),
    )
)
def test_what_a_schema_forbids_is_refused(data: dict[str, Any]) -> None:
    valid = jsonschema.Draft202012Validator(Params.json_schema()).is_valid(data)
    assume(not any(isinstance(value, str) and value.endswith("\n") for value in data.values()))
    assert accepts(Params, data) == valid


@pytest.mark.parametrize(
    ("name", "data", "value"),
    [
        ("model", "dreamshaper", "dreamshaper"),
        ("model", {"name": "dreamshaper", "base": "sdxl"}, ModelRef(name="dreamshaper", base="sdxl")),
        ("color", "#f80", "#f80"),
        ("color", "orange", "orange"),
        ("color", [255, 128, 0], (255, 128, 0)),
        ("color", {"r": 255, "g": 128.0, "b": 0}, Color(255, 128, 0)),
        ("image", "photo.png", "photo.png"),
        ("image", {"path": "photo.png"}, Path("photo.png")),
        ("image", {"image_name": "5f3a.png"}, ImageRef("5f3a.png")),
        ("image", PNG_URL, PNG),
        ("image", None, None),
        ("video", {"video_name": "a.mp4"}, VideoRef("a.mp4")),
        ("board", {"board_id": "b"}, BoardRef("b")),
        ("box", {"x_min": 0, "x_max": 8, "y_min": 0, "y_max": 8}, BoundingBox(x_min=0, x_max=8, y_min=0, y_max=8)),
        ("loras", ["detail", {"lora": {"hash": "h"}, "weight": 1}], [LoRA("detail"), LoRA(ModelRef(hash="h"), 1)]),
        ("width", 512.0, 512),
        ("cfg", 7, 7.0),
        ("cfg", [7, 7.5], [7.0, 7.5]),
    ],
)
def test_the_forms_that_a_person_would_write(name: str, data: Any, value: Any) -> None:
    found = getattr(Params.from_dict({"model": "m", name: data}), name)
    assert (type(found), found) == (type(value), value)


def test_pydantic_validates_objects_texts_and_instances_and_dumps_them() -> None:
    adapter = TypeAdapter(Params)
    made = adapter.validate_json('{"model": "m", "width": 768, "color": "orange"}')
    assert made == Params(model="m", width=768, color="orange") == adapter.validate_python(made)
    assert adapter.validate_python({"model": "m", "image": Path("a.png")}).image == Path("a.png")
    assert adapter.dump_python(made)["loras"] == []
    assert adapter.validate_python(adapter.dump_python(made, mode="json")) == made
    assert json.loads(adapter.dump_json(made)) == made.to_dict()
    schema = adapter.json_schema()
    assert schema["properties"]["width"] == {
        "title": "Output Width", "type": "integer", "minimum": 64, "multipleOf": 8, "default": 512
    }  # fmt: skip
    assert schema["required"] == ["model"]
    assert schema["additionalProperties"] is False


def test_pydantic_names_each_input_and_what_is_wrong_with_it() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Params).validate_python({"width": 65, "widht": 1, "color": {"r": 1, "g": 2, "b": 300}, "\ud800": 1})
    assert [(item["loc"], item["msg"]) for item in caught.value.errors()] == [
        (("width",), "Output Width (width) is 65, but should be a multiple of 8"),
        (("model",), "SDXL Model (model) is required: the workflow has no usable value for it"),
        (("color",), "Colour (color) is {'r': 1, 'g': 2, 'b': 300}, which cannot be used: channel b of a colour is 300, not a whole number from 0 to 255"),
        (("widht",), "unknown input 'widht'; did you mean Output Width (width)?"),
        (("\\ud800",), "unknown input '\\ud800'; there are width, cfg, model, color, loras, mode, image, board, video, box, flag, prompt"),
    ]  # fmt: skip
    with pytest.raises(ValidationError, match="should be an object by name"):
        TypeAdapter(Params).validate_python(7)


def test_a_model_of_pydantic_may_hold_params() -> None:
    class Order(BaseModel):
        values: Params
        public: Annotated[Params, NoLocalFiles]

    order = Order.model_validate_json('{"values": {"model": "m"}, "public": {"model": "m"}}')
    assert order.values == order.public == Params(model="m")
    assert Order.model_validate_json(order.model_dump_json()) == order
    jsonschema.Draft202012Validator(Order.model_json_schema()).validate(json.loads(order.model_dump_json()))


def test_a_stranger_cannot_name_files_of_this_machine() -> None:
    adapter = TypeAdapter(Annotated[Params, NoLocalFiles])
    assert adapter.validate_python({"model": "m", "image": "/etc/passwd"}).image == ImageRef("/etc/passwd")
    assert adapter.validate_python({"model": "m", "image": PNG_URL}).image == PNG
    with pytest.raises(ValidationError, match="Start Image .* paths of files are not accepted here"):
        adapter.validate_python({"model": "m", "image": {"path": "/etc/passwd"}})
    assert not jsonschema.Draft202012Validator(adapter.json_schema()).is_valid({"model": "m", "image": {"path": "/x"}})


def test_files_only_below_folders(allowed: Path, tmp_path: Path) -> None:
    def image(value: Any, *folders: Path) -> Any:
        return Params.from_dict({"model": "m", "image": value}, allow_files=folders).image

    assert image({"path": "red.png"}, tmp_path / "nothing", allowed) == allowed / "red.png"
    assert image({"path": str(allowed / "red.png")}, allowed) == allowed / "red.png"
    assert image("red.png", allowed) == ImageRef("red.png"), "a text is a name on the server"
    for path in ("../secret.png", "link.png", str(tmp_path / "secret.png"), "photos/../../secret.png", ".", "\0"):
        with pytest.raises(ParamsError, match="Start Image"):
            image({"path": path}, allowed)
    with pytest.raises(ParamsError, match="not accepted here"):
        image({"path": str(allowed / "red.png")})
    for folders, is_valid in (((), False), ((allowed,), True)):
        schema = jsonschema.Draft202012Validator(Params.json_schema(allow_files=folders))
        assert schema.is_valid({"model": "m", "image": {"path": "red.png"}}) == is_valid


def test_json_texts_that_are_no_objects() -> None:
    assert Params.from_json(b'{"model": "m"}') == Params(model="m")
    for text, message in (("[1]", "should be an object by name"), ("{", "not JSON"), ('{"cfg": NaN}', "not a number")):
        with pytest.raises(ParamsError, match=message):
            Params.from_json(text)


def test_images_in_memory_become_data_urls_on_request() -> None:
    red = Image.new("RGB", (2, 2), "red")
    data = Params(model="m", image=red).to_dict(embed=True)
    again = Params.from_dict(data).image
    assert isinstance(again, bytes)
    assert Image.open(io.BytesIO(again)).getpixel((0, 0)) == (255, 0, 0)
