"""The inputs of a workflow: the fields of its form, in the order of the GUI."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from invokeai_gen.compiler.readiness import choice_problem, value_problems
from invokeai_gen.core.plan import Constraints, JsonValue, PlannedInput
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.limits import NUMBER_LIMITS
from invokeai_gen.schema import InputTemplate
from invokeai_gen.schema.templates import BATCH_FIELDS
from invokeai_gen.workflow.document import FormElement, InvocationNode, LoadedWorkflow
from invokeai_gen.workflow.edges import EdgeIndex


def planned_inputs(workflow: LoadedWorkflow, edges: EdgeIndex) -> Iterator[PlannedInput]:
    """Yield every field of the form that the server knows, once, with the values it accepts.

    A value that the server would not accept is left out, so that one must be chosen when the workflow is run.
    """
    nodes = workflow.node_by_id()
    seen: set[tuple[str, str]] = set()
    for element, sections in workflow.form.fields():
        node = nodes.get(element.node_id)
        binding = (element.node_id, element.field_name)
        if not isinstance(node, InvocationNode) or binding in seen:
            continue
        template = node.input_template(element.field_name)
        if template is None:
            continue
        seen.add(binding)
        yield _planned_input(len(seen) - 1, node, template, element, sections, edges)


def _planned_input(
    index: int,
    node: InvocationNode,
    template: InputTemplate,
    element: FormElement,
    sections: tuple[str, ...],
    edges: EdgeIndex,
) -> PlannedInput:
    instance = node.inputs[element.field_name]
    feeding = edges.feeding(node.id, element.field_name)
    # A node that takes any input keeps an explicit null, which a form shows as an empty field.
    own = UNSET if instance.value is None else instance.value
    problems = [*value_problems(own, template), choice_problem(own, template)]
    is_refused = feeding is None and (any(problems) or _is_unfilled(node, element.field_name, own))
    value: JsonValue | Unset = UNSET if is_refused or _is_misread(own, template) else own
    options = _options(element, template, value)
    return PlannedInput(
        index=index,
        label=instance.label or template.title,
        node_id=node.id,
        node_type=node.type,
        node_label=node.label,
        node_title=node.template.title if node.template is not None else node.type,
        field_name=element.field_name,
        field_type=template.type.name,
        cardinality=template.type.cardinality,
        description=instance.description or template.description,
        sections=sections,
        required=is_refused or template.required,
        value=value,
        fed_by=feeding.title if feeding is not None else None,
        constraints=_constraints(element, template, value),
        choices=tuple(options) if options else template.choices,
        choice_labels=options or dict(template.choice_labels),
        models=template.models,
    )


def _is_unfilled(node: InvocationNode, field_name: str, value: JsonValue | Unset) -> bool:
    """Return whether the form asks to be filled in: an empty list, or a generator of images without a board."""
    if BATCH_FIELDS.get(node.type) == field_name:
        return value is UNSET or value == []
    return node.type == "image_generator" and isinstance(value, dict) and not value.get("board_id")


def _is_misread(value: JsonValue | Unset, template: InputTemplate) -> bool:
    """Return whether the GUI took an object of unknown shape for the settings of a float generator."""
    kind = value.get("type") if isinstance(value, dict) else None
    return str(kind).startswith("float_generator_") and template.type.name != "FloatGeneratorField"


def _constraints(element: FormElement, template: InputTemplate, value: JsonValue | Unset) -> Constraints:
    """Return the limits of the server, narrowed by those of the form unless the form's own value breaks them.

    A slider only limits what is entered with it: the GUI submits a value outside its range without complaint.
    """
    limits: dict[str, Any] = dict(template.exact_limits)
    settings = element.settings or {}
    is_number = template.type.is_single and template.type.name in {"IntegerField", "FloatField"}
    if is_number and settings.get("type") in ("integer-field-config", "float-field-config"):
        number = value if isinstance(value, (int, float)) else None
        low, high = settings.get("min"), settings.get("max")
        if low is not None and (number is None or number >= low) and _narrows(limits, "ge", "gt", -low):
            limits["ge"] = low
        if high is not None and (number is None or number <= high) and _narrows(limits, "le", "lt", high):
            limits["le"] = high
    return constraints_of(limits, template.type.name)


def constraints_of(limits: Mapping[str, float], field_type: str) -> Constraints:
    """Return the limits of a template; limits of whole numbers and of sizes become equivalent whole numbers."""
    is_whole = field_type == "IntegerField"
    exact: dict[str, Any] = {
        name: _WHOLE[name](limit) if is_whole or name not in NUMBER_LIMITS else limit for name, limit in limits.items()
    }
    return Constraints(**exact)


_WHOLE: Final[Mapping[str, Callable[[float], int]]] = {
    **dict.fromkeys(("ge", "lt"), math.ceil),
    **dict.fromkeys(("le", "gt"), math.floor),
    # A whole number is a multiple of 1.5 if it is one of 3.
    "multiple_of": lambda limit: Fraction(str(limit)).numerator,
    **dict.fromkeys(("min_length", "max_length", "min_items", "max_items"), int),
}


def _narrows(limits: dict[str, Any], inclusive: str, exclusive: str, bound: float) -> bool:
    """Return whether a bound (negated if it is a lower one) is the tightest; then drop the exclusive bound it replaces."""
    sign = 1 if inclusive == "le" else -1
    if exclusive in limits and bound >= sign * limits[exclusive]:
        return False
    if inclusive in limits and bound > sign * limits[inclusive]:
        return False
    limits.pop(exclusive, None)
    return True


def _options(element: FormElement, template: InputTemplate, value: JsonValue | Unset) -> dict[str, str]:
    """Return the options of a drop-down list, by value; none if the form's own value is not among them."""
    settings = element.settings or {}
    if settings.get("component") != "dropdown" or template.type.name != "StringField" or not template.type.is_single:
        return {}
    options = {item["value"]: item["label"] for item in settings["options"]}
    return options if value is UNSET or value in tuple(options) else {}
