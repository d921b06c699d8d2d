"""What one changed workflow costs: the others are not read again, and no damaged cache changes a byte of the output."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.cli.generate import build_cache
from invokeai_gen.cli.generate.generation import Generation
from invokeai_gen.core.plan import WorkflowPlan
from invokeai_gen.schema import Schema
from tests.cli import Cli, adder, labelled, save
from tests.unit.workflow_builder import Builder

NOTES = ("invokeai-gen.json", "invokeai-gen-schema.json")


@pytest.fixture
def cli(cli: Cli, monkeypatch: pytest.MonkeyPatch, schema: Schema) -> Cli:
    """A folder with three workflows, generated."""
    monkeypatch.setattr(build_cache, "_generator_files", list)
    save(Path("flows/adder.json"), adder())
    save(Path("flows/math.json"), labelled(Builder(schema).node("m", "integer_math").field("m.operation")))
    save(Path("flows/euler.json"), labelled(Builder(schema).node("s", "scheduler").field("s.scheduler")))
    _generate(cli)
    return cli


def _generate(cli: Cli) -> list[str]:
    answer = cli("generate", "flows", "-o", "out")
    assert answer.code == 0, answer.err
    return answer.lines


def _output() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in Path("out").iterdir() if path.is_file()}


def _afresh(cli: Cli) -> dict[str, str]:
    """Return the files of a generation that has the modules but no cache."""
    for name in NOTES:
        Path("out/__pycache__", name).unlink(missing_ok=True)
    _generate(cli)
    return _output()


def test_unchanged_plans_are_not_read_for_a_changed_one(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = WorkflowPlan.from_json

    def counted(text: str | bytes) -> WorkflowPlan:
        read.append(json.loads(text)["info"]["source"])
        return original(text)

    monkeypatch.setattr(WorkflowPlan, "from_json", counted)
    save(Path("flows/adder.json"), adder(value=5))
    assert _generate(cli)[-1] == "3 modules in out, 1 written, 2 unchanged"
    assert read == ["adder.json"]
    made = _output()
    assert made == _afresh(cli)


def test_the_openapi_is_read_for_a_node_type_that_is_new_and_not_before(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, schema: Schema
) -> None:
    read: list[str] = []
    original = Generation.schema

    def counted(self: Generation) -> Schema:
        read.append("schema")
        return original(self)

    monkeypatch.setattr(Generation, "schema", counted)
    save(Path("flows/adder.json"), adder(value=5))
    _generate(cli)
    assert read == []
    for value in (1, 2):
        save(Path("flows/more.json"), labelled(Builder(schema).node("s", "sub", a=value, b=2).field("s.a")))
        _generate(cli)
        assert read == ["schema"]
    made = _output()
    assert made == _afresh(cli)


def test_a_node_type_that_the_server_does_not_have_is_reported_with_and_without_the_cache(cli: Cli) -> None:
    unknown = adder()
    unknown["nodes"][0]["data"]["type"] = "add_up"
    save(Path("flows/unknown.json"), unknown)
    with_cache = cli("generate", "flows", "-o", "out")
    for name in NOTES:
        Path("out/__pycache__", name).unlink()
    assert with_cache.errors == cli("generate", "flows", "-o", "out").errors
    assert "this node type does not exist on the server" in with_cache.err


def test_a_new_name_of_a_shared_type_reaches_the_unchanged_modules(cli: Cli, schema: Schema) -> None:
    assert "Operation, Input" in _output()["math.py"]
    floats = labelled(Builder(schema).node("m", "float_math").field("m.operation"))
    save(Path("flows/floats.json"), floats)
    _generate(cli)
    made = _output()
    assert "IntegerMathOperation, Input" in made["math.py"]
    assert made == _afresh(cli)


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b'"m"', b'"x"').replace(b"euler", b"eular").replace(b"integer", b"boolean"),
        lambda content: content.replace(b"0", b"1"),
        lambda content: b"",
        lambda content: b"\n{}",
        lambda content: b"\0" * len(content),
    ],
)
def test_a_damaged_cache_changes_no_byte(cli: Cli, note: str, damage: Callable[[bytes], bytes]) -> None:
    path = Path("out/__pycache__", note)
    damaged = damage(path.read_bytes())
    assert damaged != path.read_bytes()
    save(Path("flows/adder.json"), adder(value=5))
    path.write_bytes(damaged)
    _generate(cli)
    made = _output()
    assert made == _afresh(cli)


def test_the_excerpt_of_another_openapi_is_not_used(cli: Cli, schema: Schema) -> None:
    document: dict[str, Any] = json.loads(json.dumps(schema.document))
    add = document["components"]["schemas"]["AddInvocation"]
    for title in ("First", "Second"):
        add["properties"]["b"]["title"] = title
        save(Path("api.json"), document)
        cli("generate", "flows", "-o", "out", "--openapi", "api.json")
        assert json.loads(_output()["adder.json"])["inputs"][1]["label"] == title


def test_what_is_no_longer_used_leaves_the_cache(cli: Cli) -> None:
    sizes = []
    for value in range(10, 16):
        save(Path("flows/adder.json"), adder(value=value))
        _generate(cli)
        sizes.append(build_cache.note_path(Path("out")).stat().st_size)
    assert max(sizes) - min(sizes) < 100
