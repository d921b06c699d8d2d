"""The formats that an image is saved in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

ImageFormat: TypeAlias = Literal["png", "jpeg", "webp"]


FORMATS: Final[Mapping[str, ImageFormat]] = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
"""By the suffix of a file name; any other means PNG."""


DEFAULT_QUALITY: Final = 90
