"""The edges of a workflow: the paths along them, and which of a file the GUI keeps.

They are checked in file order, each against those already kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from invokeai_gen.schema import FieldType, InputTemplate
from invokeai_gen.workflow.document import ConnectorNode, Edge, InvocationNode, LoadedWorkflow, Node, NotesNode

_CONNECTOR_IN: Final = "in"
_CONNECTOR_OUT: Final = "out"
_IF_INPUTS: Final = ("true_input", "false_input")


class EdgeIndex:
    """Edges by either end, in the order in which they were kept, and the paths along them."""

    def __init__(self, nodes: Mapping[str, Node], edges: Iterable[Edge] = ()) -> None:
        self.nodes = nodes
        self.edges: list[Edge] = []
        self.by_target: dict[str, list[Edge]] = {}
        self.by_source: dict[str, list[Edge]] = {}
        self.is_cyclic = False
        """Whether connectors form a loop, which the GUI does not prevent. From then on it takes every edge for one that
        closes a cycle, since it looks for cycles in the whole graph."""
        self._upstream: dict[str, str] = {}
        """A shortcut up the chain for each connector. It stays valid because edges are only added."""
        for edge in edges:
            self.add(edge)

    def add(self, edge: Edge) -> None:
        """Add an edge that is kept."""
        ends = (self.nodes.get(edge.source), self.nodes.get(edge.target))
        # The GUI does not search for cycles before it keeps an edge of a connector.
        if not self.is_cyclic and (not edge.is_default or any(isinstance(node, ConnectorNode) for node in ends)):
            self.is_cyclic = self.leads_to(edge.target, edge.source)
        self.edges.append(edge)
        self.by_target.setdefault(edge.target, []).append(edge)
        self.by_source.setdefault(edge.source, []).append(edge)

    def into(self, node_id: str, handle: str) -> Edge | None:
        """Return the first edge into an input."""
        return next((edge for edge in self.by_target.get(node_id, ()) if edge.target_handle == handle), None)

    def origin(self, edge: Edge) -> tuple[InvocationNode, str] | None:
        """Return the node and field that an edge between fields comes from, behind any connectors."""
        end: tuple[str, str] | None = (edge.source, edge.source_handle)
        if isinstance(self.nodes.get(edge.source), ConnectorNode):
            end = self.connector_source(edge.source)
        source = self.nodes.get(end[0]) if end is not None else None
        return (source, end[1]) if end is not None and isinstance(source, InvocationNode) else None

    def feeding(self, node_id: str, handle: str) -> InvocationNode | None:
        """Return the node that feeds an input, behind any connectors."""
        edge = self.into(node_id, handle)
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
            edge = self.into(node_id, _CONNECTOR_IN)
            source = self.nodes.get(edge.source) if edge is not None else None
            if edge is not None and isinstance(source, ConnectorNode):
                node_id = source.id
                continue
            self._upstream.update(dict.fromkeys(seen - {node_id}, node_id))
            if edge is None or not isinstance(source, InvocationNode):
                return None
            return source.id, edge.source_handle
        return None

    def connector_targets(self, connector_id: str, within: set[Edge] | None = None) -> list[Edge]:
        """Return the edges by which a chain of connectors ends at other nodes; `within` collects all edges of the chain."""
        found: list[Edge] = []
        seen = {connector_id}
        stack = [iter(self.by_source.get(connector_id, ()))]
        while stack:
            edge = next(stack[-1], None)
            if edge is None:
                stack.pop()
            elif edge.source_handle == _CONNECTOR_OUT:
                if within is not None:
                    within.add(edge)
                if not isinstance(self.nodes.get(edge.target), ConnectorNode):
                    found.append(edge)
                elif edge.target not in seen:
                    seen.add(edge.target)
                    stack.append(iter(self.by_source.get(edge.target, ())))
        return found

    def leads_to(self, start: str, goal: str) -> bool:
        """Return whether a path leads from `start` to `goal`.

        Searched from both ends in turn: the shorter side decides, so that long chains stay cheap in any order of edges.
        """
        ahead, behind = {start}, {goal}
        forward, backward = [start], [goal]
        while forward and backward:
            for edge in self.by_source.get(forward.pop(), ()):
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


class DroppedEdgeError(Exception):
    """Raised for an edge that the GUI drops; the message is the reason."""


def validated_edges(workflow: LoadedWorkflow, warnings: list[str]) -> list[Edge]:
    """Return the edges that the GUI keeps, and add a warning for each that it deletes."""
    kept = _KeptEdges(workflow.node_by_id())
    for edge in workflow.edges:
        try:
            kept.check(edge)
        except DroppedEdgeError as problem:
            warnings.append(f"deleted invalid edge {edge}: {problem}")
            source = kept.nodes.get(edge.source)
            if isinstance(source, InvocationNode) and source.template is None:
                workflow.fed_by_unknown.add((edge.target, edge.target_handle))
        else:
            kept.add(edge)
    return kept.edges


class _Source(NamedTuple):
    """The output that an edge comes from, behind any connectors."""

    node: InvocationNode
    handle: str
    kind: FieldType


class _KeptEdges(EdgeIndex):
    """The edges kept so far, against which the next one is checked."""

    def check(self, edge: Edge) -> None:
        """Raise `DroppedEdgeError` if the GUI would drop the edge."""
        self._check_ends(edge)
        if not edge.is_default:
            return
        if edge.source == edge.target:
            raise DroppedEdgeError("a node cannot be connected to itself")
        connection = (edge.source, edge.source_handle, edge.target_handle)
        kept = self.by_target.get(edge.target, ())
        if any(connection == (other.source, other.source_handle, other.target_handle) for other in kept):
            raise DroppedEdgeError("the connection exists already")
        source = self._source(edge.source, edge.source_handle)
        target = self.nodes[edge.target]
        if isinstance(target, NotesNode):
            raise DroppedEdgeError("a note cannot be connected")
        if isinstance(target, ConnectorNode):
            self._check_connector(edge, target, source is not None)
            return
        template = _input_template(target, edge.target_handle)
        if template.connection == "direct":
            raise DroppedEdgeError("the input takes no connection")
        if source is None:
            self._check_dangling(edge, template)
            return
        self._check_types(target, template, source)
        if self.is_cyclic or self.leads_to(edge.target, edge.source):
            raise DroppedEdgeError("the connection would create a cycle")

    def _check_ends(self, edge: Edge) -> None:
        """Raise `DroppedEdgeError` unless both ends name a node and field that exist."""
        source, target = self.nodes.get(edge.source), self.nodes.get(edge.target)
        if source is None:
            raise DroppedEdgeError(f"source node {edge.source} does not exist")
        if target is None:
            raise DroppedEdgeError(f"target node {edge.target} does not exist")
        for node in (source, target):
            if isinstance(node, InvocationNode) and node.template is None:
                raise DroppedEdgeError(f"node {node.id} is of unknown type {node.type}")
        if edge.is_default and isinstance(source, InvocationNode):
            _output_type(source, edge.source_handle)
        if edge.is_default and isinstance(target, InvocationNode):
            _input_template(target, edge.target_handle)

    def _source(self, node_id: str, handle: str) -> _Source | None:
        """Return the real source of an edge; `None` for a connector that nothing feeds yet."""
        node = self.nodes.get(node_id)
        if isinstance(node, ConnectorNode):
            if handle != _CONNECTOR_OUT:
                raise DroppedEdgeError(f"a connector has no output {handle}")
            real = self.connector_source(node.id)
            return self._source(*real) if real is not None else None
        if not isinstance(node, InvocationNode):
            raise DroppedEdgeError("a note cannot be connected")
        return _Source(node, handle, _output_type(node, handle))

    def _check_connector(self, edge: Edge, target: ConnectorNode, has_source: bool) -> None:
        if edge.target_handle != _CONNECTOR_IN:
            raise DroppedEdgeError(f"a connector has no input {edge.target_handle}")
        if self.into(target.id, _CONNECTOR_IN) is not None:
            raise DroppedEdgeError("an input may only have one connection")
        if not has_source:
            return
        within: set[Edge] = set()
        ends = self.connector_targets(target.id, within)
        if not ends:
            return
        others = (item for item in self.edges if item not in within)
        rest = _KeptEdges(self.nodes, others)
        for end in ends:
            rest.check(replace(edge, target=end.target, target_handle=end.target_handle))

    def _check_types(self, target: InvocationNode, template: InputTemplate, source: _Source) -> None:
        handle = template.name
        self._check_collect(target, handle, source)
        if target.type == "if" and handle in _IF_INPUTS:
            self._check_if_inputs(target, handle, source.kind)
        if template.type.name != "CollectionItemField" and self.into(target.id, handle) is not None:
            raise DroppedEdgeError("an input may only have one connection")
        source_types = [source.kind]
        if source.node.type == "if" and source.handle == "value":
            source_types = self._if_input_types(source.node) or source_types
        if not all(_can_connect(item, template.type) for item in source_types):
            raise DroppedEdgeError(f"{' and '.join(map(str, source_types))} cannot be connected to {template.type}")

    def _check_dangling(self, edge: Edge, template: InputTemplate) -> None:
        """Raise `DroppedEdgeError` if the targets of a connector that nothing feeds yet have different types."""
        for end in self.connector_targets(edge.source):
            if (end.target, end.target_handle) == (edge.target, edge.target_handle):
                continue
            node = self.nodes.get(end.target)
            other = node.input_template(end.target_handle) if isinstance(node, InvocationNode) else None
            if other is None or not _are_compatible(other.type, template.type):
                raise DroppedEdgeError("the targets of a connector must be of one type")

    def _check_collect(self, target: InvocationNode, handle: str, source: _Source) -> None:
        """Raise `DroppedEdgeError` if a `collect` node, or a chain of them, would collect items of different types."""
        if target.type != "collect":
            return
        is_chained = (handle, source.node.type, source.handle) == ("collection", "collect", "collection")
        items = source.kind if handle == "item" else self._collected_type(source.node) if is_chained else None
        collected = self._collected_type(target)
        if items is not None and collected is not None and not _are_equal(items, collected):
            raise DroppedEdgeError("cannot mix and match types in a collection")

    def _collected_type(self, node: InvocationNode) -> FieldType | None:
        seen: set[str] = set()
        while node.id not in seen:
            seen.add(node.id)
            edge = self.into(node.id, "item") or self.into(node.id, "collection")
            source = self.nodes.get(edge.source) if edge is not None else None
            if edge is None or not isinstance(source, InvocationNode):
                return None
            ends = (edge.target_handle, source.type, edge.source_handle)
            if ends != ("collection", "collect", "collection"):
                kind = _output_type(source, edge.source_handle)
                return None if kind.name == "CollectionField" else replace(kind, cardinality="SINGLE")
            node = source
        return None

    def _check_if_inputs(self, target: InvocationNode, handle: str, source_type: FieldType) -> None:
        """Raise `DroppedEdgeError` if the two branches of an `if` node have different types."""
        sibling = _IF_INPUTS[1 - _IF_INPUTS.index(handle)]
        edge = self.into(target.id, sibling)
        if edge is None:
            return
        other = self._source(edge.source, edge.source_handle)
        if other is None or not _are_compatible(source_type, other.kind):
            raise DroppedEdgeError("both inputs of an if node must be of one type")

    def _if_input_types(self, node: InvocationNode) -> list[FieldType]:
        edges = [edge for edge in self.by_target.get(node.id, ()) if edge.target_handle in _IF_INPUTS]
        sources = [self._source(edge.source, edge.source_handle) for edge in edges]
        return [source.kind for source in sources if source is not None]


def _output_type(node: InvocationNode, handle: str) -> FieldType:
    kind = node.template.outputs.get(handle) if node.template is not None else None
    if kind is None:
        raise DroppedEdgeError(f"source node {node.id} has no output {handle}")
    return kind


def _input_template(node: InvocationNode, handle: str) -> InputTemplate:
    template = node.input_template(handle)
    if template is None:
        raise DroppedEdgeError(f"target node {node.id} has no input {handle}")
    return template


def _are_equal(first: FieldType, second: FieldType) -> bool:
    """Return whether two types are equal, each either as declared or as in the JSON schema."""
    if first == second:
        return True
    firsts = (replace(first, original=None), first.original)
    seconds = (replace(second, original=None), second.original)
    return any(one == other for one in firsts if one is not None for other in seconds if other is not None)


def _can_connect(source: FieldType, target: FieldType) -> bool:
    """Return whether an output of type `source` may feed an input of type `target`."""
    if _are_equal(source, target):
        return True
    if source.batch != target.batch:
        return False
    is_cardinality_fine = target.cardinality in (source.cardinality, "SINGLE_OR_COLLECTION")
    is_widening = (source.name, target.name) in {
        ("IntegerField", "FloatField"),
        ("IntegerField", "StringField"),
        ("FloatField", "StringField"),
    }
    return (
        target.name == "AnyField"
        or (source.name == "CollectionItemField" and target.cardinality != "COLLECTION")
        or (source.is_single and target.name == "CollectionItemField")
        or (source.name == target.name and target.cardinality == "SINGLE_OR_COLLECTION")
        or (source.name == "CollectionField" and not target.is_single)
        or (source.cardinality == "COLLECTION" and target.name == "CollectionField")
        or (is_cardinality_fine and (is_widening or source.name == "AnyField"))
    )


def _are_compatible(first: FieldType, second: FieldType) -> bool:
    """Return whether two types can carry the same value: one may feed the other, or is a collection of the other."""
    is_one_of_many = (
        first.name == second.name
        and first.batch == second.batch
        and {first.cardinality, second.cardinality} == {"SINGLE", "COLLECTION"}
    )
    return _can_connect(first, second) or _can_connect(second, first) or is_one_of_many
