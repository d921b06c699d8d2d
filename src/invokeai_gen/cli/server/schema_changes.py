"""What has changed in a node type since a module was generated, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from invokeai_gen.cli.terminal import few
from invokeai_gen.core.problems import range_text
from invokeai_gen.limits import NUMBER_LIMITS
from invokeai_gen.schema import NodeTemplate

_LISTS: Final = ("choices", "base", "type of model", "variant", "format")
_SIZES: Final = {
    "min_length": ("at least", "character"),
    "max_length": ("at most", "character"),
    "min_items": ("at least", "item"),
    "max_items": ("at most", "item"),
}
_MAX_NAMED: Final = 5


def changes_since(recorded: Mapping[str, Any], template: NodeTemplate) -> Iterator[tuple[str, str]]:
    """Yield the name of each field that differs from a recorded `NodeTemplate.summary`, and how, in words."""
    now = template.summary()
    for kind, members in (("field", "inputs"), ("output", "outputs")):
        was, is_now = recorded.get(members, {}), now[members]
        for name in dict.fromkeys((*was, *is_now)):
            if name not in is_now:
                yield name, f"this {kind} is gone"
            elif name not in was:
                yield name, f"this {kind} is new"
            elif was[name] != is_now[name]:
                yield name, _difference(was[name], is_now[name])


def _difference(was: Any, now: Any) -> str:
    if not isinstance(was, dict) or not isinstance(now, dict):
        return f"now {now}, was {was}"
    parts = []
    for key in dict.fromkeys((*was, *now)):
        before, after = was.get(key), now.get(key)
        if before == after:
            continue
        if key == "required":
            parts.append("now required" if after else "no longer required")
        elif key in _LISTS:
            parts += _list_difference("" if key == "choices" else f"{key} ", before or [], after or [])
        elif key == "type":
            parts.append(f"now {after}, was {before}")
    before, after = _range(was), _range(now)
    return "; ".join([*parts, f"{after}, was {before}"] if before != after else parts)


def _list_difference(what: str, before: list[str], after: list[str]) -> Iterator[str]:
    lost, gained = [item for item in before if item not in after], [item for item in after if item not in before]
    for items, how in (lost, "removed"), (gained, "added"):
        if items:
            yield f"{what}{few([*map(repr, items)], _MAX_NAMED)} {how}"
    if not lost and not gained:
        yield f"{what or 'choices '}in another order"


def _range(facts: Mapping[str, Any]) -> str:
    """Return the limits of a field in words."""
    numbers = [(key, facts[key]) for key in facts if key in NUMBER_LIMITS]
    sizes = [f"{words} {facts[key]:g} {noun}s" for key, (words, noun) in _SIZES.items() if key in facts]
    return ", ".join(filter(None, (range_text(numbers), *sizes))) or "unlimited"
