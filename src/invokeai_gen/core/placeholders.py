"""Placeholders in a dry-run request for what only a server can look up, store or generate."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from invokeai_gen.core.generators import ServerQuery
from invokeai_gen.core.json_writing import request_value, to_json
from invokeai_gen.core.plan import AssetKind, JsonValue, PlannedInput
from invokeai_gen.core.values import BoardRef, ImageRef, ModelRef, VideoRef
from invokeai_gen.js_json import Unset

_MEDIA_FIELDS: Final = frozenset({"ImageField", "VideoField"})


def placeholder(planned: PlannedInput, value: Any) -> JsonValue | Unset:
    """Return a value as the request would have it, with a note for each name or file that only a server can resolve.

    The notes are `<model dreamshaper>`, `<board Cats>` and `<upload of in.png>`.
    """
    return request_value(planned, value, _noted)


def is_created(planned: PlannedInput, value: Any, *, creates_boards: bool) -> bool:
    """Return whether submitting this value would upload a file, or might create a board."""
    if isinstance(value, list):
        return any(is_created(planned, item, creates_boards=creates_boards) for item in value)
    if planned.field_type in _MEDIA_FIELDS:
        return _is_file(value)
    return creates_boards and planned.field_type == "BoardField"


def board_placeholder(board: BoardRef | str | None) -> str | None:
    """Return the id of a board, `<board Cats>` for a name; `None` for `auto`, `none` and `None`."""
    if board is None or board in ("auto", "none"):
        return None
    return board.id if isinstance(board, BoardRef) else f"<board {board}>"


def query_placeholder(query: ServerQuery) -> JsonValue:
    """Return the placeholder for a list that a server would generate, such as `<dynamic prompts>`."""
    note = f"<{query.purpose}>"
    return {"image_name": note} if query.method == "GET" else note


def _noted(kind: AssetKind, value: Any) -> JsonValue:
    if isinstance(value, (ImageRef, VideoRef, BoardRef, ModelRef)):
        return to_json(value)
    if kind == "board":
        return {"board_id": board_placeholder(value)}
    if kind == "model":
        return {"key": f"<model {value}>", "name": value}
    if not _is_file(value):
        return {f"{kind}_name": value}
    return {f"{kind}_name": f"<upload of {value if isinstance(value, (str, Path)) else 'an image in memory'}>"}


def _is_file(value: Any) -> bool:
    """Return whether an image or video is given as such, and not by its name on the server."""
    if value is None or isinstance(value, (ImageRef, VideoRef, Mapping)):
        return False
    return not isinstance(value, str) or os.path.isfile(value)
