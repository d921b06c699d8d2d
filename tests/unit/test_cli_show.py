"""`diff` and `inspect --graph`: what they show, and that labels stay text in whatever is drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from invokeai_gen.cli.show.graph import Box, Graph, graph_of, mermaid, svg
from invokeai_gen.codegen import assign_names
from invokeai_gen.schema import Schema
from tests.cli import Cli, adder, save
from tests.unit.workflow_builder import Builder

EVIL = '"]; click n0 "javascript:alert(1)" <script>alert(1)</script> `x` --> \x1b \ud800 \u202e #quot; &amp;'


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    save(Path("old.json"), adder())
    save(Path("new.json"), adder(label="Number", value=9))
    return Cli(capsys)


def test_equal_workflows_have_no_difference(cli: Cli) -> None:
    answer = cli("diff", "old.json", "old.json")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_the_difference_of_two_files(cli: Cli) -> None:
    answer = cli("diff", "old.json", "new.json")
    assert answer.code == 1
    assert answer.lines == ["input first renamed to number", "default of number was 1, is 9"]


def test_the_difference_as_json(cli: Cli) -> None:
    found = json.loads(cli("diff", "old.json", "new.json", "--json").out)
    assert [(item["kind"], item["name"], item["old"], item["new"]) for item in found] == [
        ("renamed", "number", "first", "number"),
        ("default", "number", "1", "9"),
    ]
    assert json.loads(cli("diff", "old.json", "old.json", "--json").out) == []


def test_kept_names_are_no_difference(cli: Cli) -> None:
    assert cli("diff", "old.json", "new.json", "--keep-names").lines == ["default of first was 1, is 9"]


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


def _boxes(text: str) -> dict[str, tuple[float, float, float, float]]:
    """Label to (x, y, width, height) of every box in an SVG."""
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    found = {}
    for group in root.iter(f"{space}g"):
        rect, label = group.find(f"{space}rect"), group.find(f"{space}text")
        assert rect is not None and label is not None
        x, y, width, height = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        found[label.text or ""] = (x, y, width, height)
    return found


@pytest.fixture
def graph(schema: Schema) -> Graph:
    builder = Builder(schema)
    builder.node("b", "string_batch", label="Batch", strings=["x"]).node("s", "string", label="Text")
    builder.node("i", "integer", label="Number").node("a", "add", label="Sum").node("c", "add", label="Total")
    builder.edge("b.value", "s.value").edge("i.value", "a.a").edge("a.value", "c.a").edge("i.value", "c.b")
    builder.field("i.value").field("a.b")
    return graph_of(assign_names(builder.compile(validate=False).plan))


def test_the_graph_has_every_node_and_what_feeds_what(graph: Graph) -> None:
    assert [box.label for box in graph.boxes] == ["Batch", "Text", "Number", "Sum", "Total"]
    assert graph.lines == {("i", "a"): ("a",), ("a", "c"): ("a",), ("i", "c"): ("b",), ("b", "s"): ("value",)}
    assert graph.boxes[0].is_batch
    assert graph.boxes[3].inputs == ("b",)


def test_mermaid_text(graph: Graph) -> None:
    lines = mermaid(graph).splitlines()
    assert lines[0] == "flowchart LR"
    assert '    n0[["Batch<br/>string_batch"]]' in lines
    assert '    n2["Number<br/>integer<br/>value"]:::input' in lines
    assert '    n2 -->|"a"| n3' in lines


def test_boxes_do_not_overlap_and_lines_go_right(graph: Graph) -> None:
    boxes = _boxes(svg(graph))
    assert boxes["Number"][0] < boxes["Sum"][0] < boxes["Total"][0]
    placed = list(boxes.values())
    for index, (x, y, width, height) in enumerate(placed):
        for x2, y2, _, height2 in placed[index + 1 :]:
            assert abs(x - x2) >= width or y + height <= y2 or y2 + height2 <= y


def test_a_line_that_passes_a_layer_does_not_run_through_its_boxes(graph: Graph) -> None:
    text = svg(graph)
    x, y, width, height = _boxes(text)["Sum"]
    (path,) = (item for item in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}path") if "L" in item.attrib["d"])
    found = re.search(r" (\d+),(\d+) L(\d+),(\d+)", path.attrib["d"])
    assert found is not None
    left, lane, right, end = map(int, found.groups())
    assert (left, right, lane) == (x, x + width, end)
    assert not y <= lane <= y + height


def test_a_graph_with_a_cycle_is_drawn() -> None:
    boxes = tuple(Box(name, name, "add", (), False, False) for name in "abc")
    assert len(_boxes(svg(Graph("Cycle", boxes, {("a", "b"): ("x",), ("b", "a"): ("y",), ("c", "a"): ("z",)})))) == 3


def test_an_empty_graph_is_drawn() -> None:
    graph = Graph("", (), {})
    assert ET.fromstring(svg(graph)).tag.endswith("svg")
    assert mermaid(graph).startswith("flowchart LR")


def test_the_picture_is_the_same_every_time(graph: Graph) -> None:
    assert svg(graph) == svg(graph)


def test_labels_stay_text_in_an_svg() -> None:
    text = svg(Graph(EVIL, (Box("a", EVIL, EVIL, (EVIL,), True, False),), {}))
    root = ET.fromstring(text)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "style", "rect", "text", "g", "title"}
    assert not re.search(r"\son\w+=|href=|javascript:[^a]", text)
    text.encode("utf-8")


def test_labels_stay_text_in_mermaid() -> None:
    text = mermaid(Graph(EVIL, (Box("a", EVIL, EVIL, (EVIL,), True, False),), {("a", "a"): (EVIL,)}))
    quoted = re.compile(r'"(?:[A-Za-z0-9 .,_\-+/()]|#[0-9]+;|<br/>)*"')
    assert set(quoted.sub('""', text).splitlines()[1:3]) == {'    n0([""]):::output', '    n0 -->|""| n0'}


def test_inspect_prints_a_graph(cli: Cli) -> None:
    assert cli("inspect", "old.json", "--graph", "mermaid").lines[1].startswith("    n0")
    assert ET.fromstring(cli("inspect", "old.json", "--graph", "svg").out) is not None
    assert cli("inspect", "old.json", "--graph", "svg", "--json").code == 2
