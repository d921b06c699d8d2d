"""`_types.py`: the value types that several workflows share, written by datamodel-code-generator.

Two kinds of types go there: choices that are long or have a name of their own (schedulers), and structures of the
schema that the runtime has no class for. `datamodel` turns what is found here into source.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from invokeai_gen.codegen.annotations import Names
from invokeai_gen.codegen.names import PythonIdentifier, is_class_name, is_identifier, pascal
from invokeai_gen.codegen.plan_file import Outline
from invokeai_gen.core.field_values import Choice, Shape, Structure
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.js_json import is_encodable
from invokeai_gen.public_names import HOME_OF

_TAKEN: Final = frozenset((
    *HOME_OF,
    "Annotated", "Any", "ClassVar", "False", "Final", "Iterable", "Literal", "None", "NotRequired", "Outputs",
    "Params", "PathLike", "TYPE_CHECKING", "True", "TypeAlias", "TypedDict", "Unpack", "Values", "WORKFLOW",
))  # fmt: skip
"""Names that modules and `_types.py` use for something else."""

_REF: Final = "#/components/schemas/"
_TOO_WIDE: Final = frozenset({"Batch", "Graph", "GraphExecutionState", "SessionQueueItem"})
"""Schemas that reach all node types."""
_SCALARS: Final = frozenset({"boolean", "integer", "null", "number", "string"})
_ANYTHING: Final[dict[str, JsonValue]] = {}
_ANY_OBJECT: Final[dict[str, JsonValue]] = {"type": "object"}
_MAX_PARTS: Final = 2_000
"""Parts of all structures together; beyond that, the rest is anything."""


def collect(outlines: Iterable[Outline], schemas: Mapping[str, Any]) -> tuple[Names, dict[str, JsonValue]]:
    """Return the names of the types that the inputs of some plans share, and their pruned schemas by class name.

    `schemas` are the server's `components.schemas`.
    """
    found: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    wanted: set[str] = set()
    for outline in outlines:
        wanted.update(outline.structures)
        for options, names in outline.choices:
            if names is not None:
                found.setdefault(options, set()).add(names)
    structures = _Structures(schemas)
    classes = {name: made for name in sorted(wanted) if (made := structures.add(name)) is not None}
    choices = _choice_types(found, structures.found)
    types = dict(structures.found)
    types |= {name: _enum([*options]) or {"enum": [*options]} for options, name in choices.items()}
    called: dict[Shape, PythonIdentifier] = {Structure(name): made for name, made in classes.items()}
    called |= {Choice(options): name for options, name in choices.items()}
    return called, {name: types[name] for name in sorted(types)}


def _choice_types(
    found: Mapping[tuple[Any, ...], set[tuple[str, str]]], taken: Iterable[str]
) -> dict[tuple[Any, ...], PythonIdentifier]:
    """Return a name for each list of choices: the short one unless another list has it too, then a number."""
    short = {options: min(name for name, _ in names) for options, names in found.items()}
    used = set(taken)
    named: dict[tuple[Any, ...], PythonIdentifier] = {}
    for options in sorted(found, key=lambda options: (short[options], sorted(found[options]), json.dumps(options))):
        alone = list(short.values()).count(short[options]) == 1
        base = short[options] if alone else min(long for _, long in found[options])
        base = base if is_class_name(base) and base not in _TAKEN else "Choice"
        name, number = base, 2
        while name in used:
            name, number = f"{base}{number}", number + 1
        used.add(name)
        named[options] = PythonIdentifier(name)
    return named


@dataclass(slots=True)
class _Structures:
    """The structures that are reached from the inputs of some workflows."""

    schemas: Mapping[str, Any]
    """`components.schemas` of the server."""
    found: dict[str, JsonValue] = field(default_factory=dict)
    """Reduced schemas by class name."""
    _parts: int = 0
    _names: Counter[str] = field(default_factory=Counter)

    def add(self, name: str) -> PythonIdentifier | None:
        """Add an object type and all it refers to; return its class name, or `None` if it is any object."""
        target = self._target(name)
        class_name = self._class_name(target) if target is not None else None
        if target is None or class_name is None or not _has_usable_properties(self.schemas[target]):
            return None
        if class_name not in self.found:
            self.found[class_name] = _ANY_OBJECT  # it may refer to itself
            self.found[class_name] = self._class(self.schemas[target])
        return class_name

    def _target(self, name: str) -> str | None:
        """Return the schema that a name leads to through references alone; `None` if it leads nowhere or to a node."""
        seen: set[str] = set()
        while name not in seen and name not in _TOO_WIDE:
            seen.add(name)
            schema = self.schemas.get(name)
            if not isinstance(schema, dict) or schema.get("class") in ("invocation", "output"):
                return None
            following = _referred(schema)
            if following is None:
                return name
            name = following
        return None

    def _class_name(self, name: str) -> PythonIdentifier | None:
        if not self._names:
            self._names = Counter(map(pascal, self.schemas))
        made = pascal(name)
        is_free = self._names[made] == 1 or made == name
        return PythonIdentifier(made) if is_free and is_class_name(made) and made not in _TAKEN else None

    def _class(self, schema: Mapping[str, Any]) -> dict[str, JsonValue]:
        properties = {
            name: {**self._reduced(part, frozenset()), **_description(part)}
            for name, part in schema["properties"].items()
        }
        required = schema.get("required")
        names = [name for name in required if name in properties] if isinstance(required, list) else []
        return {"type": "object", "properties": properties, "required": names, **_description(schema)}

    def _reduced(self, schema: Any, trail: frozenset[str]) -> dict[str, JsonValue]:
        """Return a part of a schema; `trail` has the names on the way to it, which must not recur."""
        self._parts += 1
        if not isinstance(schema, dict) or self._parts > _MAX_PARTS:
            return _ANYTHING
        following = _referred(schema)
        if following is not None:
            return self._reference(following, trail)
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                return self._union(schema[key], trail)
        if "allOf" in schema:
            return _ANY_OBJECT
        if "enum" in schema or "const" in schema:
            return _enum(schema.get("enum", [schema.get("const")]))
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._union([{**schema, "type": item} for item in kind], trail)
        if kind == "array":
            return {"type": "array", "items": self._reduced(schema.get("items"), trail)}
        if kind == "object":
            values = self._reduced(schema.get("additionalProperties"), trail)
            return {"type": "object", "additionalProperties": values} if values else _ANY_OBJECT
        return {"type": kind} if isinstance(kind, str) and kind in _SCALARS else _ANYTHING

    def _reference(self, name: str, trail: frozenset[str]) -> dict[str, JsonValue]:
        """Return a reference to a class, or the type that the name is an alias of."""
        target = self._target(name)
        if target is None or target in trail:
            return _ANYTHING
        schema = self.schemas[target]
        class_name = self._class_name(target)
        if "properties" in schema:
            class_name = self.add(target)
            return {"$ref": _REF + class_name} if class_name is not None else _ANY_OBJECT
        if class_name is not None and (choices := _enum(schema.get("enum"))):
            self.found[class_name] = {**choices, **_description(schema)}
            return {"$ref": _REF + class_name}
        return self._reduced(schema, trail | {target})

    def _union(self, members: list[Any], trail: frozenset[str]) -> dict[str, JsonValue]:
        parts = [self._reduced(member, trail) for member in members]
        if not parts or _ANYTHING in parts:
            return _ANYTHING
        distinct = [part for position, part in enumerate(parts) if part not in parts[:position]]
        return {"anyOf": distinct} if len(distinct) > 1 else distinct[0]


def _referred(schema: Mapping[str, Any]) -> str | None:
    """Return the name in a `$ref`, also if it is all there is in an `allOf`."""
    parts = schema.get("allOf")
    if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict):
        return _referred(parts[0]) if "$ref" in parts[0] else None
    reference = schema.get("$ref")
    return reference.removeprefix(_REF) if isinstance(reference, str) else None


def _has_usable_properties(schema: Mapping[str, Any]) -> bool:
    names = schema.get("properties")
    if not isinstance(names, dict) or not names:
        return False
    return all(is_identifier(name) and not name.startswith("__") for name in names)


def _enum(options: Any) -> dict[str, JsonValue]:
    if not isinstance(options, list) or not options:
        return _ANYTHING
    if all(isinstance(option, str) and is_encodable(option) for option in options):
        return {"enum": list(dict.fromkeys(options)), "type": "string"}
    if all(type(option) is int and abs(option) < 1 << 63 for option in options):
        return {"enum": list(dict.fromkeys(options)), "type": "integer"}
    return _ANYTHING


def _description(schema: Any) -> dict[str, JsonValue]:
    text = schema.get("description") if isinstance(schema, dict) else None
    if not isinstance(text, str) or not text.strip():
        return {}
    return {"description": "".join(char if char.isprintable() or char == "\n" else " " for char in text)}
