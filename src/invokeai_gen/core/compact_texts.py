"""Short spellings of LoRAs and boxes, which `short_text` writes and the command line and tables read."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from invokeai_gen.core.plan import JsonValue

_LORA: Final = re.compile(r"(.+)@([+-]?[0-9]+(?:\.[0-9]+)?)", re.DOTALL)
_BOX: Final = re.compile(r" *(-?[0-9]+) *, *(-?[0-9]+) *- *(-?[0-9]+) *, *(-?[0-9]+) *")


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
