"""The node types of a server, read from its openapi.json: what each accepts and returns."""

from invokeai_gen.schema.field_types import FieldType as FieldType
from invokeai_gen.schema.openapi import Schema as Schema
from invokeai_gen.schema.openapi import SchemaError as SchemaError
from invokeai_gen.schema.openapi import load_schema as load_schema
from invokeai_gen.schema.openapi import shipped_schema as shipped_schema
from invokeai_gen.schema.templates import InputTemplate as InputTemplate
from invokeai_gen.schema.templates import NodeTemplate as NodeTemplate
