"""Pack the openapi.json of several releases: `python -m tests.schemas.pack FOLDER` with `openapi-VERSION.json` in it."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.schemas import PACKED

_PROSE: Final = frozenset({"description", "tags", "classification", "examples"})
_TOO_LARGE: Final = frozenset({"Graph", "Batch"})
_ENUMS: Final = ("BaseModelType", "ModelType", "SubModelType")


def pack(documents: dict[str, dict[str, Any]]) -> bytes:
    """Return the packed schemas of the node types of each release."""
    store: dict[str, Any] = {}
    packed: dict[str, dict[str, str]] = {}
    for release, document in documents.items():
        schemas = document["components"]["schemas"]
        packed[release] = {}
        for name in sorted(_needed(schemas)):
            schema = _without_prose(schemas[name])
            digest = hashlib.sha256(json.dumps(schema).encode()).hexdigest()[:10]
            store[digest] = schema
            packed[release][name] = digest
    text = json.dumps({"releases": packed, "schemas": store}, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def _needed(schemas: dict[str, Any]) -> set[str]:
    """The node types, their outputs, and everything that these refer to."""
    needed = {name for name, schema in schemas.items() if schema.get("class") in ("invocation", "output")}
    pending = list(needed)
    while pending:
        for name in set(_references(schemas[pending.pop()])) - needed - _TOO_LARGE:
            needed.add(name)
            pending.append(name)
    return needed | {name for name in _ENUMS if name in schemas}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rsplit("/", 1)[-1]
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _without_prose(schema: Any, *, names: bool = False) -> Any:
    """The schema without descriptions; `names` for the object whose keys are names of properties."""
    if isinstance(schema, dict):
        return {
            key: _without_prose(value, names=key == "properties" and not names)
            for key, value in schema.items()
            if names or key not in _PROSE
        }
    return [_without_prose(item) for item in schema] if isinstance(schema, list) else schema


def main() -> None:
    files = sorted(Path(sys.argv[1]).glob("openapi-*.json"), key=lambda path: _release(path.stem))
    PACKED.write_bytes(pack({path.stem.removeprefix("openapi-"): json.loads(path.read_bytes()) for path in files}))


def _release(stem: str) -> list[int]:
    return [int(part) for part in stem.removeprefix("openapi-").split(".")]


if __name__ == "__main__":
    main()
