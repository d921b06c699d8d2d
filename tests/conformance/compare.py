"""Comparing a request of ours with one recorded from the GUI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def differences(ours: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """Where the two differ: in values, in the order of nodes, of keys inside a node, of edges and of batch data.

    The random id of the graph and the random ids of form elements that the GUI builds from exposed fields count for
    nothing.
    """
    ours, recorded = _comparable(ours), _comparable(recorded)
    found = list(_differences(ours, recorded, "request"))
    ours_nodes, recorded_nodes = (item["batch"]["graph"]["nodes"] for item in (ours, recorded))
    if list(ours_nodes) != list(recorded_nodes):
        found.append(f"node order: {list(ours_nodes)} where the GUI has {list(recorded_nodes)}")
    for node_id in ours_nodes.keys() & recorded_nodes.keys():
        keys, recorded_keys = list(ours_nodes[node_id]), list(recorded_nodes[node_id])
        if keys != recorded_keys:
            found.append(f"key order of node {node_id}: {keys} where the GUI has {recorded_keys}")
    return found


def _comparable(request: dict[str, Any]) -> dict[str, Any]:
    request = json.loads(json.dumps(request))
    request["batch"]["graph"].pop("id")
    workflow = request["batch"]["workflow"]
    if workflow is None:
        return request
    names = {
        element_id: f"invented-{number}"
        for number, element_id in enumerate(_invented(workflow["form"]["elements"]), start=1)
    }
    form = workflow["form"]
    form["elements"] = {names.get(key, key): _renamed(item, names) for key, item in form["elements"].items()}
    return request


def _invented(elements: dict[str, Any]) -> Iterator[str]:
    """Elements built from exposed fields: `node-field-` and ten characters of no meaning."""
    return (key for key in elements if key.startswith("node-field-") and len(key) == len("node-field-") + 10)


def _renamed(element: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    element = {**element, "id": names.get(element["id"], element["id"])}
    if "children" in element.get("data", {}):
        children = [names.get(child, child) for child in element["data"]["children"]]
        element["data"] = {**element["data"], "children": children}
    return element


def _differences(ours: Any, recorded: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(recorded, dict):
        for key in sorted(ours.keys() | recorded.keys()):
            if key not in recorded:
                yield f"{path}.{key}: {_shown(ours[key])} where the GUI has nothing"
            elif key not in ours:
                yield f"{path}.{key}: nothing where the GUI has {_shown(recorded[key])}"
            else:
                yield from _differences(ours[key], recorded[key], f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(recorded, list) and len(ours) == len(recorded):
        for index, (one, other) in enumerate(zip(ours, recorded, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif ours != recorded or type(ours) is not type(recorded):
        yield f"{path}: {_shown(ours)} where the GUI has {_shown(recorded)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:197] + "..."
