"""What a plan file records of the node types that it was compiled for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from invokeai_gen.schema.field_types import FieldType
from invokeai_gen.schema.openapi import Schema
from invokeai_gen.schema.templates import InputTemplate, NodeTemplate

_CARDINALITY: Final = {"SINGLE": "", "COLLECTION": "list of ", "SINGLE_OR_COLLECTION": "one or a list of "}


def summaries(schema: Schema, node_types: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the summary of each of these node types that the schema has, as JSON data."""
    templates = {node_type: schema.template(node_type) for node_type in sorted(set(node_types))}
    return {node_type: summary_of(template) for node_type, template in templates.items() if template is not None}


def summary_of(template: NodeTemplate) -> dict[str, Any]:
    """Return what decides whether a node of this type can run with given values: its version, inputs and outputs."""
    return {
        "version": template.version,
        "inputs": {name: _input(field) for name, field in template.inputs.items()},
        "outputs": {name: _type(kind) for name, kind in template.outputs.items()},
    }


def _input(template: InputTemplate) -> dict[str, Any]:
    facts = {
        "type": _type(template.type),
        "required": template.required,
        "choices": list(template.choices),
        "base": list(template.models.base),
        "type of model": list(template.models.type),
        "variant": list(template.models.variant),
        "format": list(template.models.format),
        **template.exact_limits,
    }
    return {key: value for key, value in facts.items() if value not in ([], False)}


def _type(field: FieldType) -> str:
    return _CARDINALITY[field.cardinality] + field.name
