"""What servers before InvokeAI 6.14 do not report of a finished session, worked out from its execution graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def iteration_paths(session: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the iteration of each execution, by its id: the indices of all `iterate` nodes before it, outermost first."""
    graph = session.get("execution_graph") or {}
    nodes: Mapping[str, Mapping[str, Any]] = graph.get("nodes") or {}
    parents: dict[str, list[str]] = {}
    for edge in graph.get("edges") or ():
        parents.setdefault(edge["destination"]["node_id"], []).append(edge["source"]["node_id"])
    iterates: dict[str, frozenset[str]] = {}
    for prepared in _parents_first(nodes, parents):
        known = [iterates[parent] for parent in parents.get(prepared, ()) if parent in iterates]
        join = frozenset.intersection if nodes[prepared]["type"] == "collect" else frozenset.union
        before: frozenset[str] = join(*known) if known else frozenset()
        iterates[prepared] = before | {prepared} if nodes[prepared]["type"] == "iterate" else before
    return {
        prepared: tuple(nodes[one]["index"] for one in sorted(before, key=lambda one: (len(iterates[one]), one)))
        for prepared, before in iterates.items()
        if before
    }


def _parents_first(nodes: Mapping[str, Any], parents: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the nodes so that each comes after all nodes that feed it."""
    seen: set[str] = set()
    for start in nodes:
        stack = [start]
        while stack:
            current = stack[-1]
            waiting = [parent for parent in parents.get(current, ()) if parent in nodes and parent not in seen]
            if current in seen or not waiting:
                stack.pop()
                if current not in seen:
                    seen.add(current)
                    yield current
            else:
                stack += waiting
