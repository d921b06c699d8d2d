"""`diff` and `inspect --graph`: what they show, and that labels stay text in whatever is drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from invokeai_gen.cli.show.inspect import mermaid
from invokeai_gen.codegen.names import assign_names
from invokeai_gen.schema import Schema
from tests.cli import Cli, adder, save
from tests.unit.workflow_builder import Builder

EVIL = '"]; click n0 "javascript:alert(1)" <script>alert(1)</script> `x` --> \x1b \ud800 \u202e #quot; &amp;'


@pytest.fixture
def cli(cli: Cli) -> Cli:
    save(Path("old.json"), adder())
    save(Path("new.json"), adder(label="Number", value=9))
    return cli


def test_equal_workflows_have_no_difference(cli: Cli) -> None:
    answer = cli("diff", "old.json", "old.json")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_the_difference_of_two_files(cli: Cli) -> None:
    answer = cli("diff", "old.json", "new.json")
    assert answer.code == 1
    assert answer.lines == [
        "input first renamed to number: the label is now 'Number'",
        "Number (number): default 9, was 1",
    ]


def test_the_difference_as_json(cli: Cli) -> None:
    found = json.loads(cli("diff", "old.json", "new.json", "--json").out)
    assert [(item["kind"], item["name"], item["old"], item["new"]) for item in found] == [
        ("renamed", "number", "first", "number"),
        ("default", "number", "default 1", "default 9"),
    ]
    assert json.loads(cli("diff", "old.json", "old.json", "--json").out) == []


def test_kept_names_are_no_difference(cli: Cli) -> None:
    assert cli("diff", "old.json", "new.json", "--keep-names").lines == ["Number (first): default 9, was 1"]


@pytest.mark.parametrize("module", ["old", "generated/old.py", "generated/old.json"])
def test_a_module_and_a_file(cli: Cli, module: str) -> None:
    cli("generate", "old.json", "-o", "generated")
    assert cli("diff", module, "old.json").code == 0
    assert cli("diff", module, "new.json").code == 1


@pytest.mark.parametrize("files", [("refused.json", "old.json"), ("old.json", "refused.json")])
def test_a_workflow_that_generate_refuses_has_no_difference_to_tell(cli: Cli, files: tuple[str, str]) -> None:
    data = adder()
    data["nodes"][0]["data"]["inputs"]["zzz"] = {"name": "zzz", "label": "", "value": 1}
    save(Path("refused.json"), data)
    assert cli("generate", "refused.json", "-o", "out").code == 1
    answer = cli("diff", *files)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: refused.json: node 'Sum'")


def test_the_graph_has_every_node_and_what_feeds_what(schema: Schema) -> None:
    builder = Builder(schema)
    builder.node("b", "string_batch", label="Batch", strings=["x"]).node("s", "string", label="Text")
    builder.node("i", "integer", label="Number").node("a", "add", label="Sum").node("c", "add", label="Total")
    builder.edge("b.value", "s.value").edge("i.value", "a.a").edge("a.value", "c.a").edge("i.value", "c.b")
    builder.field("i.value").field("a.b")
    first, *nodes, l1, l2, l3, l4, _, _ = mermaid(assign_names(builder.compile(validate=False).plan)).splitlines()
    assert first == "flowchart LR"
    assert nodes == [
        '    n0[["Batch<br/>string_batch"]]',
        '    n1(["Text<br/>string"]):::output',
        '    n2["Number<br/>integer<br/>value"]:::input',
        '    n3["Sum<br/>add<br/>b"]:::input',
        '    n4(["Total<br/>add"]):::output',
    ]
    assert [l1, l2, l3, l4] == [
        '    n2 -->|"a"| n3', '    n3 -->|"a"| n4', '    n2 -->|"b"| n4', '    n0 -->|"value"| n1',
    ]  # fmt: skip


def test_labels_stay_text_in_mermaid(schema: Schema) -> None:
    text = mermaid(assign_names(Builder(schema).node("a", "add", label=EVIL).compile().plan))
    quoted = re.compile(r'"(?:[A-Za-z0-9 .,_\-+/()]|#[0-9]+;|<br/>)*"')
    assert quoted.sub('""', text).splitlines()[1] == '    n0([""]):::output'


def test_inspect_prints_a_graph(cli: Cli) -> None:
    assert cli("inspect", "old.json", "--graph", "mermaid").lines[1].startswith("    n0")
    assert cli("inspect", "old.json", "--graph", "mermaid", "--json").code == 2
