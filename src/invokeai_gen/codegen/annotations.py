"""The annotation and the default of an input, as Python source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from invokeai_gen.codegen.literals import Source, call, literal
from invokeai_gen.codegen.names import PythonIdentifier
from invokeai_gen.core import field_values
from invokeai_gen.core.checks import Instance
from invokeai_gen.core.field_values import Choice, Limited, ListOf, OneOf, Plain, Shape, Structure
from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.js_json import UNSET
from invokeai_gen.js_reading import is_number

_FROM_RUNTIME: Final = frozenset(
    {"BoardInput", "BoundingBox", "ColorInput", "ImageInput", "LoRA", "ModelInput", "VideoInput"}
)


@dataclass(slots=True)
class Imports:
    """The names that a module's annotations and defaults need."""

    dataclasses: set[str] = field(default_factory=set)
    typing: set[str] = field(default_factory=set)
    runtime: set[str] = field(default_factory=set)
    editors: set[str] = field(default_factory=set)
    """Of the runtime, but only in signatures and in the types of outputs."""
    types: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Names:
    """What `_types.py` calls the value types that the workflows share."""

    choices: Mapping[tuple[Any, ...], PythonIdentifier] = field(default_factory=dict)
    structures: Mapping[str, PythonIdentifier] = field(default_factory=dict)

    def of(self, planned: PlannedInput) -> Names:
        """Return the names for an input. If the file has a value, only the server knows whether a structure fits it."""
        return self if planned.value is UNSET else Names(self.choices)


def annotation(planned: PlannedInput, names: Names, imports: Imports) -> Source:
    """Return the full annotation of an input: its type, limits and binding."""
    names = names.of(planned)
    shape = field_values.shape_of(planned)
    parts = [plain_type(planned, names, imports)]
    if isinstance(shape, Limited):
        parts.append(_limits(shape, imports))
    imports.typing.add("Annotated")
    return Source(f"Annotated[{', '.join([*parts, binding(planned, imports)])}]")


def plain_type(planned: PlannedInput, names: Names, imports: Imports) -> Source:
    """Return the type of an input without its limits and its binding."""
    shape = field_values.shape_of(planned)
    return type_text(shape.shape if isinstance(shape, Limited) else shape, names, imports)


def type_text(shape: Shape, names: Names, imports: Imports) -> Source:
    """Return a shape as the annotation that `field_values.runtime_type` is at run time."""
    match shape:
        case Plain(name):
            if name in _FROM_RUNTIME:
                imports.runtime.add(name)
            elif "Any" in name:
                imports.typing.add("Any")
            return Source(name)
        case Structure(name):
            if name in names.structures:
                imports.types.add(names.structures[name])
                return Source(names.structures[name])
            imports.typing.add("Any")
            return Source("dict[str, Any]")
        case Choice(options) if any(isinstance(option, float) for option in options):
            # There is no literal type of a float. The server knows the choices, too.
            return Source("float") if all(map(is_number, options)) else type_text(Plain("Any"), names, imports)
        case Choice(options):
            if options in names.choices:
                imports.types.add(names.choices[options])
                return Source(names.choices[options])
            imports.typing.add("Literal")
            return Source(f"Literal[{', '.join(literal(option) for option in options)}]")
        case Limited(inner):
            imports.typing.add("Annotated")
            return Source(f"Annotated[{type_text(inner, names, imports)}, {_limits(shape, imports)}]")
        case ListOf(item):
            return Source(f"list[{type_text(item, names, imports)}]")
        case OneOf(members):
            return Source(" | ".join(type_text(member, names, imports) for member in members))


def binding(planned: PlannedInput, imports: Imports) -> Source:
    """Return the `Input(…)` that ties the parameter to its field."""
    imports.runtime.add("Input")
    limits = field_values.model_limits(planned)
    optional: dict[str, object] = {
        "base": limits.base,
        "type": limits.type,
        "variant": limits.variant,
        "format": limits.format,
        "fed_by": planned.fed_by,
    }
    return call(
        Source("Input"),
        literal(planned.index),
        node=literal(planned.node_id),
        field=literal(planned.field_name),
        label=literal(planned.label),
        **{key: literal(value) for key, value in optional.items() if value},
    )


def default(planned: PlannedInput, names: Names, imports: Imports) -> Source | None:
    """Return the default of an input as source; `None` if callers must give a value."""
    value = field_values.default_of(planned)
    if value is UNSET:
        return None
    text = value_text(value, imports)
    if isinstance(value, (list, dict)):
        imports.dataclasses.add("field")
        factory = f"lambda: {text}" if value else _container(field_values.shape_of(planned), names.of(planned), imports)
        return call(Source("field"), default_factory=Source(factory))
    return text


def value_text(value: Any, imports: Imports) -> Source:
    """Return the expression that makes a Python value."""
    match value:
        case Instance():
            return _constructed(value, imports)
        case list():
            return Source(f"[{', '.join(value_text(item, imports) for item in value)}]")
        case _:
            return literal(value)


def _container(shape: Shape, names: Names, imports: Imports) -> Source:
    """Return what makes an empty collection or object of a shape, typed for type checkers."""
    match shape:
        case OneOf(members):
            collections = [member for member in members if isinstance(member, (ListOf, Limited))]
            return _container((collections or members)[0], names, imports)
        case Limited(inner):
            return _container(inner, names, imports)
        case ListOf(Limited(item)):
            return type_text(ListOf(item), names, imports)
        case _:
            return type_text(shape, names, imports)


def _constructed(value: Any, imports: Imports) -> Source:
    """Return the call that makes a value of ours, without arguments that are the default of their field."""
    name = type(value).__name__
    imports.runtime.add(name)
    given = [item for item in fields(value) if getattr(value, item.name) != item.default]
    sources = {item: value_text(getattr(value, item.name), imports) for item in given}
    return call(
        Source(name),
        *(source for item, source in sources.items() if not item.kw_only),
        **{item.name: source for item, source in sources.items() if item.kw_only},
    )


def _limits(shape: Limited, imports: Imports) -> Source:
    imports.runtime.add("Limits")
    return call(Source("Limits"), **{name: literal(value) for name, value in shape.limits})
