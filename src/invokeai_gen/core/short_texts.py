"""A value of a workflow in a few words, for file names, captions and tables; LoRAs and boxes are read back from it."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Final

from invokeai_gen.core.pictures import is_picture
from invokeai_gen.core.values import (
    BoardRef,
    BoundingBox,
    Color,
    ImageRef,
    LoRA,
    ModelRef,
    VideoRef,
    as_color,
    is_channels,
)

if TYPE_CHECKING:
    from invokeai_gen.core.plan import JsonValue

_LORA: Final = re.compile(r"(.+)@([+-]?[0-9]+(?:\.[0-9]+)?)", re.DOTALL)
_BOX: Final = re.compile(r" *(-?[0-9]+) *, *(-?[0-9]+) *- *(-?[0-9]+) *, *(-?[0-9]+) *")


def short_text(value: object) -> str:
    """Return the value as a person would write it; one line unless it is a text of several.

    Texts and numbers are as they are, `true`, `false` and `none` in small letters. Models and LoRAs are their names,
    boards their ids, files and images by name without suffix, colours as `#ff8000`, lists with commas. Images in memory
    have no name: bytes become the start of their SHA-256, Pillow images their size.
    """
    match value:
        case str():
            return str(value)
        case None | bool():
            return str(value).lower()
        case PurePath():
            return value.stem
        case ImageRef() | VideoRef():
            return PurePosixPath(value.name).stem
        case BoardRef():
            return value.id
        case ModelRef():
            return value.name or value.key or value.hash
        case LoRA():
            return f"{short_text(value.lora)}@{value.weight:g}"
        case Color():
            return _hex(value)
        case BoundingBox():
            return f"{value.x_min},{value.y_min}-{value.x_max},{value.y_max}"
        case bytes() | bytearray():
            return hashlib.sha256(value).hexdigest()[:8]
        case _ if is_picture(value):
            return "{}x{}".format(*value.size)
        case Mapping():
            return ",".join(f"{key}={short_text(item)}" for key, item in value.items())
        case tuple() if is_channels(value):
            return _hex(as_color(value))
        case list() | tuple() | set() | frozenset():
            return ",".join(short_text(item) for item in value)
        case _:
            return str(value)


def _hex(color: Color) -> str:
    channels = (color.r, color.g, color.b) if color.a == 255 else (color.r, color.g, color.b, color.a)
    return "#" + bytes(channels).hex()


def lora_of_text(text: str) -> JsonValue:
    """Return `watercolor@0.75` as a LoRA with its weight, and any other text as the name of a LoRA."""
    found = _LORA.fullmatch(text.strip())
    return {"lora": found[1].strip(), "weight": float(found[2])} if found else text.strip()


def loras_of_text(text: str) -> JsonValue:
    """Return `watercolor@0.75,ink` as a list of LoRAs; a name with a comma in it is quoted."""
    return [lora_of_text(cell) for row in csv.reader([text], skipinitialspace=True) for cell in row]


def box_of_text(text: str) -> JsonValue | None:
    """Return `0,0-64,32` (left, top, right, bottom) as a bounding box; `None` for any other text."""
    found = _BOX.fullmatch(text)
    return dict(zip(("x_min", "y_min", "x_max", "y_max"), map(int, found.groups()), strict=True)) if found else None
