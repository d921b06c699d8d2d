"""Small workflow files for tests, as the GUI would export them."""

from __future__ import annotations

from typing import Any

from invokeai_gen.compiler import Compilation, compile_workflow
from invokeai_gen.js_json import UNSET
from invokeai_gen.schema import Schema
from invokeai_gen.workflow import WorkflowFile


class Builder:
    """Collects nodes, edges and form fields; `file()` is the workflow."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self.elements: dict[str, dict[str, Any]] = {
            "root": {"id": "root", "type": "container", "data": {"layout": "column", "children": []}}
        }

    def node(self, node_id: str, node_type: str, *, label: str = "", version: str = "", **values: Any) -> Builder:
        """A node with all inputs of its template, set to `values` or to the template's defaults."""
        template = self.schema.template(node_type)
        inputs = {}
        for name, item in template.inputs.items() if template is not None else ():
            inputs[name] = {"name": name, "label": "", "description": ""}
            value = values.get(name, item.default)
            if value is not UNSET:
                inputs[name]["value"] = value
        data = {
            "id": node_id,
            "type": node_type,
            "version": version or (template.version if template is not None else "1.0.0"),
            "nodePack": "invokeai",
            "label": label,
            "notes": "",
            "inputs": inputs,
            "isOpen": True,
            "isIntermediate": True,
            "useCache": True,
        }
        self.nodes.append({"id": node_id, "type": "invocation", "data": data, "position": {"x": 0, "y": 0}})
        return self

    def connector(self, node_id: str) -> Builder:
        data = {"id": node_id, "type": "connector", "label": "", "isOpen": True}
        self.nodes.append({"id": node_id, "type": "connector", "data": data, "position": {"x": 0, "y": 0}})
        return self

    def edge(self, source: str, target: str) -> Builder:
        """An edge between two fields written `node.field`."""
        (source_id, source_field), (target_id, target_field) = source.split("."), target.split(".")
        self.edges.append(
            {
                "id": f"{source}-{target}-{len(self.edges)}",
                "type": "default",
                "source": source_id,
                "target": target_id,
                "sourceHandle": source_field,
                "targetHandle": target_field,
            }
        )
        return self

    def text(self, content: str, *, heading: bool = False) -> Builder:
        return self._element({"type": "heading" if heading else "text", "data": {"content": content}})

    def field(self, place: str, **settings: Any) -> Builder:
        """The field `node.field` on the form."""
        node_id, name = place.split(".")
        data: dict[str, Any] = {"fieldIdentifier": {"nodeId": node_id, "fieldName": name}, "showDescription": True}
        if settings:
            data["settings"] = settings
        return self._element({"type": "node-field", "data": data})

    def _element(self, element: dict[str, Any]) -> Builder:
        element_id = f"element-{len(self.elements)}"
        self.elements[element_id] = {"id": element_id, "parentId": "root", **element}
        self.elements["root"]["data"]["children"].append(element_id)
        return self

    def data(self) -> dict[str, Any]:
        texts = dict.fromkeys(("name", "author", "description", "version", "contact", "tags", "notes"), "")
        return {
            **texts,
            "nodes": self.nodes,
            "edges": self.edges,
            "exposedFields": [],
            "meta": {"version": "4.0.0", "category": "user"},
            "form": {"elements": self.elements, "rootElementId": "root"},
        }

    def file(self) -> WorkflowFile:
        return WorkflowFile("workflow.json", self.data(), "0" * 64)

    def compile(self, *, validate: bool = True) -> Compilation:
        return compile_workflow(self.file(), self.schema, validate=validate)
