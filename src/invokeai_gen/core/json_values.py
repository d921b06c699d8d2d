"""Values as JSON, in the same forms everywhere: `from_dict`, `--params`, JSON Lines, tables, web services and agents.

| input | JSON that it takes | written as |
| --- | --- | --- |
| number, text, boolean, choice | itself; `7.0` is the integer 7, and `"7"` is not a number | itself |
| image | `"photo.png"` (a file here, else the name of an image on the server), `{"path": "photo.png"}`, \
`{"image_name": "5f3a….png"}`, `"data:image/png;base64,…"` | as it was given |
| video | the same, with `video_name` and `data:video/mp4;base64,…` | as it was given |
| board | `"auto"`, `"none"`, a name or an id, `{"board_id": "…"}` | as it was given |
| model | a name, key or hash, or an object with at least one of `name`, `key` and `hash`, and with `base`, `type` and \
`submodel_type` where they matter | the text, or all five keys |
| colour | `"#f80"`, `"#f80c"`, `"#ff8000"`, `"#ff8000c0"`, a CSS name such as `"orange"`, `[255, 128, 0]`, \
`[255, 128, 0, 192]`, `{"r": 255, "g": 128, "b": 0}` with `"a"` or without | the text, or `r`, `g`, `b`, `a` |
| bounding box | `{"x_min": 0, "x_max": 64, "y_min": 0, "y_max": 64}`, with `"score"` or without | the same |
| LoRA | a model as above, or `{"lora": model, "weight": 0.75}` | the object |
| collection | a list of these | a list |
| optional input | `null` leaves the field empty | `null` |
| anything else | the JSON that the server takes | the same |

`text_values` turns text of the command line and of tables into one of these forms first.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

from pydantic_core import SchemaValidator, ValidationError

from invokeai_gen.core import checks
from invokeai_gen.core.json_writing import model_from_json
from invokeai_gen.core.values import (
    MODEL_KEYS,
    Accepted,
    BoardRef,
    BoundingBox,
    Color,
    ImageRef,
    LoRA,
    ModelRef,
    VideoRef,
    is_text,
)

if TYPE_CHECKING:
    from invokeai_gen.core.plan import JsonValue

AllowedFiles: TypeAlias = bool | Sequence[Path]
"""Whether values may name files of this machine; or the folders below which they may."""
IDENTITY_KEYS: Final = ("name", "key", "hash")
"""At least one of them identifies the model."""
BASE64: Final = "(?=.)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
DATA_URL: Final = re.compile(f"data:(image|video)/[A-Za-z0-9.+-]+;base64,({BASE64})")
_BOX: Final = frozenset({"x_min", "x_max", "y_min", "y_max"})
_MODEL: Final = frozenset(MODEL_KEYS)


def read_value(hint: Any, data: JsonValue, *, allow_files: AllowedFiles = True) -> Any:
    """Return JSON data as the Python value of an input with this type hint.

    Data in none of the forms above comes back unchanged, for the check of the input to refuse. So do values that are
    Python objects already. `allow_files=False` is for values that come from strangers: it refuses the path of a file on
    this machine, and takes a text for the name of an image on the server only. With folders instead, `{"path": …}` may
    name a file below one of them.

    Raises `ValueError` for an object with parts that cannot be used, such as a colour channel of 300.
    """
    origin = get_origin(hint)
    if origin is Annotated:
        kind = accepted_kind(hint)
        if not kind:
            return read_value(hint.__origin__, data, allow_files=allow_files)
        return _media(kind, data, allow_files) if kind in ("image", "video") else _READERS[kind](data)
    if origin is Union or origin is UnionType:
        return _union(get_args(hint), data, allow_files)
    if origin is list and isinstance(data, list):
        return [read_value(get_args(hint)[0], item, allow_files=allow_files) for item in data]
    if origin is Literal:
        return _whole(data)
    reader = _READERS.get(hint) if isinstance(hint, type) or hint is Any else None
    return data if reader is None else reader(data)


def accepted_kind(hint: Any) -> str:
    """Return which row of the table above an annotated type has: `Accepted.kind`; empty for any other type."""
    return next((item.kind for item in getattr(hint, "__metadata__", ()) if isinstance(item, Accepted)), "")


def guess_value(data: JsonValue) -> Any:
    """Return JSON data of unknown type as a Python value: objects are recognized by their keys, if their parts fit."""
    if isinstance(data, list):
        return [guess_value(item) for item in data]
    if not isinstance(data, dict):
        return data
    with contextlib.suppress(ValueError):  # a colour with channels from 0 to 1 is an object of another kind
        if _MODEL <= data.keys() <= _MODEL | {"submodel_type"}:
            return model_from_json(data)
        if data.keys() == {"lora", "weight"}:
            return LoRA(guess_value(data["lora"]), data["weight"])
        for value in (_media("image", data), _media("video", data), _board(data), _color(data), _box(data)):
            if value is not data:
                return value
    return data


def _union(members: tuple[Any, ...], data: JsonValue, allow_files: AllowedFiles) -> Any:
    """Return the value that the first member makes of the data and accepts."""
    if data is None and NoneType in members:
        return None
    others = [member for member in members if member is not NoneType]
    for member in others[:-1]:
        value = read_value(member, data, allow_files=allow_files)
        try:
            return _validator(member).validate_python(value)
        except ValidationError:
            continue
    return read_value(others[-1], data, allow_files=allow_files)


@cache
def _validator(hint: Any) -> SchemaValidator:
    return checks.validator(hint)


def _media(kind: str, data: JsonValue, allow_files: AllowedFiles = True) -> Any:
    if isinstance(data, str):
        url = DATA_URL.fullmatch(data)
        if url and url[1] == kind:
            return base64.b64decode(url[2])
        if data.startswith("data:"):
            raise ValueError(f"a data URL should be data:{kind}/TYPE;base64,DATA")
        return data if allow_files is True or not data.strip() else _made(kind, data)
    if isinstance(data, dict) and len(data) == 1:
        ((key, name),) = data.items()
        if isinstance(name, str) and name.strip():
            if key == "path":
                return Path(name) if allow_files is True else _file_below(name, allow_files or ())
            if key == f"{kind}_name":
                return _made(kind, name)
    return data


def _file_below(name: str, folders: Sequence[Path]) -> Path:
    """Return a file that is below one of the folders, also after links are followed. Raises `ValueError`."""
    if not folders:
        raise ValueError("paths of files are not accepted here: send a data URL or a name on the server")
    for folder in folders:
        root = folder.resolve()
        if (path := (root / name).resolve()).is_relative_to(root) and path.is_file():
            return path
    raise ValueError("no such file in a folder that is allowed here")


def _made(kind: str, name: str) -> ImageRef | VideoRef:
    return ImageRef(name) if kind == "image" else VideoRef(name)


def _board(data: JsonValue) -> Any:
    if isinstance(data, dict) and data.keys() == {"board_id"} and is_text(data["board_id"]):
        return BoardRef(data["board_id"])
    return data


def _model(data: JsonValue) -> Any:
    if not isinstance(data, dict) or not any(is_text(data.get(key)) for key in IDENTITY_KEYS):
        return data
    texts = {key: value for key, value in data.items() if key in MODEL_KEYS and isinstance(value, str)}
    submodel = data.get("submodel_type")
    if data.keys() - {"submodel_type"} != texts.keys() or not isinstance(submodel, (str, NoneType)):
        return data
    return ModelRef(**texts, submodel_type=submodel)


def _color(data: JsonValue) -> Any:
    if isinstance(data, list):
        return tuple(_whole(channel) for channel in data)
    if isinstance(data, dict) and frozenset("rgb") <= data.keys() <= frozenset("rgba"):
        return Color(**{channel: _whole(value) for channel, value in data.items()})
    return data


def _box(data: JsonValue) -> Any:
    if isinstance(data, dict) and _BOX <= data.keys() <= _BOX | {"score"}:
        return BoundingBox(**{key: value if key == "score" else _whole(value) for key, value in data.items()})
    return data


def _lora(data: JsonValue) -> Any:
    if isinstance(data, dict) and "lora" in data and data.keys() <= {"lora", "weight"}:
        return LoRA(_model(data["lora"]), *([data["weight"]] if "weight" in data else []))
    if isinstance(data, str) and data.strip():
        return LoRA(data)
    model = _model(data)
    return LoRA(model) if isinstance(model, ModelRef) else data


def _whole(data: JsonValue) -> JsonValue:
    """Return a number without a fraction as an integer: JSON does not distinguish `7.0` from `7`."""
    return int(data) if isinstance(data, float) and data.is_integer() else data


def _fraction(data: JsonValue) -> JsonValue:
    try:
        return float(data) if type(data) is int else data
    except OverflowError:
        return data


_READERS: Final[Mapping[Any, Callable[[JsonValue], Any]]] = {
    "board": _board,
    "model": _model,
    "color": _color,
    BoundingBox: _box,
    LoRA: _lora,
    int: _whole,
    float: _fraction,
    Any: guess_value,
}
