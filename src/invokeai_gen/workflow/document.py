"""A workflow as the GUI holds it: of the current version, without anything the GUI does not know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.limits import ModelLimits
from invokeai_gen.schema import FieldType, InputTemplate, NodeTemplate
from invokeai_gen.schema.templates import BATCH_FIELDS, GENERATOR_OUTPUTS, limits_in

CALL_SAVED_WORKFLOW = "call_saved_workflow"
SAVED_WORKFLOW_INPUT = "saved_workflow_input::"
"""Prefix of the inputs of a `call_saved_workflow` node that mirror the form of the called workflow."""

TEXTS = ("name", "author", "description", "version", "contact", "tags", "notes")
"""What the author of a workflow can write about it, in the order in which the GUI writes it."""

NODES_WITH_EXTRA_INPUTS = frozenset({"core_metadata"})
"""Node types that also take inputs that their schema does not declare."""


@dataclass(slots=True)
class FieldInstance:
    """The value of one input of one node, with the user's label and description."""

    name: str
    label: str = ""
    description: str = ""
    value: Any | Unset = UNSET

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data, in the order in which the GUI writes it."""
        data = {"name": self.name, "label": self.label, "description": self.description}
        return data if self.value is UNSET else {**data, "value": self.value}


@dataclass(slots=True)
class InvocationNode:
    """A node that runs on the server, or a batch or generator node, which multiplies the runs."""

    id: str
    data_id: str
    """The id in its data; the GUI writes the same one as `id`."""
    type: str
    version: str
    node_pack: str
    label: str
    notes: str
    inputs: dict[str, FieldInstance]
    dynamic_input_templates: dict[str, Any]
    is_open: bool
    is_intermediate: bool
    use_cache: bool
    position: dict[str, float]
    template: NodeTemplate | None
    """What the server says about its type; `None` if the server does not have it."""

    @property
    def title(self) -> str:
        """What the GUI shows on the node: its label, else the title of its type."""
        return self.label or (self.template.title if self.template is not None else self.type)

    @property
    def takes_extra_inputs(self) -> bool:
        """Whether it also takes inputs that its type does not declare."""
        return self.type in NODES_WITH_EXTRA_INPUTS

    @property
    def is_batch(self) -> bool:
        """Whether it is a batch node."""
        return self.type in BATCH_FIELDS

    @property
    def is_executable(self) -> bool:
        """Whether it is part of the graph; batch and generator nodes are not."""
        return not self.is_batch and self.type not in GENERATOR_OUTPUTS

    def input_template(self, name: str) -> InputTemplate | None:
        """Return the template of an input, which the node itself has for the inputs of a workflow that it calls."""
        if name in self.dynamic_input_templates:
            return _called_input(name, self.dynamic_input_templates[name])
        return self.template.inputs.get(name) if self.template is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data, in the order in which the GUI writes it."""
        return {
            "id": self.id,
            "type": "invocation",
            "data": {
                "id": self.data_id,
                "version": self.version,
                "nodePack": self.node_pack,
                "label": self.label,
                "notes": self.notes,
                "type": self.type,
                "inputs": {name: instance.to_json() for name, instance in self.inputs.items()},
                "dynamicInputTemplates": self.dynamic_input_templates,
                "isOpen": self.is_open,
                "isIntermediate": self.is_intermediate,
                "useCache": self.use_cache,
            },
            "position": self.position,
        }


def _called_input(name: str, data: Mapping[str, Any]) -> InputTemplate:
    kind = data["type"]
    limits = limits_in(data)
    return InputTemplate(
        name=name,
        title=str(data.get("title") or name.removeprefix(SAVED_WORKFLOW_INPUT)),
        type=FieldType(kind["name"], kind["cardinality"], bool(kind.get("batch"))),
        required=bool(data.get("required")),
        connection="any",
        description=str(data.get("description") or ""),
        default=data.get("default", UNSET),
        limits=limits,
        exact_limits=limits,
        choices=tuple(data.get("options") or ()),
        choice_labels={str(key): str(value) for key, value in (data.get("ui_choice_labels") or {}).items()},
        models=ModelLimits(
            **{kind: tuple(data.get(f"ui_model_{kind}") or ()) for kind in ("base", "type", "variant", "format")}
        ),
    )


@dataclass(slots=True)
class _CanvasNode:
    """A node that is only there to be seen, with its data as the GUI writes it."""

    id: str
    data: dict[str, Any]
    position: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data, in the order in which the GUI writes it."""
        return {"id": self.id, "type": self.data["type"], "data": self.data, "position": self.position}


class NotesNode(_CanvasNode):
    """A note on the canvas. It never runs."""


class ConnectorNode(_CanvasNode):
    """A bend in an edge: what enters at `in` leaves at `out`."""


Node: TypeAlias = InvocationNode | NotesNode | ConnectorNode


@dataclass(frozen=True, slots=True)
class Edge:
    """A connection between two fields. A collapsed edge represents several, without field names."""

    id: str
    source: str
    target: str
    source_handle: str = ""
    target_handle: str = ""
    hidden: bool | None = None

    @property
    def is_default(self) -> bool:
        """Whether it connects two fields."""
        return self.source_handle != ""

    def __str__(self) -> str:
        handles = (f".{self.source_handle}", f".{self.target_handle}") if self.is_default else ("", "")
        return f"{self.source}{handles[0]} -> {self.target}{handles[1]}"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data, in the order in which the GUI writes it."""
        data: dict[str, Any] = {"id": self.id, "source": self.source, "target": self.target}
        if not self.is_default:
            return {**data, "type": "collapsed"}
        data |= {"type": "default", "sourceHandle": self.source_handle, "targetHandle": self.target_handle}
        return data if self.hidden is None else {**data, "hidden": self.hidden}


