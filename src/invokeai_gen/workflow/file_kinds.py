"""Files that are often mistaken for an InvokeAI workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EXPORT: Final = "in InvokeAI's workflow editor, choose Download Workflow"
_IMAGES: Final = (b"\xff\xd8\xff", b"RIFF", b"GIF8")
IMAGE: Final = f"an image without a workflow in it: use one that the workflow editor made, or {EXPORT}"


def kind_of_file(content: bytes) -> str:
    """Return what a file is that is not JSON, and what to use instead; an empty text if it is of no known kind."""
    start = content.lstrip()[:300].lower()
    if not start:
        return "not a workflow: the file is empty"
    if content.startswith(_IMAGES):
        return IMAGE
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "an HTML page, not a workflow: download the file itself (on GitHub: Raw)"
    return "a ZIP archive, not a workflow: unpack it first" if start.startswith(b"pk\x03\x04") else ""


def kind_of_object(data: Mapping[str, Any]) -> str:
    """Return what a JSON object is that is not a workflow, and what to use instead; else an empty text."""
    nodes = data.get("nodes")
    if "openapi" in data and ("paths" in data or isinstance(data.get("components"), dict)):
        return "the openapi.json of a server, not a workflow"
    if isinstance(nodes, list) and ("links" in data or "last_node_id" in data):
        return f"a ComfyUI workflow, not one of InvokeAI: build it anew, and {EXPORT}"
    if data and all(isinstance(value, Mapping) and "class_type" in value for value in data.values()):
        return f"a ComfyUI prompt in API format, not an InvokeAI workflow: build it anew, and {EXPORT}"
    if "batch" in data or "graph" in data or (isinstance(nodes, Mapping) and "edges" in data):
        return f"a graph in API format, which has no form, not a workflow: {EXPORT}"
    if "generation_mode" in data or "positive_prompt" in data:
        return f"the metadata of an image, not a workflow: {EXPORT}"
    return ""
