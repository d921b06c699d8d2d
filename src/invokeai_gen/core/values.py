"""The values of inputs, beyond Python's own numbers and strings.

Every class here is plain, frozen data: nothing is read from disk or requested from a server before a workflow is submitted.
The `…Input` aliases list what a parameter of that kind accepts; anything else is refused with a sentence that lists it
as well. `Input` ties a parameter to a field of a node.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic_core import CoreSchema, core_schema

from invokeai_gen.core.checks import Check, Instance, without_numpy
from invokeai_gen.js_json import is_encodable

if TYPE_CHECKING:
    from invokeai_gen.core.duck_types import (
        ArrayLike,
        BoardRecord,
        ImageRecord,
        ModelRecord,
        PillowImage,
        ReadableFile,
        VideoRecord,
    )
else:
    ArrayLike = BoardRecord = ImageRecord = ModelRecord = PillowImage = ReadableFile = VideoRecord = Any


@dataclass(frozen=True, slots=True)
class ImageRef(Instance):
    """An image that is already on the server."""

    name: str
    """Its `image_name`, such as `5f3a….png`."""


@dataclass(frozen=True, slots=True)
class VideoRef(Instance):
    """A video that is already on the server."""

    name: str
    """Its `video_name`."""


@dataclass(frozen=True, slots=True)
class BoardRef(Instance):
    """A board by its id, which is unique on one server."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef(Instance):
    """A model, by key, hash or name. A key belongs to one server; hash and name are the same on all servers."""

    key: str = ""
    hash: str = ""
    name: str = ""
    base: str = ""
    type: str = ""
    submodel_type: str | None = None


