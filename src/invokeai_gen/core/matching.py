"""Which model or board a name, key, hash or id refers to: pure rules over what a server has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from invokeai_gen.core.values import BoardRef, ModelRef
from invokeai_gen.limits import ModelLimits

if TYPE_CHECKING:
    from invokeai_gen.core.duck_types import BoardRecord, ModelRecord


class NoMatchError(Exception):
    """Nothing, or more than one thing, matches. `problem` is the reason, `candidates` what could be given instead."""

    def __init__(self, problem: str, candidates: Sequence[str]) -> None:
        self.problem, self.candidates = problem, candidates
        super().__init__(problem)


B = TypeVar("B", bound="BoardRecord")
M = TypeVar("M", bound="ModelRecord")


def has_board(wanted: str, boards: Iterable[BoardRecord]) -> bool:
    """Return whether any board has that id or name."""
    return any(wanted in (board.board_id, board.board_name) for board in boards)


def match_board(wanted: BoardRef | str, boards: Sequence[B]) -> B:
    """Return the board with that id, else the only one with that name.

    Raises `NoMatchError`, which lists the closest names, if none or several have the name.
    """
    given = wanted.id if isinstance(wanted, BoardRef) else wanted
    for board in boards:
        if board.board_id == given:
            return board
    named = [] if isinstance(wanted, BoardRef) else [board for board in boards if board.board_name == given]
    if len(named) > 1:
        ids = [f"BoardRef({board.board_id!r}) with {board.image_count} images" for board in named]
        raise NoMatchError(f"{len(named)} boards have the name {given!r}; use an id.", ids)
    if named:
        return named[0]
    names = _closest_first(given, [board.board_name for board in boards])
    raise NoMatchError(f"no board has the name or id {given!r}; 'none' and 'auto' always work.", names)


def match_model(wanted: ModelRef | str, limits: ModelLimits, models: Sequence[M]) -> M:
    """Return the model with that key, else hash, else name, base and type, else name among those the field accepts.

    Keys belong to one server; hashes and names are the same on all of them. Raises `NoMatchError` if no model or
    several match, or if the field does not accept the one that does.
    """
    ref = wanted if isinstance(wanted, ModelRef) else ModelRef(key=wanted, hash=wanted, name=wanted)
    fitting = [model for model in models if fits(model, limits)]
    same_name = [model for model in fitting if ref.name and model.name == ref.name]
    steps = (
        [model for model in models if ref.key and model.key == ref.key],
        [model for model in models if ref.hash and model.hash == ref.hash],
        [model for model in same_name if (ref.base, ref.type) == (model.base, model.type)],
        same_name,
    )
    shown = repr(wanted if isinstance(wanted, str) else ref.name or ref.hash or ref.key)
    found: list[M] = next((step for step in steps if step), [])
    if len(found) > 1:
        found = [model for model in found if model in same_name] or found
    if len(found) == 1 or (found and len({model.hash for model in found}) == 1):
        if not fits(found[0], limits):
            raise NoMatchError(
                f"{found[0]} does not fit this field, which takes {_takes(limits)}.", _closest_first(shown, fitting)
            )
        return found[0]
    if found:
        raise NoMatchError(f"several models match {shown}; use a key.", [
            f"{model} with key {model.key!r}" for model in found
        ])  # fmt: skip
    raise NoMatchError(f"no model {shown} that fits this field ({_takes(limits)}).", _closest_first(shown, fitting))


def fitting_models(models: Iterable[M], limits: ModelLimits) -> list[M]:
    """Return the models that a field accepts: in the order of the bases that it names, then by name."""
    order = {base: place for place, base in enumerate(limits.base)}
    found = [model for model in models if fits(model, limits)]
    return sorted(found, key=lambda model: (order.get(model.base, len(order)), model.name.casefold()))


def model_choices(models: Iterable[ModelRecord], limits: ModelLimits) -> list[str]:
    """Return what refers to each model that a field accepts, best first: its name, or its key if others have that name."""
    return _unique([(model.name, model.key) for model in fitting_models(models, limits)])


def board_choices(boards: Iterable[BoardRecord]) -> list[str]:
    """Return what a board field accepts: `auto`, `none`, and each board by name, or by id if others have that name."""
    return ["auto", "none", *_unique([(board.board_name, board.board_id) for board in boards])]


def _unique(named: Sequence[tuple[str, str]]) -> list[str]:
    """Return each name, or the key beside it if the name is blank or occurs more than once."""
    names = [name for name, _ in named]
    return [name if names.count(name) == 1 and name.strip() else key for name, key in named]


def fits(model: ModelRecord, limits: ModelLimits) -> bool:
    """Return whether a field with these limits accepts a model."""
    return (
        (not limits.base or model.base in limits.base or model.base == "any")
        and (not limits.type or model.type in limits.type)
        and (not limits.variant or model.variant is None or model.variant in limits.variant)
        and (not limits.format or model.format is None or model.format in limits.format)
    )


def _takes(limits: ModelLimits) -> str:
    """Describe what a field accepts: `sdxl or sdxl-refiner main models`."""
    parts = [" or ".join(part) for part in (limits.base, limits.type) if part]
    return " ".join(parts or ["any"]) + " models"


def _closest_first(wanted: str, candidates: Iterable[object]) -> list[str]:
    """Return the candidates as texts without repeats, those most like `wanted` first."""
    names = map(str, candidates)
    ratio = {name: difflib.SequenceMatcher(None, wanted.casefold(), name.casefold()).ratio() for name in names}
    return sorted(ratio, key=lambda name: (-ratio[name], name))
