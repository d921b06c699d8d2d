"""`_types.py`: the value types that several workflows share, written by datamodel-code-generator.

Two kinds of types go there: choices that are long or have a name of their own (schedulers), and structures of the
schema that the runtime has no class for. `datamodel` turns what is found here into source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from invokeai_gen.codegen.annotations import Names
from invokeai_gen.codegen.names import PythonIdentifier
from invokeai_gen.codegen.plan_file import Outline
from invokeai_gen.codegen.structures import Structures, is_class_name
from invokeai_gen.core.plan import JsonValue
from invokeai_gen.public_names import HOME_OF

_TAKEN: Final = frozenset((
    *HOME_OF,
    "Annotated", "Any", "ClassVar", "False", "Final", "Iterable", "Literal", "None", "NotRequired", "Outputs",
    "Params", "PathLike", "TYPE_CHECKING", "True", "TypeAlias", "TypedDict", "Unpack", "Values", "WORKFLOW",
))  # fmt: skip
"""Names that modules and `_types.py` use for something else."""


@dataclass(frozen=True, slots=True)
class ValueTypes:
    """The types that some workflows need from `_types.py`."""

    names: Names
    schemas: Mapping[str, JsonValue]
    """The pruned schemas they come from, by class name."""

    def to_json(self) -> str:
        """Return the schemas as the document that `datamodel.render` reads; equal types give equal text."""
        return json.dumps({name: self.schemas[name] for name in sorted(self.schemas)})


def collect(outlines: Iterable[Outline], schemas: Mapping[str, Any]) -> ValueTypes:
    """Return the types that the inputs of some plans share; `schemas` are the server's `components.schemas`."""
    found: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    wanted: set[str] = set()
    for outline in outlines:
        wanted.update(outline.structures)
        for options, names in outline.choices:
            if names is not None:
                found.setdefault(options, set()).add(names)
    structures = Structures(schemas, _TAKEN)
    classes = {name: made for name in sorted(wanted) if (made := structures.add(name)) is not None}
    choices = _choice_types(found, structures.found)
    named: dict[str, JsonValue] = {
        name: {"enum": list(options), **_enum_type(options)} for options, name in choices.items()
    }
    return ValueTypes(Names(choices, classes), {**named, **structures.found})


def names_used(outline: Outline, names: Names) -> Names:
    """Return the names that the module of one plan imports."""
    options = {options for options, _ in outline.choices}
    return Names(
        {key: name for key, name in names.choices.items() if key in options},
        {key: name for key, name in names.structures.items() if key in outline.structures},
    )


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


def _enum_type(options: tuple[Any, ...]) -> dict[str, str]:
    if all(isinstance(option, str) for option in options):
        return {"type": "string"}
    return {"type": "integer"} if all(type(option) is int for option in options) else {}
