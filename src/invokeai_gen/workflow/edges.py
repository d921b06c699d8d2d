"""The edges of a file that the GUI keeps. They are checked in file order, each against those already kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from invokeai_gen.schema import FieldType, InputTemplate
from invokeai_gen.workflow.document import ConnectorNode, Edge, InvocationNode, LoadedWorkflow, Node, NotesNode
from invokeai_gen.workflow.edge_index import CONNECTOR_IN, CONNECTOR_OUT, EdgeIndex

_IF_INPUTS: Final = ("true_input", "false_input")


class DroppedEdgeError(Exception):
    """Raised for an edge that the GUI drops; the message is the reason."""


def validated_edges(workflow: LoadedWorkflow, warnings: list[str]) -> list[Edge]:
    """Return the edges that the GUI keeps, and add a warning for each that it deletes."""
    nodes = workflow.node_by_id()
    index = EdgeIndex(nodes)
    check = _Check(index)
    for edge in workflow.edges:
        try:
            _check_ends(edge, nodes)
            if edge.is_default:
                check.check(edge)
        except DroppedEdgeError as problem:
            warnings.append(f"deleted invalid edge {_described(edge)}: {problem}")
            source = nodes.get(edge.source)
            if isinstance(source, InvocationNode) and source.template is None:
                workflow.fed_by_unknown.add((edge.target, edge.target_handle or ""))
        else:
            index.add(edge)
    return index.edges


def _described(edge: Edge) -> str:
    if not edge.is_default:
        return f"{edge.source} -> {edge.target}"
    return f"{edge.source}.{edge.source_handle} -> {edge.target}.{edge.target_handle}"


def _check_ends(edge: Edge, nodes: dict[str, Node]) -> None:
    """Raise `DroppedEdgeError` unless both ends name a node and field that exist."""
    source, target = nodes.get(edge.source), nodes.get(edge.target)
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


class _Source(NamedTuple):
    """The output that an edge comes from, behind any connectors."""

    node: InvocationNode
    handle: str
    kind: FieldType


@dataclass(frozen=True, slots=True)
class _Check:
    """Checks an edge against those already kept."""

    index: EdgeIndex

    def check(self, edge: Edge) -> None:
        """Raise `DroppedEdgeError` if the GUI would drop the edge."""
        if edge.source == edge.target:
            raise DroppedEdgeError("a node cannot be connected to itself")
        source_handle, target_handle = edge.source_handle or "", edge.target_handle or ""
        if any(edge.source == other.source and source_handle == other.source_handle
               for other in self.index.into(edge.target, target_handle)):  # fmt: skip
            raise DroppedEdgeError("the connection exists already")
        source = self._source(edge.source, source_handle)
        target = self.index.nodes[edge.target]
        if isinstance(target, NotesNode):
            raise DroppedEdgeError("a note cannot be connected")
        if isinstance(target, ConnectorNode):
            self._check_connector(edge, target, source is not None)
            return
        template = _input_template(target, target_handle)
        if template.connection == "direct":
            raise DroppedEdgeError("the input takes no connection")
        if source is None:
            self._check_dangling(edge, template)
            return
        self._check_types(target, template, source)
        if self.index.is_cyclic or self.index.leads_to(edge.target, edge.source):
            raise DroppedEdgeError("the connection would create a cycle")

    def _source(self, node_id: str, handle: str) -> _Source | None:
        """Return the real source of an edge; `None` for a connector that nothing feeds yet."""
        node = self.index.nodes.get(node_id)
        if isinstance(node, ConnectorNode):
            if handle != CONNECTOR_OUT:
                raise DroppedEdgeError(f"a connector has no output {handle}")
            real = self.index.connector_source(node.id)
            return self._source(*real) if real is not None else None
        if not isinstance(node, InvocationNode):
            raise DroppedEdgeError("a note cannot be connected")
        return _Source(node, handle, _output_type(node, handle))

    def _check_connector(self, edge: Edge, target: ConnectorNode, has_source: bool) -> None:
        if edge.target_handle != CONNECTOR_IN:
            raise DroppedEdgeError(f"a connector has no input {edge.target_handle}")
        if next(self.index.into(target.id, CONNECTOR_IN), None) is not None:
            raise DroppedEdgeError("an input may only have one connection")
        if not has_source:
            return
        within: set[Edge] = set()
        ends = self.index.connector_targets(target.id, within)
        if not ends:
            return
        others = (item for item in self.index.edges if item not in within)
        rest = _Check(EdgeIndex.of(self.index.nodes, others))
        for end in ends:
            rest.check(replace(edge, target=end.target, target_handle=end.target_handle))

    def _check_types(self, target: InvocationNode, template: InputTemplate, source: _Source) -> None:
        handle = template.name
        self._check_collect(target, handle, source)
        if target.type == "if" and handle in _IF_INPUTS:
            self._check_if_inputs(target, handle, source.kind)
        if template.type.name != "CollectionItemField" and next(self.index.into(target.id, handle), None) is not None:
            raise DroppedEdgeError("an input may only have one connection")
        source_types = [source.kind]
        if source.node.type == "if" and source.handle == "value":
            source_types = self._if_input_types(source.node) or source_types
        if not all(_can_connect(item, template.type) for item in source_types):
            raise DroppedEdgeError(f"{' and '.join(map(str, source_types))} cannot be connected to {template.type}")

    def _check_dangling(self, edge: Edge, template: InputTemplate) -> None:
        """Raise `DroppedEdgeError` if the targets of a connector that nothing feeds yet have different types."""
        for end in self.index.connector_targets(edge.source):
            if (end.target, end.target_handle) == (edge.target, edge.target_handle):
                continue
            node = self.index.nodes.get(end.target)
            other = node.input_template(end.target_handle or "") if isinstance(node, InvocationNode) else None
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
            edge = next(self.index.into(node.id, "item"), None) or next(self.index.into(node.id, "collection"), None)
            source = self.index.nodes.get(edge.source) if edge is not None else None
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
        edge = next(self.index.into(target.id, sibling), None)
        if edge is None:
            return
        other = self._source(edge.source, edge.source_handle or "")
        if other is None or not _are_compatible(source_type, other.kind):
            raise DroppedEdgeError("both inputs of an if node must be of one type")

    def _if_input_types(self, node: InvocationNode) -> list[FieldType]:
        edges = [edge for edge in self.index.by_target.get(node.id, ()) if edge.target_handle in _IF_INPUTS]
        sources = [self._source(edge.source, edge.source_handle or "") for edge in edges]
        return [source.kind for source in sources if source is not None]


def _output_type(node: InvocationNode, handle: str | None) -> FieldType:
    kind = node.template.outputs.get(handle or "") if node.template is not None else None
    if kind is None:
        raise DroppedEdgeError(f"source node {node.id} has no output {handle}")
    return kind


def _input_template(node: InvocationNode, handle: str | None) -> InputTemplate:
    template = node.input_template(handle or "")
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
