"""What is found anywhere in the JSON of a result, such as the names of its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_MEDIA_KEYS: Final = ("image_name", "video_name")


def media_names(value: Any) -> Iterator[tuple[str, str]]:
    """Yield `("image_name" | "video_name", name)` of every image and video anywhere in a result."""
    for key in _MEDIA_KEYS:
        for item in objects_with(key, value):
            yield key, item[key]


def objects_with(key: str, value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object anywhere in a result that has a text under `key`, in order."""
    if isinstance(value, Mapping):
        if isinstance(value.get(key), str):
            yield value
        for item in value.values():
            yield from objects_with(key, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from objects_with(key, item)


def flat(value: Any) -> Iterator[Any]:
    """Yield the values in an output, which may be a list of lists."""
    if isinstance(value, list):
        for item in value:
            yield from flat(item)
    else:
        yield value
