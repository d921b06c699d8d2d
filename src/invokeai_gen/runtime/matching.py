"""Models and boards of a server by name, key, hash or id, for an input with a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

from invokeai_gen.core.matching import NoMatchError, match_board, match_model
from invokeai_gen.core.plan import ModelLimits
from invokeai_gen.core.values import BoardRef, ModelRef
from invokeai_gen.server.inventory import Board, Model
from invokeai_gen.server.resolution_errors import BoardResolutionError, ModelResolutionError


@overload
def find_board(label: str, wanted: BoardRef | str, boards: Sequence[Board]) -> Board: ...
@overload
def find_board(
    label: str, wanted: BoardRef | str, boards: Sequence[Board], *, may_lack: Literal[True]
) -> Board | None: ...
def find_board(label: str, wanted: BoardRef | str, boards: Sequence[Board], *, may_lack: bool = False) -> Board | None:
    """Return the board that is meant; see `match_board`. Raises `BoardResolutionError`."""
    try:
        return match_board(wanted, boards, may_lack=may_lack)
    except NoMatchError as error:
        raise BoardResolutionError(label, error.problem, error.candidates) from None


def find_model(label: str, wanted: ModelRef | str, limits: ModelLimits, models: Sequence[Model]) -> Model:
    """Return the model that is meant; see `match_model`. Raises `ModelResolutionError`."""
    try:
        return match_model(wanted, limits, models)
    except NoMatchError as error:
        raise ModelResolutionError(label, error.problem, error.candidates) from None
