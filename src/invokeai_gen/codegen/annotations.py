"""The annotation and the default of an input, as Python source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeAlias

from invokeai_gen.codegen.names import PythonIdentifier
from invokeai_gen.codegen.source import Source, call, literal
from invokeai_gen.core import field_values
from invokeai_gen.core.checks import Instance
from invokeai_gen.core.field_values import Choice, Limited, ListOf, OneOf, Plain, Shape, Structure
from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.js_json import UNSET
from invokeai_gen.js_reading import is_number

Names: TypeAlias = Mapping[Shape, PythonIdentifier]
"""What `_types.py` calls the choices and structures that workflows share."""

_NAME: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|([^\W\d]\w*)\b(?![=:])""")


def names_in(declaration: Source) -> set[str]:
    """Return the names that a declaration uses: not its own, those of keyword arguments, or words in strings."""
    return set(_NAME.findall(declaration))


def declaration(planned: PlannedInput, names: Names) -> Source:
    """Return an input as an attribute of `Params`: its name, type, limits, binding and default."""
    name = PythonIdentifier(planned.name)
    if planned.fed_by is not None:
        return Source(f"{name}: ClassVar[Input] = {_binding(planned)}")
    shape = field_values.shape_of(planned)
    parts = [plain_type(planned, names)]
    if isinstance(shape, Limited):
        parts.append(_limits(shape))
    text = f"{name}: Annotated[{', '.join([*parts, _binding(planned)])}]"
    value = default(planned, names)
    return Source(text if value is None else f"{text} = {value}")


def plain_type(planned: PlannedInput, names: Names) -> Source:
    """Return the type of an input without its limits and its binding."""
    shape = field_values.shape_of(planned)
    return type_text(shape.shape if isinstance(shape, Limited) else shape, names)


def type_text(shape: Shape, names: Names) -> Source:
    """Return a shape as the annotation that `field_values.runtime_type` is at run time."""
    match shape:
        case Choice() | Structure() if shape in names:
            return Source(names[shape])
        case Plain(name):
            return Source(name)
        case Structure():
            return Source("dict[str, Any]")
        case Choice(options) if any(isinstance(option, float) for option in options):
            # There is no literal type of a float. The server knows the choices, too.
            return Source("float" if all(map(is_number, options)) else "Any")
        case Choice(options):
            return Source(f"Literal[{', '.join(literal(option) for option in options)}]")
        case Limited(inner):
            return Source(f"Annotated[{type_text(inner, names)}, {_limits(shape)}]")
        case ListOf(item):
            return Source(f"list[{type_text(item, names)}]")
        case OneOf(members):
            return Source(" | ".join(type_text(member, names) for member in members))


def _binding(planned: PlannedInput) -> Source:
    """Return the `Input(…)` that ties the parameter to its field."""
    made = field_values.input_of(planned)
    optional = (name for name in ("base", "type", "variant", "format", "fed_by") if getattr(made, name))
    arguments = {name: literal(getattr(made, name)) for name in ("node", "field", "label", *optional)}
    return call(Source("Input"), literal(made.index), **arguments)


def default(planned: PlannedInput, names: Names) -> Source | None:
    """Return the default of an input as source; `None` if callers must give a value."""
    value = field_values.default_of(planned)
    if value is UNSET:
        return None
    text = value_text(value)
    if isinstance(value, (list, dict)):
        factory = f"lambda: {text}" if value else _container(field_values.shape_of(planned), names)
        return call(Source("field"), default_factory=Source(factory))
    return text


def value_text(value: Any) -> Source:
    """Return the expression that makes a Python value; a value of ours without arguments that are the default of their field."""
    match value:
        case Instance() if is_dataclass(value):
            given = [item for item in fields(value) if getattr(value, item.name) != item.default]
            sources = {item: value_text(getattr(value, item.name)) for item in given}
            return call(
                Source(type(value).__name__),
                *(source for item, source in sources.items() if not item.kw_only),
                **{item.name: source for item, source in sources.items() if item.kw_only},
            )
        case list():
            return Source(f"[{', '.join(map(value_text, value))}]")
        case _:
            return literal(value)


def _container(shape: Shape, names: Names) -> Source:
    """Return what makes an empty collection or object of a shape, typed for type checkers."""
    match shape:
        case OneOf(members):
            collections = [member for member in members if isinstance(member, (ListOf, Limited))]
            return _container((collections or members)[0], names)
        case Limited(inner):
            return _container(inner, names)
        case ListOf(Limited(item)):
            return type_text(ListOf(item), names)
        case _:
            return type_text(shape, names)


def _limits(shape: Limited) -> Source:
    return call(Source("Limits"), **{name: literal(value) for name, value in shape.limits})
