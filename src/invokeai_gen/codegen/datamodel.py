"""The one place that knows datamodel-code-generator: schemas in, Python source out."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from invokeai_gen.codegen.source import printable_source
from invokeai_gen.errors import InvokeAIGenError


class ValueTypesError(InvokeAIGenError):
    """The value types of a schema cannot be written as Python types."""


def render(schemas: Mapping[str, Any]) -> str:
    """Return Python source of the types with these schemas. Raises `ValueTypesError` if it is more than declarations."""
    if not schemas:
        return ""
    document = {
        "openapi": "3.1.0",
        "info": {"title": "value types", "version": "1"},
        "paths": {},
        "components": {"schemas": schemas},
    }
    try:
        text = _generated(document)
        # The modules import each type by its name in the schema.
        if missing := sorted(schemas.keys() - _check_declarations(text)):
            raise ValueError(f"the types {', '.join(missing)} have other names in it")
    except Exception as error:  # the generator and its libraries raise anything for a malformed schema
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueTypesError(f"the openapi.json has value types that cannot be written as Python: {reason}") from error
    return text


def _generated(document: Any) -> str:
    from datamodel_code_generator import InputFileType, LiteralType, PythonVersion, generate
    from datamodel_code_generator.enums import DataModelType

    text = generate(
        json.dumps(document),
        input_file_type=InputFileType.OpenAPI,
        output_model_type=DataModelType.TypingTypedDict,
        target_python_version=PythonVersion.PY_311,
        enum_field_as_literal=LiteralType.All,
        use_schema_description=True,
        use_field_description=True,
        use_standard_collections=True,
        use_union_operator=True,
        use_type_alias=True,
        disable_timestamp=True,
        custom_file_header="#",
        formatters=[],
    )
    assert isinstance(text, str), "one document becomes one module"
    # Only string literals can hold characters that are not printable.
    return _with_usable_typed_dict(printable_source(text.removeprefix("#").lstrip()))


def _with_usable_typed_dict(text: str) -> str:
    """Before Python 3.12, pydantic only takes the `TypedDict` of typing_extensions."""
    found = re.search(r"^from typing import (.*)$", text, flags=re.MULTILINE)
    if found is None:
        return text
    names = found[1].split(", ")
    others = [name for name in names if name != "TypedDict"]
    lines = [f"from typing import {', '.join(others)}"] if others else []
    if "TypedDict" in names:
        lines += ["", "from typing_extensions import TypedDict"]
    return text.replace(found[0], "\n".join(lines), 1)


def _check_declarations(text: str) -> set[str]:
    """Return the names of the types that are declared.

    Raise `ValueError` for anything but imports, aliases and bare classes: a server's schema is foreign text too.
    """
    tree = ast.parse(text)
    _check(tree)
    names: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.ClassDef(name) | ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]):
                names.add(name)
            case _:
                pass
    return names


def _check(node: ast.AST) -> None:
    """Raise `ValueError` unless a piece of source only puts names together. A text may only be a value of a `Literal`."""
    parts: Iterable[ast.AST] = ()
    match node:
        case ast.ImportFrom(module="typing" | "typing_extensions" | "__future__"):
            pass
        case ast.Expr(value=ast.Constant(value=str())) | ast.Subscript(value=ast.Name(id="Literal")):
            pass
        case ast.Constant(value=None) | ast.Name() | ast.Pass():
            pass
        case ast.Constant(value=str(name)) if name.isidentifier():
            pass
        case ast.Module(body=parts) | ast.ClassDef(decorator_list=[], bases=[ast.Name()], keywords=[], body=parts):
            pass
        case ast.Call(func=ast.Name(id="TypedDict"), args=[ast.Constant(), ast.Dict(values=parts)], keywords=[]):
            pass
        case ast.AnnAssign() | ast.Assign() | ast.Subscript(value=ast.Name()) | ast.Tuple():
            parts = (part for part in ast.iter_child_nodes(node) if not isinstance(part, ast.expr_context))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            parts = [left, right]
        case _:
            raise ValueError(f"the value types have more than declarations: {ast.unparse(node)}")
    for part in parts:
        _check(part)
