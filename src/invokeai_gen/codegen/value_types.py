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
from invokeai_gen.codegen.structures import Structures, is_class_name, pascal
from invokeai_gen.core import field_values
from invokeai_gen.core.allowed_values import parts_of
from invokeai_gen.core.field_values import Choice, Structure
from invokeai_gen.core.plan import JsonValue, PlannedInput, WorkflowPlan
from invokeai_gen.public_names import HOME_OF

_MIN_NAMED_CHOICES: Final = 8
"""Shorter lists are easier to read where they are used."""

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


def collect(plans: Iterable[WorkflowPlan], schemas: Mapping[str, Any]) -> ValueTypes:
    """Return the types that the inputs of these workflows share; `schemas` are the server's `components.schemas`."""
    found: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    wanted: set[str] = set()
    for plan in plans:
        for planned in plan.inputs:
            if planned.fed_by is None:
                for shape in parts_of(field_values.shape_of(planned)):
                    if isinstance(shape, Choice) and _is_named(shape, planned):
                        found.setdefault(shape.options, set()).add(_choice_names(planned))
                    elif isinstance(shape, Structure):
                        wanted.add(shape.name)
    structures = Structures(schemas, _TAKEN)
    classes = {name: made for name in sorted(wanted) if (made := structures.add(name)) is not None}
    choices = _choice_types(found, structures.found)
    named: dict[str, JsonValue] = {
        name: {"enum": list(options), **_enum_type(options)} for options, name in choices.items()
    }
    return ValueTypes(Names(choices, classes), {**named, **structures.found})


def names_used(plan: WorkflowPlan, names: Names) -> Names:
    """Return the names that the module of one plan imports."""
    shapes = [shape for item in plan.inputs if item.fed_by is None for shape in parts_of(field_values.shape_of(item))]
    options = {shape.options for shape in shapes if isinstance(shape, Choice)}
    structures = {shape.name for shape in shapes if isinstance(shape, Structure)}
    return Names(
        {key: name for key, name in names.choices.items() if key in options},
        {key: name for key, name in names.structures.items() if key in structures},
    )


def _is_named(shape: Choice, planned: PlannedInput) -> bool:
    """Return whether the choices are the schema's own, not narrowed by the form of one workflow."""
    if any(isinstance(option, float) for option in shape.options):
        return False
    if shape.options != tuple(dict.fromkeys(planned.choices)) or planned.field_type == "StringField":
        return False
    return planned.field_type == "SchedulerField" or len(shape.options) >= _MIN_NAMED_CHOICES


def _choice_names(planned: PlannedInput) -> tuple[str, str]:
    """Return a short name for the choices of a field, and a longer one."""
    if planned.field_type == "SchedulerField":
        return "SchedulerName", f"{pascal(planned.node_type)}SchedulerName"
    return pascal(planned.field_name), f"{pascal(planned.node_type)}{pascal(planned.field_name)}"


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
