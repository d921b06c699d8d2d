"""Which result belongs to which node, on hand-made sessions and on a real one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen import ImageOutput, WorkflowOutputs
from invokeai_gen.core.plan import PlannedOutput
from invokeai_gen.core.problems import failing_node
from invokeai_gen.core.results import iteration_paths, results_by_node
from invokeai_gen.runtime.output_methods import file_names
from invokeai_gen.server.errors import DecodeError, MissingOutputError
from invokeai_gen.server.records import QueueItem
from tests import plans


def session(
    results: dict[str, dict[str, Any]], sources: dict[str, str], executed: list[str], **more: Any
) -> dict[str, Any]:
    history = list(dict.fromkeys(sources[prepared] for prepared in executed))
    return {"results": results, "prepared_source_mapping": sources, "executed_history": history, **more}


def image(name: str, width: int = 8, height: int = 8) -> dict[str, Any]:
    return {"type": "image_output", "image": {"image_name": name}, "width": width, "height": height}


def item(session: dict[str, Any], status: str = "completed") -> QueueItem:
    return QueueItem(item_id=1, status=status, batch_id="b", session_id="s", session=session)


def nested_graph() -> dict[str, Any]:
    """Two iterates, one in the other: o0 (i00, i01), o1 (i10, i11), each with an `x` after it."""
    nodes: dict[str, dict[str, Any]] = {}
    edges = []
    for outer in (1, 0):
        nodes[f"o{outer}"] = {"type": "iterate", "index": outer}
        for inner in (1, 0):
            name = f"{outer}{inner}"
            nodes[f"x{name}"] = {"type": "integer"}
            nodes[f"i{name}"] = {"type": "iterate", "index": inner}
            edges.append((f"o{outer}", f"i{name}"))
            edges.append((f"i{name}", f"x{name}"))
        nodes[f"c{outer}"] = {"type": "collect"}
        edges += [(f"x{outer}0", f"c{outer}"), (f"x{outer}1", f"c{outer}")]
    return {
        "nodes": nodes,
        "edges": [{"source": {"node_id": a}, "destination": {"node_id": b}} for a, b in edges],
    }


def test_results_are_found_by_the_node_of_the_workflow() -> None:
    found = results_by_node(session({"p2": image("b"), "p1": image("a")}, {"p1": "one", "p2": "two"}, ["p1", "p2"]))
    assert list(found) == ["one", "two"], "in the order of execution"
    assert {node: [result["image"]["image_name"] for result in results] for node, results in found.items()} == {
        "one": ["a"],
        "two": ["b"],
    }


def test_results_of_an_iterated_node_are_in_the_order_of_its_items() -> None:
    made = session(
        {"p1": image("last"), "p2": image("first")},
        {"p1": "each", "p2": "each"},
        ["p1", "p2"],
        prepared_iteration_paths={"p1": [1], "p2": [0]},
    )
    assert [result["image"]["image_name"] for result in results_by_node(made)["each"]] == ["first", "last"]


def test_without_paths_they_are_read_off_the_execution_graph() -> None:
    paths = iteration_paths({"execution_graph": nested_graph()})
    assert {name: path for name, path in paths.items() if name[0] == "x"} == {
        "x00": (0, 0),
        "x01": (0, 1),
        "x10": (1, 0),
        "x11": (1, 1),
    }
    assert (paths["c0"], paths["c1"]) == ((0,), (1,))


def test_paths_that_the_server_tells_are_believed() -> None:
    known = {"x00": [2, 1]}
    made = session({"x00": image("a")}, {}, [], prepared_iteration_paths=known, execution_graph=nested_graph())
    assert [result.iteration for result in results_by_node(made)["x00"]] == [(2, 1)]


def test_outputs_have_the_names_of_the_plan() -> None:
    made = session({"p1": image("a", 40, 30), "p2": image("b")}, {"p1": "save", "p2": "blur"}, ["p2", "p1"])
    out = plans.PictureOutputs(plans.picture().plan, item(made))
    assert out.picture == ImageOutput("a", 40, 30, "save")
    assert out.user_outputs == {"picture": out.picture}
    assert out.debug_outputs == {"blurred": out.blurred}
    assert out.images == [out.picture]
    assert [result.fields["width"] for result in out.by_node("save")] == [40]
    assert out.by_node("unknown") == ()


def test_outputs_become_json_by_name() -> None:
    made = session({"p1": image("a", 40, 30), "p2": image("b")}, {"p1": "save", "p2": "blur"}, ["p2", "p1"])
    out = plans.PictureOutputs(plans.picture().plan, item(made))
    assert out.to_dict() == {"picture": {"image_name": "a"}}
    assert out.to_dict(include_debug=True) == {"picture": {"image_name": "a"}, "blurred": {"image_name": "b"}}


def test_a_node_that_did_not_run_is_reported_by_its_label() -> None:
    out = plans.PictureOutputs(plans.picture().plan, item(session({"p1": image("a")}, {"p1": "save"}, ["p1"])))
    with pytest.raises(MissingOutputError, match="'blurred': the node 'img_blur' did not run in queue item 1"):
        out.blurred  # noqa: B018
    assert not hasattr(out, "blurred")
    with pytest.raises(AttributeError, match="no attribute 'typo'"):
        out.typo  # type: ignore[attr-defined]  # noqa: B018


def test_images_in_a_collection_get_the_size_that_another_node_told() -> None:
    made = session(
        {
            "p1": image("a", 16, 8),
            "p2": {"type": "image_collection_output", "collection": [{"image_name": "a"}, {"image_name": "x"}]},
        },
        {"p1": "blank", "p2": "images"},
        ["p1", "p2"],
    )
    out = plans.IteratedOutputs(plans.iterated().plan, item(made))
    assert out.all_of_them == [ImageOutput("a", 16, 8, "images"), ImageOutput("x", 0, 0, "images")]
    assert out.each == [ImageOutput("a", 16, 8, "blank")]


@pytest.mark.parametrize(
    ("fields", "result", "value"),
    [
        ({"value": "IntegerField"}, {"value": 3}, 3),
        ({"collection": "list[StringField]"}, {"collection": ["a"]}, ["a"]),
        ({"value": "BooleanField"}, {"value": False}, False),
    ],
)
def test_plain_results_are_plain_values(fields: dict[str, str], result: dict[str, Any], value: Any) -> None:
    planned = PlannedOutput(
        node_id="n", node_type="t", node_label="", node_title="T", output_type="o", output_fields=fields, role="result",
        name="number",
    )  # fmt: skip
    plan = plans.plan("P", [], [], [], [planned])
    out = WorkflowOutputs(plan, item(session({"p": {"type": "o", **result}}, {"p": "n"}, ["p"])))
    assert out.user_outputs == out.to_dict() == {"number": value}


def test_a_result_of_another_shape_is_an_error_that_names_the_node() -> None:
    made = session({"p1": {"type": "integer_output", "value": 1}}, {"p1": "save"}, ["p1"])
    with pytest.raises(DecodeError, match=r"'save_image' \(save_image\) did not return what its schema says"):
        plans.PictureOutputs(plans.picture().plan, item(made))


def test_the_failing_node_is_that_of_the_workflow() -> None:
    failed = {
        "errors": {"p9": "Traceback …"},
        "prepared_source_mapping": {"p9": "resize"},
        "graph": {"nodes": {"resize": {"type": "img_resize"}}},
    }
    assert failing_node(failed) == ("resize", "img_resize")
    assert failing_node({"errors": {}}) is None


def test_file_names_are_safe_and_always_the_same() -> None:
    one, two = ImageOutput("x.png"), ImageOutput("y.png")
    named = {"../a:b": one, "many": [one, two], "číslo": 3, "猫": two}
    assert [name for name, _ in file_names(named)] == ["_a_b.png", "many-000.png", "many-001.png", "猫.png"]


@pytest.fixture
def corpus() -> Path:
    folder = os.environ.get("INVOKEAI_GEN_CORPUS")
    if not folder:
        pytest.skip("INVOKEAI_GEN_CORPUS is not set")
    return Path(folder)


def test_a_real_run_of_sdxl_then_flux_maps_to_its_nodes(corpus: Path) -> None:
    real = QueueItem.of(json.loads((corpus / "queue-items" / "sdxl-flux-refine.json").read_text(encoding="utf-8")))
    found = results_by_node(real.session)
    assert set(found) == set(real.session["graph"]["nodes"])
    assert {len(results) for results in found.values()} == {1}
    for node_id, (result,) in found.items():
        assert real.session["prepared_source_mapping"][result.prepared_id] == node_id
    saved = {
        node_id: results[0]["image"]["image_name"]
        for node_id, results in found.items()
        if real.session["graph"]["nodes"][node_id]["type"] == "save_image"
    }
    assert len(set(saved.values())) == len(saved) > 1
    outputs = WorkflowOutputs(None, real)
    assert set(saved.values()) <= {image.name for image in outputs.images}
    assert outputs.timings.execution_seconds == pytest.approx(91.072)
