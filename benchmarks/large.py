"""A workflow of 10,000 nodes: read, compiled and generated."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.contest import ROOT, Contest, Setup, run
from benchmarks.generate import OURS

NODES = 10_000
READ = "import json, sys; json.load(open(sys.argv[1]))"


def contests(setup: Setup) -> Iterator[Contest]:
    """Yield the contests of this file."""
    folder = setup.work / "large"
    folder.mkdir(exist_ok=True)
    path, output = folder / "large.json", folder / "package"
    path.write_text(json.dumps(_workflow(setup.many(NODES))), encoding="utf-8")

    def generating(source: Path) -> Any:
        remove = partial(shutil.rmtree, output, ignore_errors=True)
        return partial(run, [*OURS, path, "-o", output], source=source, before=remove)

    contenders = {"ours": generating(ROOT), "reading its JSON": partial(run, [sys.executable, "-c", READ, path])}
    if setup.source_before is not None:
        contenders["the version before"] = generating(setup.source_before)
    yield Contest(
        f"generate a workflow of {setup.many(NODES):,} nodes",
        contenders,
        {
            ("reading its JSON", "CPU"): None,
            ("the version before", "CPU"): 0.5,
            ("the version before", "memory"): 1.0,
        },
    )


def _workflow(nodes: int) -> dict[str, Any]:
    """Return a chain of sums; ten of them have an input on the form."""
    shown = range(0, nodes, max(1, nodes // 10))
    elements = {
        f"field-{number}": {
            "id": f"field-{number}",
            "type": "node-field",
            "parentId": "root",
            "data": {"fieldIdentifier": {"nodeId": f"n{number}", "fieldName": "b"}, "showDescription": False},
        }
        for number in shown
    }
    root = {"id": "root", "type": "container", "data": {"layout": "column", "children": [*elements]}}
    return {
        **dict.fromkeys(("author", "description", "version", "contact", "tags", "notes"), ""),
        "name": "Large",
        "nodes": [_node(number) for number in range(nodes)],
        "edges": [
            {
                "id": f"e{number}",
                "type": "default",
                "source": f"n{number}",
                "sourceHandle": "value",
                "target": f"n{number + 1}",
                "targetHandle": "a",
            }
            for number in range(nodes - 1)
        ],
        "form": {"elements": {"root": root, **elements}, "rootElementId": "root"},
        "exposedFields": [],
        "meta": {"version": "3.0.0", "category": "user"},
    }


def _node(number: int) -> dict[str, Any]:
    inputs = {name: {"name": name, "label": "", "description": "", "value": 0} for name in ("a", "b")}
    data = {
        "id": f"n{number}",
        "type": "add",
        "version": "1.0.1",
        "nodePack": "invokeai",
        "label": f"Sum {number}",
        "notes": "",
        "inputs": inputs,
        "isOpen": True,
        "isIntermediate": True,
        "useCache": True,
    }
    return {"id": f"n{number}", "type": "invocation", "data": data, "position": {"x": 0, "y": number}}
