"""Items are put together from what their nodes have told, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from invokeai_gen.core.results import results_by_node
from invokeai_gen.server.events import InvocationComplete, StatusChanged
from invokeai_gen.server.records import QueueItem
from invokeai_gen.sweeps import results
from invokeai_gen.sweeps.results import EventResults, slim
from tests import plans

NODES = ("blank", "blur", "save")


def told(item_id: int, node_id: str, **result: Any) -> InvocationComplete:
    return InvocationComplete(
        item_id=item_id,
        batch_id="b",
        node_id=node_id,
        prepared_id=f"{node_id}-{item_id}",
        node_type="",
        node_label="",
        result={"type": "image_output", **result},
    )


def ended(item_id: int, status: str = "completed", *, heard: bool = True) -> StatusChanged:
    raw = {"item_id": item_id, "status": status, "batch_id": "b", "session_id": "s", "queue_status": {}}
    return StatusChanged(item_id=item_id, batch_id="b", status=status, raw=raw if heard else {})


def test_an_item_whose_every_node_was_heard_is_given_once() -> None:
    known = EventResults(plans.picture().plan)
    for width, node in enumerate(NODES):
        known.add(told(1, node, width=width))
    known.end(ended(1))
    assert 1 in known
    item = known.take(1)
    assert item is not None
    assert (item.status, item.session_id) == ("completed", "s")
    results = results_by_node(item.session)
    assert [(node, result[0]["width"]) for node, result in results.items()] == [("blank", 0), ("blur", 1), ("save", 2)]
    assert (1 in known, known.take(1)) == (False, None)


@pytest.mark.parametrize(
    ("nodes", "end"),
    [
        (NODES[1:], ended(1)),
        (NODES, ended(1, "failed")),
        (NODES, ended(1, heard=False)),
        ((), ended(1)),
    ],
)
def test_one_of_which_something_was_missed_has_to_be_asked_for(nodes: tuple[str, ...], end: StatusChanged) -> None:
    known = EventResults(plans.picture().plan)
    for node in nodes:
        known.add(told(1, node))
    known.end(end)
    assert 1 not in known


def test_what_runs_several_times_has_to_be_asked_for() -> None:
    plan = plans.iterated().plan
    known = EventResults(plan)
    for node in plan.nodes:
        known.add(told(1, node.id))
    known.end(ended(1))
    assert 1 not in known


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "KEPT", 3)
    known = EventResults(plans.picture().plan)
    for item_id in range(5):
        for node in NODES:
            known.add(told(item_id, node))
        known.end(ended(item_id))
    assert [item_id for item_id in range(5) if item_id in known] == [2, 3, 4]


@pytest.mark.parametrize(
    ("status", "executed", "paths", "kept"),
    [
        ("completed", "blur", {"p": [0]}, {"results", "prepared_source_mapping", "prepared_iteration_paths"}),
        ("completed", "iterate", {"p": [0]}, {"results", "prepared_source_mapping", "prepared_iteration_paths"}),
        ("completed", "iterate", None, {"results", "prepared_source_mapping", "execution_graph"}),
        ("failed", "blur", None, {"results", "prepared_source_mapping", "execution_graph", "graph", "indegree"}),
    ],
)
def test_of_an_item_that_was_fetched_only_what_outputs_read_is_kept(
    status: str, executed: str, paths: Any, kept: set[str]
) -> None:
    session: dict[str, Any] = {
        "results": {"p": {}},
        "prepared_source_mapping": {"p": "blur"},
        "execution_graph": {"nodes": {"p": {"type": executed, "index": 0}}},
        "graph": {"nodes": {}},
        "indegree": {"p": 0},
        **({} if paths is None else {"prepared_iteration_paths": paths}),
    }
    item = slim(QueueItem.of({"item_id": 1, "status": status, "batch_id": "b", "session": session}))
    assert {*item.session} == kept
    assert results_by_node(item.session) == results_by_node(session)
