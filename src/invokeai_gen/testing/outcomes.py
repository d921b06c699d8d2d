"""What the nodes of a fake run return, and what was run."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from invokeai_gen.core.params import WorkflowParams
from invokeai_gen.core.pictures import png_bytes
from invokeai_gen.core.plan import JsonValue, PlannedOutput
from invokeai_gen.png_texts import PNG_SIGNATURE

DEFAULT_SIZE: Final = (64, 64)
_PLAIN: Final[Mapping[str, JsonValue]] = {
    "StringField": "",
    "IntegerField": 0,
    "FloatField": 0.0,
    "BooleanField": False,
}


@dataclass(frozen=True, slots=True)
class Run:
    """One queue item that was submitted to the fake server."""

    params: WorkflowParams | None
    """The values it was run with; `None` for a request that no workflow sent."""
    item_id: int
    request: Mapping[str, JsonValue] = field(repr=False)
    """The body of the enqueue that it came from."""
    graph: Mapping[str, JsonValue] = field(repr=False)
    """The graph of this very item, with its values from batch data."""


@dataclass(frozen=True, slots=True)
class ScriptedRun:
    """How one queue item of the fake server ends."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What the outputs return, by name."""
    error: tuple[str, str, str | None] | None = None
    """Type and message of the error that a node raises, and the label of the node."""
    progress: tuple[float, ...] = ()
    """What each node reports while it works, from 0 to 1."""
    hangs: bool = False
    """It runs until it is cancelled."""


def results_of(output: PlannedOutput, given: Any, store: Callable[[Any], tuple[str, int, int]]) -> Iterator[JsonValue]:
    """Yield what a node returns, once for each execution, as the server's JSON. `store` keeps an image."""
    for value in given if output.is_iterated and isinstance(given, list) else [given]:
        if isinstance(value, Mapping):
            yield {"type": output.output_type, **value}
            continue
        fields: dict[str, JsonValue] = {}
        name, width, height = "", *DEFAULT_SIZE
        if "ImageField" in output.output_fields.values():
            name, width, height = store(value)
        for key, kind in output.output_fields.items():
            if kind == "ImageField":
                fields[key] = {"image_name": name}
            elif kind == "list[ImageField]":
                fields[key] = [{"image_name": store(each)[0]} for each in value or ()]
            elif kind in _PLAIN:
                size = {"width": width, "height": height}.get(key) if name else None
                fields[key] = size if size is not None else _PLAIN[kind] if value is None else value
            elif value is not None and len(output.output_fields) == 1:
                fields[key] = value
            else:
                fields[key] = [] if kind.startswith("list[") else None
        yield {"type": output.output_type, **fields}


def image_file(value: Any) -> bytes:
    """Return the file of a scripted image: bytes, a path, a Pillow image, a size, or a grey one for `None`."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, (str, Path)):
        return Path(value).read_bytes()
    if value is None or isinstance(value, tuple):
        return grey_png(*(value or DEFAULT_SIZE))
    return png_bytes(value)


def grey_png(width: int, height: int) -> bytes:
    """Return a grey PNG file, made without Pillow."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG file; `None` for anything else."""
    if not data.startswith(PNG_SIGNATURE):
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height
