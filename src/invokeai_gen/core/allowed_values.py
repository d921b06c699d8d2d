"""What an input accepts, in words: for docstrings, help texts and differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from invokeai_gen.core import field_values
from invokeai_gen.core.field_values import Choice, Limited, ListOf, OneOf, Shape
from invokeai_gen.core.plan import PlannedInput
from invokeai_gen.core.problems import range_text
from invokeai_gen.texts import collapsed

_MAX_CHOICES: Final = 12


def allowed_values(planned: PlannedInput, names: Mapping[tuple[Any, ...], str] = {}) -> Iterable[str]:
    """Yield what the input accepts, beyond its type."""
    shape = field_values.shape_of(planned)
    for part in parts_of(shape):
        if isinstance(part, Limited):
            if isinstance(part.shape, ListOf):
                yield _sizes(dict(part.limits), "item")
            elif any(name.endswith("_length") for name, _ in part.limits):
                yield _sizes(dict(part.limits), "character")
            else:
                yield range_text(part.limits)
        elif isinstance(part, Choice):
            yield _choices(part, planned, names)
    limits = field_values.model_limits(planned)
    if planned.field_type == "ModelIdentifierField":
        words = [
            f"{noun} {' or '.join(collapsed(item) for item in allowed)}"
            for noun, allowed in (
                ("base", limits.base),
                ("type", limits.type),
                ("variant", limits.variant),
                ("format", limits.format),
            )
            if allowed
        ]
        if words:
            yield f"A model of {', '.join(words)}"


def parts_of(shape: Shape) -> Iterable[Shape]:
    """Yield the shape and all shapes inside it, outermost first."""
    yield shape
    match shape:
        case OneOf(members):
            for member in members:
                yield from parts_of(member)
        case Limited(inner) | ListOf(inner):
            yield from parts_of(inner)
        case _:
            return


def _sizes(limits: dict[str, float], noun: str) -> str:
    low, high = int(limits.get("min_length", 0)), limits.get("max_length")
    if high is None:
        return f"At least {low} {noun}{'' if low == 1 else 's'}"
    return f"{low} to {int(high)} {noun}s" if low else f"At most {int(high)} {noun}s"


def _choices(choice: Choice, planned: PlannedInput, names: Mapping[tuple[Any, ...], str]) -> str:
    labels, many = planned.choice_labels, len(choice.options)
    if many > _MAX_CHOICES and not labels:
        named = names.get(choice.options)
        return f"One of the {many} choices of `{named}`" if named else f"One of {many} choices"
    return "One of " + ", ".join(
        f"`{option!r}` ({collapsed(labels[str(option)])})" if labels.get(str(option)) else f"`{option!r}`"
        for option in choice.options
    )
