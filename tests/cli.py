"""The command as its users meet it: an exit code, and what it says on which stream."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.cli import main
from invokeai_gen.schema import Schema, shipped_schema
from tests.unit.workflow_builder import Builder


@dataclass(frozen=True)
class Answer:
    """What one call of the command gave."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said on stdout."""
        return self.out.splitlines()

    @property
    def errors(self) -> list[str]:
        """What it said on stderr."""
        return self.err.splitlines()


class Cli:
    """Calls the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Answer:
        self._capsys.readouterr()
        code: Any = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
        said = self._capsys.readouterr()
        return Answer(code or 0, said.out, said.err)


_schema = functools.cache(shipped_schema)


def adder(schema: Schema | None = None, *, label: str = "First", value: int = 1) -> dict[str, Any]:
    """A small workflow: `label` plus 2, on a node of its own."""
    builder = Builder(schema or _schema())
    builder.node("sum", "add", label="Sum", a=value, b=2).field("sum.a").field("sum.b")
    data = builder.data()
    data["name"] = "Adder"
    data["nodes"][0]["data"]["inputs"]["a"]["label"] = label
    data["nodes"][0]["data"]["isIntermediate"] = False
    return data


def save(path: Path, data: Any) -> Path:
    """Write a JSON file, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def labelled(builder: Builder, **labels: str) -> dict[str, Any]:
    """Return the workflow with labels by `node__field`, its results not intermediate."""
    data = builder.data()
    for place, label in labels.items():
        node_id, name = place.split("__")
        (node,) = (node for node in data["nodes"] if node["id"] == node_id)
        node["data"]["inputs"][name]["label"] = label
    for node in data["nodes"]:
        node["data"]["isIntermediate"] = False
    return data


def sent_batch(answer: Answer) -> dict[str, Any]:
    """Return the batch that a dry run shows."""
    assert answer.code == 0, answer.err
    batch: dict[str, Any] = json.loads(answer.out)["batch"]
    return batch


def sent_nodes(answer: Answer) -> Any:
    """Return the nodes of the graph that a dry run shows."""
    return sent_batch(answer)["graph"]["nodes"]


def sent_items(answer: Answer) -> list[list[list[Any]]]:
    """Return the lists of the batch data that a dry run shows."""
    return [[column["items"] for column in entry] for entry in sent_batch(answer)["data"]]
