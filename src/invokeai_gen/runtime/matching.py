"""Models, boards, images and videos of a server, for an input with a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

from invokeai_gen.core.matching import NoMatchError, match_board, match_model
from invokeai_gen.core.plan import AssetKind, JsonValue
from invokeai_gen.core.values import BoardRef, ModelRef
from invokeai_gen.limits import ModelLimits
from invokeai_gen.server.client import AsyncInvokeAIClient
from invokeai_gen.server.errors import NotFoundError
from invokeai_gen.server.inventory import Board, Model
from invokeai_gen.server.resolution_errors import BoardResolutionError, MediaResolutionError, ModelResolutionError
from invokeai_gen.server.status_errors import ForbiddenError


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


async def model_on(
    client: AsyncInvokeAIClient, label: str, wanted: ModelRef | str, limits: ModelLimits
) -> dict[str, JsonValue]:
    """Return a model as this server knows it. Raises `ModelResolutionError`; see `find_model`."""
    try:
        found = find_model(label, wanted, limits, await client.models.known())
    except ModelResolutionError:
        found = find_model(label, wanted, limits, await client.models.sync())
    submodel = wanted.submodel_type if isinstance(wanted, ModelRef) else None
    model = {"key": found.key, "hash": found.hash, "name": found.name, "base": found.base, "type": found.type}
    return model if submodel is None else {**model, "submodel_type": submodel}


async def check_media(client: AsyncInvokeAIClient, label: str, kind: AssetKind, name: str, missing: str) -> None:
    """Raise `MediaResolutionError` if an image or video is not on the server, with that text, or not for this account."""
    try:
        await (client.images if kind == "image" else client.videos).get(name)
    except NotFoundError:
        raise MediaResolutionError(label, missing) from None
    except ForbiddenError:
        raise MediaResolutionError(label, f"this account may not use the {kind} {name!r}.") from None