@dataclass(slots=True)
class LoadedWorkflow:
    """A workflow file after loading."""

    texts: dict[str, str]
    """What its author wrote about it, by the names in `TEXTS`."""
    category: str
    nodes: list[Node]
    edges: list[Edge]
    exposed_fields: list[tuple[str, str]]
    form: Form
    fed_by_unknown: set[tuple[str, str]] = field(default_factory=set)
    """`(node id, field name)` of inputs that lost their edge because the server does not have the node it came from."""

    def invocations(self) -> Iterator[InvocationNode]:
        """Yield the nodes that are neither notes nor connectors, in file order."""
        return (node for node in self.nodes if isinstance(node, InvocationNode))

    def node_by_id(self) -> dict[str, Node]:
        """Return the nodes by id; if two nodes have the same id, the GUI always finds the first."""
        return {node.id: node for node in reversed(self.nodes)}

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data, in the order in which the GUI writes it."""
        return {
            **self.texts,
            "nodes": [node.to_json() for node in self.nodes],
            "edges": [edge.to_json() for edge in self.edges],
            "exposedFields": [{"nodeId": node, "fieldName": name} for node, name in self.exposed_fields],
            "meta": {"category": self.category, "version": "4.0.0"},
            "form": self.form.to_json(),
        }


@dataclass(slots=True)
class FormElement:
    """An element of the form: `container`, `node-field`, `heading`, `text` or `divider`."""

    id: str
    type: str
    parent_id: str | None = None
    layout: str = "column"
    children: list[str] = field(default_factory=list)
    """Of a container."""
    content: str = ""
    """Of a heading or text."""
    node_id: str = ""
    field_name: str = ""
    show_description: bool = True
    settings: dict[str, Any] | None = None
    """Of a node field: which component shows it, and how that narrows its values."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data, in the order in which the GUI writes it."""
        data: dict[str, Any] = {"id": self.id}
        if self.parent_id is not None:
            data["parentId"] = self.parent_id
        if self.type == "container":
            data["data"] = {"layout": self.layout, "children": list(self.children)}
        elif self.type == "node-field":
            data["data"] = {
                "fieldIdentifier": {"nodeId": self.node_id, "fieldName": self.field_name},
                "showDescription": self.show_description,
            }
            if self.settings is not None:
                data["data"]["settings"] = self.settings
        elif self.type in {"heading", "text"}:
            data["data"] = {"content": self.content}
        return {**data, "type": self.type}


@dataclass(slots=True)
class Form:
    """The form of a workflow: the fields that people see when they run it."""

    elements: dict[str, FormElement]
    root_id: str

    @classmethod
    def empty(cls) -> Form:
        """Return a form without fields."""
        return cls({"root": FormElement("root", "container")}, "root")

    @property
    def is_empty(self) -> bool:
        """Whether the form shows nothing, or has no root container."""
        root = self.elements.get(self.root_id)
        return root is None or root.type != "container" or (len(self.elements) == 1 and not root.children)

    @property
    def is_sound(self) -> bool:
        """Whether the elements form a tree below the root, and each names its parent."""
        root = self.elements.get(self.root_id)
        if root is None or root.type != "container" or root.parent_id is not None or root.id != self.root_id:
            return False
        reached = {self.root_id}
        pending = list(root.children)
        while pending:
            child_id = pending.pop()
            child = self.elements.get(child_id)
            if child is None or child_id == self.root_id or not self._is_linked(child_id, child):
                return False
            if child_id not in reached:
                pending += child.children
            reached.add(child_id)
        return len(reached) == len(self.elements)

    def remove(self, keys: set[str]) -> None:
        """Remove elements, also from the containers that list them."""
        for key in keys:
            del self.elements[key]
        for element in self.elements.values():
            element.children = [child for child in element.children if child not in keys]

    def _is_linked(self, key: str, element: FormElement) -> bool:
        """Return whether an element names its container, and that lists it."""
        if element.id == self.root_id:
            return element.parent_id is None
        parent = self.elements.get(element.parent_id) if element.parent_id is not None else None
        return parent is not None and parent.type == "container" and key in parent.children

    def fields(self) -> Iterator[tuple[FormElement, tuple[str, ...]]]:
        """Yield the node fields, depth first, each with the headings and texts above it."""
        seen: set[str] = set()
        stack: list[tuple[str, tuple[str, ...]]] = [(self.root_id, ())]
        while stack:
            element_id, sections = stack.pop()
            element = self.elements.get(element_id)
            if element is None or element_id in seen:
                continue
            seen.add(element_id)
            if element.type == "node-field":
                yield element, sections
            stack += reversed(list(self._with_sections(element.children, sections)))

    def _with_sections(self, children: list[str], above: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the children of a container, each with the sections it belongs to."""
        heading = text = ""
        for child_id in children:
            child = self.elements.get(child_id)
            if child is not None and child.type == "heading":
                heading, text = child.content.strip(), ""
            elif child is not None and child.type == "text":
                text = child.content.strip()
            yield child_id, (*above, *filter(None, (heading, text)))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data, in the order in which the GUI writes it."""
        return {
            "elements": {key: element.to_json() for key, element in self.elements.items()},
            "rootElementId": self.root_id,
        }
