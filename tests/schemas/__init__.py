"""The node types of every InvokeAI release that is tested: see README.md."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from invokeai_gen.schema import Schema
from invokeai_gen.schema.openapi import VERSION_KEY

PACKED = Path(__file__).parent / "releases.json.gz"


@cache
def _packed() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(gzip.decompress(PACKED.read_bytes()))
    return data


def releases() -> list[str]:
    """Return the releases, oldest first."""
    return list(_packed()["releases"])


@cache
def release_schema(release: str) -> Schema:
    """Return the node types of a release."""
    packed = _packed()
    schemas = {name: packed["schemas"][digest] for name, digest in packed["releases"][release].items()}
    return Schema({"info": {VERSION_KEY: release}, "components": {"schemas": schemas}}, source=f"InvokeAI {release}")
