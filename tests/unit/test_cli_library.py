"""What a server says is foreign text: file names, Python constants and findings are made from it safely."""

from __future__ import annotations

import ast
import asyncio
import copy
import random
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from invokeai_gen.cli.named_workflow import file_names
from invokeai_gen.cli.server.diagnosis import Finding, diagnose, missing_assets
from invokeai_gen.cli.server.models import module_text
from invokeai_gen.codegen.names import assign_names
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.schema import Schema
from invokeai_gen.schema.openapi import VERSION_KEY
from invokeai_gen.server.boards import Board
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.models import Model
from invokeai_gen.server.workflows import SavedWorkflow
from tests.unit.workflow_builder import Builder

SDXL = Model(key="k1", hash="blake3:1", name="Dream", base="sdxl", type="main", format="checkpoint")

Run: TypeAlias = Callable[[str], dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The names in a module of that text."""

    def done(text: str) -> dict[str, Any]:
        path = tmp_path / "constants.py"
        path.write_text(text, encoding="utf-8")
        return runpy.run_path(str(path))

    return done


def _saved(name: str, workflow_id: str = "id") -> SavedWorkflow:
    return SavedWorkflow(workflow_id=workflow_id, name=name)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("My Portrait (v2)", "My-Portrait-v2.json"),
        ("../../etc/passwd", "etc-passwd.json"),
        ("/etc/passwd", "etc-passwd.json"),
        ("C:\\Windows\\x", "C-Windows-x.json"),
        ("..", "workflow.json"),
        ("", "workflow.json"),
        (".hidden", "hidden.json"),
        ("a\0b\nc\x1b[2J\u202e", "a-b-c-2J.json"),
        ("CON", "CON-workflow.json"),
        ("日本語", "日本語.json"),
        ("x" * 500, "x" * 80 + ".json"),
        ("-rf", "rf.json"),
    ],
)
def test_a_name_from_the_server_stays_in_the_folder(name: str, file: str) -> None:
    assert file_names([_saved(name)]) == {"id": file}


def test_workflows_of_one_name_get_files_of_their_own() -> None:
    names = file_names([_saved("A", "1/../x"), _saved("a", "2"), _saved("B", "3")])
    assert names == {"1/../x": "A-1-x.json", "2": "a-2.json", "3": "B.json"}


def test_the_constants_of_a_server(run: Run) -> None:
    boards = [Board(board_id="b1", board_name="Portraits")]
    space = run(module_text([SDXL], boards, "6.14.2"))
    assert space["Main"].dream.hash == "blake3:1"
    assert space["Boards"].portraits.id == "b1"
    assert space["__all__"] == ["Boards", "Main"]


def test_constants_do_not_depend_on_the_order_of_the_answer(run: Run) -> None:
    models = [
        Model(key=f"k{n}", hash=f"h{n}", name=name, base=base, type=kind)
        for n, (name, base, kind) in enumerate(
            [("A", "sdxl", "main"), ("a!", "sd-1", "main"), ("a", "sd-1", "vae"), ("A", "sdxl", "main")]
        )
    ]
    boards = [Board(board_id=str(n), board_name="Same") for n in range(3)]
    expected = module_text(models, boards, "6")
    for seed in range(5):
        random.Random(seed).shuffle(models)
        random.Random(seed).shuffle(boards)
        assert module_text(models, boards, "6") == expected
    space = run(expected)
    names = [name for name in vars(space["Main"]) if not name.startswith("_")]
    assert len(names) == 3
    assert "a_sd_1" in names


@pytest.mark.parametrize("text", ['"""\nimport os', "\\", "class", "a\x00b", "\u202e", "🦊", "__init__", "1st", "None"])
def test_whatever_the_server_says_the_constants_are_only_data(run: Run, text: str) -> None:
    model = Model(key=text, hash=text, name=text, base=text, type=text)
    source = module_text([model, SDXL], [Board(board_id=text, board_name=text)], text)
    allowed = (ast.ClassDef, ast.Expr, ast.Assign, ast.ImportFrom)
    for node in ast.parse(source).body:
        assert isinstance(node, allowed)
        for item in node.body if isinstance(node, ast.ClassDef) else ():
            assert isinstance(item, (ast.AnnAssign, ast.Expr))
    space = run(source)
    assert space["Main"].dream.key == "k1"


def test_a_server_without_models_gives_an_empty_module(run: Run) -> None:
    space = run(module_text([], [], "6"))
    assert space["__all__"] == []


def test_the_constants_pass_the_type_checker(tmp_path: Path) -> None:
    path = tmp_path / "server_models.py"
    path.write_text(module_text([SDXL], [Board(board_id="b", board_name="B")], "6"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def make(schema: Schema) -> Callable[..., WorkflowPlan]:
    """A plan of one node, the field on the form where it is named."""

    def made(node_type: str, on_form: str = "", **values: Any) -> WorkflowPlan:
        builder = Builder(schema).node("n", node_type, label="My Node", **values)
        if on_form:
            builder.field(f"n.{on_form}")
        return assign_names(builder.compile(validate=False).plan)

    return made


def _changed(schema: Schema, change: Callable[[dict[str, Any]], object], *, version: str = "6.14.2") -> Schema:
    """The schema of another server."""
    document = copy.deepcopy(dict(schema.document))
    document["info"][VERSION_KEY] = version
    change(document["components"]["schemas"])
    return Schema(document, source="server")


def test_a_server_that_is_the_same_has_everything(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    assert diagnose(make("add"), schema, []) == []


def test_a_missing_node_type_is_an_error(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    server = _changed(schema, lambda schemas: schemas.pop("AddInvocation"))
    assert diagnose(make("add"), server, []) == [
        Finding("error", "node 'My Node'", "the server has no node type 'add' (is a node pack missing?)")
    ]


@pytest.mark.parametrize("version", ["1.0.9", "1.7.0", "2.0.0"])
def test_another_version_of_a_node_is_a_warning(
    schema: Schema, make: Callable[..., WorkflowPlan], version: str
) -> None:
    server = _changed(schema, lambda schemas: schemas["AddInvocation"].update(version=version))
    (found,) = diagnose(make("add"), server, [])
    assert (found.kind, found.where) == ("warning", "node 'My Node'")
    assert found.problem == f"add was version 1.0.1, the server has {version}: generate again"


def _narrower(schemas: dict[str, Any]) -> None:
    schemas["AddInvocation"]["properties"]["a"].update(maximum=5)


def test_a_schema_that_changed_without_its_version(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    (found,) = diagnose(make("add"), _changed(schema, _narrower), [])
    assert (found.kind, found.where) == ("warning", "node 'My Node'")
    assert found.problem == "the schema of add changed; a: at most 5, was unlimited"


def test_the_plan_alone_says_which_field_changed_and_how(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    def change(schemas: dict[str, Any]) -> None:
        fields = schemas["ImageBlurInvocation"]["properties"]
        fields["blur_type"]["enum"] = ["gaussian", "wide"]
        fields["extra"] = {**fields["radius"], "title": "Extra"}
        del schemas["ImageOutput"]["properties"]["width"]

    server = _changed(schema, change)
    plan = WorkflowPlan.from_json(make("img_blur", blur_type="gaussian", image={"image_name": "x"}).to_json())
    (found,) = diagnose(plan, server, [])
    assert (found.kind, found.where) == ("warning", "node 'My Node'")
    assert found.problem == (
        "the schema of img_blur changed; blur_type: 'box' removed; 'wide' added; extra: this field is new; "
        "width: this output is gone"
    )


def test_what_only_people_read_in_a_schema_is_no_change(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    server = _changed(schema, lambda schemas: schemas["AddInvocation"]["properties"]["a"].update(title="Summand"))
    assert diagnose(make("add"), server, []) == []


def test_a_module_of_an_older_generator_is_to_be_generated_again(
    schema: Schema, make: Callable[..., WorkflowPlan]
) -> None:
    older = replace(make("add"), node_types={})
    (found,) = diagnose(older, _changed(schema, _narrower), [])
    assert found.problem == "its node types changed since an older invokeai-gen generated it: generate again"


def test_a_field_that_the_server_ignores_is_a_warning(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    server = _changed(schema, lambda schemas: schemas["AddInvocation"]["properties"].pop("b"))
    (found,) = diagnose(make("add"), server, [])
    assert found == Finding("warning", "My Node, b (b)", "the server's add 1.0.1 has no field 'b' and ignores it")


def test_a_connected_field_that_is_gone_is_an_error(schema: Schema) -> None:
    plan = assign_names(
        Builder(schema).node("n", "integer").node("a", "add", label="Sum").edge("n.value", "a.b").compile().plan
    )
    server = _changed(schema, lambda schemas: schemas["AddInvocation"]["properties"].pop("b"))
    (found,) = diagnose(plan, server, [])
    assert found.kind == "error"
    assert (found.where, found.problem) == (
        "Sum, b", "the server's add 1.0.1 has no field 'b', and the workflow connects it",
    )  # fmt: skip


def test_a_default_that_is_not_allowed_any_more(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    server = _changed(schema, lambda schemas: schemas["AddInvocation"]["properties"]["a"].update(maximum=5))
    (found,) = diagnose(make("add", "a", a=7), server, [])
    assert found == Finding("error", "A (a)", "7 should be at most 5")


def test_a_choice_that_the_server_lacks_is_an_error(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    def fewer(schemas: dict[str, Any]) -> None:
        schemas["ImageBlurInvocation"]["properties"]["blur_type"]["enum"] = ["gaussian"]

    server = _changed(schema, fewer)
    for on_form, where in (("blur_type", "Blur Type (blur_type)"), ("", "My Node, Blur Type (blur_type)")):
        found = diagnose(make("img_blur", on_form, blur_type="box", image={"image_name": "x"}), server, [])
        assert Finding("error", where, "'box' is not one of 'gaussian'") in found


def test_a_field_that_the_server_requires_is_an_error(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    def more(schemas: dict[str, Any]) -> None:
        summand = {"type": "integer", "title": "C", "field_kind": "input", "input": "any", "orig_required": True}
        schemas["AddInvocation"]["properties"]["c"] = {**schemas["AddInvocation"]["properties"]["a"], **summand}

    (found,) = diagnose(make("add"), _changed(schema, more), [])
    assert (found.kind, found.where) == ("error", "My Node, C (c)")


def test_required_inputs_are_mentioned_before_a_run(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    plan = make("sdxl_model_loader", "model")
    (found,) = diagnose(plan, schema, [SDXL])
    assert found == Finding("warning", "Model (model)", "required: every run must set it; the server has 'Dream'")
    (found,) = diagnose(plan, schema, [])
    assert found.kind == "error"
    assert "the server has no model that fits" in found.problem


def test_another_major_version_of_invokeai_is_mentioned(schema: Schema, make: Callable[..., WorkflowPlan]) -> None:
    server = _changed(schema, lambda schemas: None, version="7.0.0")
    (found,) = diagnose(make("add"), server, [])
    assert found.kind == "warning"
    assert found.problem == f"generated for version {schema.version}, the server has 7.0.0"


MODEL = {"key": "k1", "hash": "blake3:1", "name": "Dream", "base": "sdxl", "type": "main"}


def _missing(plan: WorkflowPlan, models: Sequence[Model] = (), boards: Sequence[Board] = ()) -> list[Finding]:
    """What a server with these models and boards, and without images, lacks."""

    async def listed(found: Sequence[Any], **_: bool) -> Sequence[Any]:
        return found

    async def no_image(name: str) -> None:
        raise NotFoundError("GET", f"images/i/{name}", 404)

    listing = SimpleNamespace(known=partial(listed, models), sync=partial(listed, models))
    client: Any = SimpleNamespace(
        models=listing, boards=SimpleNamespace(list=partial(listed, boards)), images=SimpleNamespace(get=no_image)
    )
    return asyncio.run(missing_assets(plan, client))


def test_a_model_on_the_form_is_found_by_hash_or_name(make: Callable[..., WorkflowPlan]) -> None:
    plan = make("sdxl_model_loader", "model", model={**MODEL, "key": "elsewhere"})
    assert _missing(plan, [SDXL]) == []


def test_a_model_that_is_not_there_is_named_by_its_label(make: Callable[..., WorkflowPlan]) -> None:
    plan = make("sdxl_model_loader", "model", model=MODEL)
    (found,) = _missing(plan)
    assert found.where == "Model (model)"
    assert found.problem.startswith("no model 'Dream' that fits this field (sdxl ")
    other = Model(key="k2", hash="blake3:2", name="Other", base="sdxl", type="main", format="checkpoint")
    assert "This server has: Other (sdxl main)" in _missing(plan, [other])[0].problem


def test_a_hidden_model_is_found_as_a_run_finds_it(make: Callable[..., WorkflowPlan]) -> None:
    plan = make("sdxl_model_loader", model={**MODEL, "key": "elsewhere"})
    assert _missing(plan, [SDXL]) == []
    (found,) = _missing(plan)
    assert (found.kind, found.where) == ("error", "My Node → Model")


def test_boards_and_images_that_are_not_there(make: Callable[..., WorkflowPlan]) -> None:
    plan = make("save_image", "board", board={"board_id": "b9"}, image={"image_name": "x.png"})
    picture = Finding("error", "My Node → Image", "the image 'x.png' is not on this server.")
    board = "no board has the name or id 'b9'; 'none' and 'auto' always work."
    assert _missing(plan) == [Finding("error", "Board (board)", board), picture]
    assert _missing(plan, boards=[Board(board_id="b9", board_name="B")]) == [picture]
