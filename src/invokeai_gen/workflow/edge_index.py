"""The edges of a workflow by either end, and the paths along them: through chains of connectors, and in circles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from invokeai_gen.workflow.document import ConnectorNode, Edge, InvocationNode, Node

CONNECTOR_IN: Final = "in"
CONNECTOR_OUT: Final = "out"


@dataclass(slots=True)
class EdgeIndex:
    """The edges kept so far, by either end, in the order in which they were kept."""

    nodes: dict[str, Node]
    edges: list[Edge] = field(default_factory=list)
    by_target: dict[str, list[Edge]] = field(default_factory=dict)
    by_source: dict[str, list[Edge]] = field(default_factory=dict)
    is_cyclic: bool = False
    """Whether connectors form a loop, which the GUI does not prevent. From then on it takes every edge for one that
    closes a cycle, since it looks for cycles in the whole graph."""
    _upstream: dict[str, str] = field(default_factory=dict)
    """A shortcut up the chain for each connector. It stays valid because edges are only added."""

    @classmethod
    def of(cls, nodes: dict[str, Node], edges: Iterable[Edge]) -> EdgeIndex:
        """Return an index of these edges."""
        index = cls(nodes)
        for edge in edges:
            index.add(edge)
        return index

    def add(self, edge: Edge) -> None:
        """Add an edge that is kept."""
        if not self.is_cyclic and self._may_close_loop(edge):
            self.is_cyclic = self.leads_to(edge.target, edge.source)
        self.edges.append(edge)
        self.by_target.setdefault(edge.target, []).append(edge)
        self.by_source.setdefault(edge.source, []).append(edge)

    def _may_close_loop(self, edge: Edge) -> bool:
        """Return whether the edge was kept without a search for cycles, which the GUI skips for connectors."""
        ends = (self.nodes.get(edge.source), self.nodes.get(edge.target))
        return not edge.is_default or any(isinstance(node, ConnectorNode) for node in ends)

    def into(self, node_id: str, handle: str) -> Iterator[Edge]:
        """Return the edges into an input, in order."""
        return (edge for edge in self.by_target.get(node_id, ()) if edge.target_handle == handle)

    def out_of(self, node_id: str) -> list[Edge]:
        """Return the edges out of a node, in order."""
        return self.by_source.get(node_id, [])

    def origin(self, edge: Edge) -> tuple[InvocationNode, str] | None:
        """Return the node and field that an edge between fields comes from, behind any connectors."""
        end: tuple[str, str] | None = (edge.source, edge.source_handle or "")
        if isinstance(self.nodes.get(edge.source), ConnectorNode):
            end = self.connector_source(edge.source)
        source = self.nodes.get(end[0]) if end is not None else None
        return (source, end[1]) if end is not None and isinstance(source, InvocationNode) else None

    def feeding(self, node_id: str, handle: str) -> InvocationNode | None:
        """Return the node that feeds an input, behind any connectors."""
        edge = next(self.into(node_id, handle), None)
        origin = self.origin(edge) if edge is not None else None
        return origin[0] if origin is not None else None

    def connector_source(self, connector_id: str) -> tuple[str, str] | None:
        """Return the node and field at the start of a chain of connectors; `None` if nothing feeds the chain."""
        seen: set[str] = set()
        node_id = connector_id
        while node_id not in seen:
            seen.add(node_id)
            if (further := self._upstream.get(node_id)) is not None:
                node_id = further
                continue
            edge = next(self.into(node_id, CONNECTOR_IN), None)
            source = self.nodes.get(edge.source) if edge is not None else None
            if edge is not None and edge.source_handle is not None and isinstance(source, ConnectorNode):
                node_id = source.id
                continue
            self._upstream.update(dict.fromkeys(seen - {node_id}, node_id))
            if edge is None or edge.source_handle is None or not isinstance(source, InvocationNode):
                return None
            return source.id, edge.source_handle
        return None

    def connector_targets(self, connector_id: str, within: set[Edge] | None = None) -> list[Edge]:
        """Return the edges by which a chain of connectors ends at other nodes; `within` collects all edges of the chain."""
        found: list[Edge] = []
        seen = {connector_id}
        stack = [iter(self.out_of(connector_id))]
        while stack:
            edge = next(stack[-1], None)
            if edge is None:
                stack.pop()
            elif edge.source_handle == CONNECTOR_OUT and edge.target_handle is not None:
                if within is not None:
                    within.add(edge)
                if not isinstance(self.nodes.get(edge.target), ConnectorNode):
                    found.append(edge)
                elif edge.target not in seen:
                    seen.add(edge.target)
                    stack.append(iter(self.out_of(edge.target)))
        return found

    def leads_to(self, start: str, goal: str) -> bool:
        """Return whether a path leads from `start` to `goal`.

        Searched from both ends in turn: the shorter side decides, so that long chains stay cheap in any order of edges.
        """
        ahead, behind = {start}, {goal}
        forward, backward = [start], [goal]
        while forward and backward:
            for edge in self.out_of(forward.pop()):
                if edge.target in behind:
                    return True
                if edge.target not in ahead:
                    ahead.add(edge.target)
                    forward.append(edge.target)
            for edge in self.by_target.get(backward.pop(), ()):
                if edge.source in ahead:
                    return True
                if edge.source not in behind:
                    behind.add(edge.source)
                    backward.append(edge.source)
        return False
