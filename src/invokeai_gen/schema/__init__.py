"""The node types of a server, read from its openapi.json: what each accepts and returns."""

from invokeai_gen.schema.field_types import FieldType
from invokeai_gen.schema.openapi import Schema, SchemaError, load_schema, shipped_schema
from invokeai_gen.schema.templates import InputTemplate, NodeTemplate

__all__ = [
    "FieldType",
    "InputTemplate",
    "NodeTemplate",
    "Schema",
    "SchemaError",
    "load_schema",
    "shipped_schema",
]