@dataclass(frozen=True, slots=True)
class Color(Instance):
    """A colour, each channel from 0 to 255; `a` is 255 for opaque. Raises `ValueError` for a channel out of range."""

    r: int
    g: int
    b: int
    a: int = 255

    def __post_init__(self) -> None:
        _own_numbers(self, "r", "g", "b", "a")
        for channel, value in zip("rgba", (self.r, self.g, self.b, self.a), strict=True):
            if not _is_number(value, int) or not 0 <= value <= 255:
                raise _refusal(f"channel {channel} of a colour", value, "a whole number from 0 to 255")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundingBox(Instance):
    """A box in pixels, `x_max` and `y_max` exclusive. Raises `ValueError` for sides that are not whole numbers in order."""

    x_min: int
    x_max: int
    y_min: int
    y_max: int
    score: float | None = None

    def __post_init__(self) -> None:
        _own_numbers(self, "x_min", "x_max", "y_min", "y_max", "score")
        for side in ("x_min", "x_max", "y_min", "y_max"):
            if not _is_number(getattr(self, side), int):
                raise _refusal(f"{side} of a bounding box", getattr(self, side), "a whole number")
        if self.x_min > self.x_max or self.y_min > self.y_max:
            raise ValueError("a bounding box needs x_min <= x_max and y_min <= y_max")
        if self.score is not None and (not _is_number(self.score, (int, float)) or not 0 <= self.score <= 1):
            raise _refusal("the score of a bounding box", self.score, "a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class LoRA(Instance):
    """A LoRA model and how strongly it is applied (1.0 is its full weight)."""

    lora: ModelRef | str
    """A name, key or hash, or a `ModelRef`; a model that `client.models` returned becomes one."""
    weight: float = 0.75

    def __post_init__(self) -> None:
        object.__setattr__(self, "lora", _model(self.lora))
        _own_numbers(self, "weight")
        if not _is_number(self.weight, (int, float)) or not abs(self.weight) <= sys.float_info.max:
            raise _refusal("the weight of a LoRA", self.weight, "a number")


def _refusal(part: str, value: object, expected: str) -> ValueError:
    from invokeai_gen.texts import shown

    return ValueError(f"{part} is {shown(value)}, not {expected}")


MODEL_KEYS: Final = ("key", "hash", "name", "base", "type")
_HEX_COLOR: Final = r"#(?:[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})"


def as_color(value: object) -> Color:
    """Return a value as a colour.

    Colours are `"#f80"`, `"#ff8000"`, both with or without transparency (`"#f80c"`, `"#ff8000c0"`), a CSS name such as
    `"orange"`, a tuple or list of three or four channels, or a `Color`. Raises `ValueError` for anything else.
    """
    if isinstance(value, Color):
        return value
    if isinstance(value, (tuple, list)) and len(value) in (3, 4):
        return Color(*value)
    if isinstance(value, str):
        from invokeai_gen.core.css_colors import CSS_COLORS

        digits = value[1:] if re.fullmatch(_HEX_COLOR, value) else CSS_COLORS.get(value.lower())
        if digits:
            return Color(*bytes.fromhex(digits if len(digits) > 4 else "".join(digit * 2 for digit in digits)))
    raise ValueError('Input should be a colour: "#ff8000", a CSS name, (255, 128, 0), (255, 128, 0, 255) or a Color')


def is_channels(value: object) -> bool:
    """Return whether a value is a tuple of the channels of a colour."""
    if not isinstance(value, tuple) or len(value) not in (3, 4):
        return False
    return all(type(channel) is int and 0 <= channel <= 255 for channel in value)


def _color(value: Any) -> Any:
    as_color(value)
    # A list would be taken for several values.
    return tuple(map(without_numpy, value)) if isinstance(value, (list, tuple)) else value


def _media(kind: Literal["image", "video"], reference: type, value: Any) -> Any:
    if isinstance(value, Path):
        return value
    if (known := _known(value, reference, "name", f"{kind}_name")) is not None:
        return known
    from invokeai_gen.core.pictures import in_memory

    return in_memory(kind, value)


def _board(value: Any) -> Any:
    if (known := _known(value, BoardRef, "id", "board_id")) is not None:
        return known
    raise ValueError('Input should be a board: "none", "auto", its name or id, or a BoardRef')


def _known(value: Any, reference: type, attribute: str, key: str) -> Any:
    """Return a text or a reference as it is, and a reference to a record of the server; `None` for anything else."""
    if is_text(value):
        return _plain_text(value)
    if isinstance(value, reference) and is_text(getattr(value, attribute)):
        return value
    return reference(getattr(value, key)) if is_text(getattr(value, key, None)) else None


def _model(value: Any) -> Any:
    if not isinstance(value, ModelRef) and all(isinstance(getattr(value, key, None), str) for key in MODEL_KEYS):
        value = ModelRef(**{key: getattr(value, key) for key in MODEL_KEYS})
    if is_text(value):
        return _plain_text(value)
    if isinstance(value, ModelRef) and any(map(is_text, (value.name, value.key, value.hash))):
        return value
    raise ValueError("Input should be a model: its name, key or hash, or a ModelRef with one of them")


def is_text(value: object) -> bool:
    """Return whether a value is a text that is not blank."""
    return isinstance(value, str) and value.strip() != ""


def _plain_text(text: Any) -> str:
    """Return the text of a member of an `Enum` of texts, which would be shown by its name; any other text as it is."""
    if not is_encodable(text):
        raise ValueError("Input should be a text that UTF-8 can hold, without unpaired surrogates")
    return str.__str__(text)


def _own_numbers(value: object, *names: str) -> None:
    """Replace numbers of numpy in a frozen value by Python's own: boxes come from detectors, colours from pixels."""
    for name in names:
        object.__setattr__(value, name, without_numpy(getattr(value, name)))


def _is_number(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


class Accepted(Check):
    """A function that returns the value or raises `ValueError`. The type before it in `Annotated` is for editors only."""

    def __init__(self, kind: Literal["image", "video", "board", "model", "color"], by: Callable[[Any], Any]) -> None:
        self.kind: Final = kind
        """Which row of the table in `json_values` applies."""
        self.by: Final = by

    def core_schema(self, inner: Callable[[], CoreSchema]) -> CoreSchema:
        """Return the function as the whole check."""
        return core_schema.no_info_plain_validator_function(self.by)


@dataclass(frozen=True, slots=True)
class Input(Check):
    """The field of a node that a parameter sets, and its label in the GUI. Metadata in `Annotated`."""

    index: int
    """Position in the form, counted from 0."""
    node: str
    field: str
    label: str
    base: tuple[str, ...] = ()
    """Model bases that the field accepts, with `type`, `variant` and `format` alike; empty means any."""
    type: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    format: tuple[str, ...] = ()
    fed_by: str | None = None
    """The node whose output feeds the field, which therefore cannot be set."""
    name: str = ""
    """The Python name; `params` fills it in."""

    def __repr__(self) -> str:
        """Return what a reader of an annotation needs; the rest is in the attributes."""
        return f"Input({self.index}, label={self.label!r})"

    @property
    def binding(self) -> tuple[str, str]:
        """`(node id, field name)`, which identifies the input independent of its label."""
        return self.node, self.field

    def core_schema(self, inner: Callable[[], CoreSchema]) -> CoreSchema:
        """Return the check of the type itself; for a model, its base and type are checked after that, if they are known.

        A model that is given by name alone is looked up when the workflow is submitted.
        """
        if self.base or self.type:
            return core_schema.no_info_after_validator_function(self._check_model, inner())
        return inner()

    def _check_model(self, value: Any) -> Any:
        if isinstance(value, ModelRef):
            for given, allowed, noun in ((value.base, self.base, "base"), (value.type, self.type, "type")):
                if given not in ("", "any") and allowed and given not in allowed:
                    raise ValueError(f"Input should be a model of {noun} {' or '.join(allowed)}, not {given}")
        return value


ImageInput: TypeAlias = Annotated[
    ImageRef | Path | bytes | str | PillowImage | ReadableFile | ArrayLike | ImageRecord,
    Accepted("image", partial(_media, "image", ImageRef)),
]
"""A path, the bytes of an image file, an open file, a Pillow image, an array of numpy (height × width × 3, `uint8`), or an
image on the server: an `ImageRef`, its name as a string, or what `client.images.get` returned."""

VideoInput: TypeAlias = Annotated[
    VideoRef | Path | bytes | str | ReadableFile | VideoRecord, Accepted("video", partial(_media, "video", VideoRef))
]
"""A path, the bytes of a video file, an open file, or a video on the server: a `VideoRef`, or its name as a string."""

BoardInput: TypeAlias = Annotated[BoardRef | Literal["auto", "none"] | str | BoardRecord, Accepted("board", _board)]
"""`"none"`, `"auto"` (the board that the GUI adds new images to), a board's name or id."""

ModelInput: TypeAlias = Annotated[ModelRef | str | ModelRecord, Accepted("model", _model)]
"""A `ModelRef`, a model that `client.models` returned, or its name, key or hash as a string."""

ColorInput: TypeAlias = Annotated[
    Color | tuple[int, int, int] | tuple[int, int, int, int] | list[int] | str, Accepted("color", _color)
]
"""`"#ff8000"`, `"#f80"`, `"#ff8000c0"`, a CSS name such as `"orange"`, three or four channels, or a `Color`."""
