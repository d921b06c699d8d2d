"""What servers before InvokeAI 6.14 do not report of a finished session, worked out from its execution graph."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Any


def iteration_paths(session: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the iteration of each execution, by its id: the indices of all `iterate` nodes before it, outermost first."""
    graph = session.get("execution_graph") or {}
    nodes: Mapping[str, Mapping[str, Any]] = graph.get("nodes") or {}
    parents: dict[str, list[str]] = {prepared: [] for prepared in nodes}
    for edge in graph.get("edges") or ():
        if edge["source"]["node_id"] in nodes and edge["destination"]["node_id"] in nodes:
            parents[edge["destination"]["node_id"]].append(edge["source"]["node_id"])
    iterates: dict[str, frozenset[str]] = {}
    for prepared in TopologicalSorter(parents).static_order():
        known = [iterates[parent] for parent in parents[prepared]]
        join = frozenset.intersection if nodes[prepared]["type"] == "collect" else frozenset.union
        before: frozenset[str] = join(*known) if known else frozenset()
        iterates[prepared] = before | {prepared} if nodes[prepared]["type"] == "iterate" else before
    return {
        prepared: tuple(nodes[one]["index"] for one in sorted(before, key=lambda one: (len(iterates[one]), one)))
        for prepared, before in iterates.items()
        if before
    }
