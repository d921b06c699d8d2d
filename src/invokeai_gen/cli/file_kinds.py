"""Files that are often mistaken for an InvokeAI workflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from invokeai_gen.png_texts import PNG_SIGNATURE, WORKFLOW_KEY

OPENAPI: Final = "the openapi.json of a server, not a workflow: give it with --openapi"
_MAX_BYTES: Final = 16 * 2**20
_EXPORT: Final = "in InvokeAI's workflow editor, choose Download Workflow"
_IMAGES: Final = (PNG_SIGNATURE, b"\xff\xd8\xff", b"RIFF", b"GIF8")


def kind_of_file(path: Path) -> str:
    """Return what a file is and what to use instead; an empty text for a workflow and for a file of no known kind."""
    try:
        with path.open("rb") as file:
            return kind_of(file.read(_MAX_BYTES))
    except OSError:
        return ""


def kind_of(content: bytes) -> str:
    """Return what the content of a file is and what to use instead; an empty text if it is of no known kind."""
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:300].lower()
    if not start:
        return "not a workflow: the file is empty"
    if content.startswith(_IMAGES):
        if content.startswith(PNG_SIGNATURE) and WORKFLOW_KEY.encode() in content:
            return ""
        return f"an image without a workflow in it: use one that the workflow editor made, or {_EXPORT}"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "an HTML page, not a workflow: download the file itself (on GitHub: Raw)"
    if start.startswith(b"pk\x03\x04"):
        return "a ZIP archive, not a workflow: unpack it first"
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    return _kind_of_object(data) if isinstance(data, dict) else ""


def _kind_of_object(data: Mapping[str, Any]) -> str:
    nodes = data.get("nodes")
    if "openapi" in data and ("paths" in data or isinstance(data.get("components"), dict)):
        return OPENAPI
    if isinstance(nodes, list) and ("links" in data or "last_node_id" in data):
        return f"a ComfyUI workflow, not one of InvokeAI: build it anew, and {_EXPORT}"
    if data and all(isinstance(value, Mapping) and "class_type" in value for value in data.values()):
        return f"a ComfyUI prompt in API format, not an InvokeAI workflow: build it anew, and {_EXPORT}"
    if "batch" in data or "graph" in data or (isinstance(nodes, Mapping) and "edges" in data):
        return f"a graph in API format, which has no form, not a workflow: {_EXPORT}"
    if "generation_mode" in data or "positive_prompt" in data:
        return f"the metadata of an image, not a workflow: {_EXPORT}"
    return ""
