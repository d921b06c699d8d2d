"""Which input stands at which index of the form: kept in a file, and compared with a later version of the workflow."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.handle.inputs import IvkWorkflowInput


class IndexMapError(InvokeAIGenError, ValueError):
    """A file that is no index map."""


@dataclass(frozen=True, slots=True)
class MappedInput:
    """An input as an index map knows it."""

    index: int
    label: str
    node_id: str
    field_name: str

    @property
    def system_name(self) -> str:
        """What identifies the input whatever its index and its label are."""
        return f"{self.node_id}.{self.field_name}"


@dataclass(frozen=True, slots=True)
class MovedInput:
    """An input that stands at another index than before."""

    before: MappedInput
    now: MappedInput


@dataclass(frozen=True, slots=True)
class IndexMapReport:
    """What became of the inputs of an index map. Inputs are the same where node id and field name are."""

    unchanged: tuple[MappedInput, ...]
    """At the same index; the label may be another."""
    moved: tuple[MovedInput, ...]
    missing: tuple[MappedInput, ...]
    """No longer on the form."""
    new: tuple[MappedInput, ...]
    """Not on the form before."""

    @property
    def is_same(self) -> bool:
        """Whether every index still means what it meant."""
        return not self.moved and not self.missing


def index_map_of(inputs: Sequence[IvkWorkflowInput]) -> tuple[MappedInput, ...]:
    """The index map of a form as it is now."""
    return tuple(MappedInput(item.input_index, item.label, item.node_id, item.field_name) for item in inputs)


def write_index_map(path: str | os.PathLike[str], workflow: str, inputs: Sequence[MappedInput]) -> None:
    """Writes an index map as JSON. The same form always gives the same file."""
    entries = [
        {"index": item.index, "label": item.label, "node_id": item.node_id, "field_name": item.field_name}
        for item in inputs
    ]
    text = json.dumps({"workflow": workflow, "inputs": entries}, ensure_ascii=True, indent=2)
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_index_map(path: str | os.PathLike[str]) -> tuple[MappedInput, ...]:
    """The index map in a file. Raises `IndexMapError` for any other file, and `OSError` where it cannot be read."""
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))["inputs"]
        if not isinstance(entries, list):
            raise TypeError("inputs are no list")
        return tuple(
            MappedInput(int(entry["index"]), str(entry["label"]), str(entry["node_id"]), str(entry["field_name"]))
            for entry in entries
        )
    except (ValueError, KeyError, TypeError):
        raise IndexMapError(f"{os.fspath(path)} is no index map, as export_input_index_map writes them") from None


def compare_index_maps(before: Sequence[MappedInput], now: Sequence[MappedInput]) -> IndexMapReport:
    """What became of the inputs of `before`, in the order of their indices."""
    current = {item.system_name: item for item in now}
    known = {item.system_name for item in before}
    kept = [(item, current[item.system_name]) for item in before if item.system_name in current]
    return IndexMapReport(
        unchanged=tuple(after for item, after in kept if item.index == after.index),
        moved=tuple(MovedInput(item, after) for item, after in kept if item.index != after.index),
        missing=tuple(item for item in before if item.system_name not in current),
        new=tuple(item for item in now if item.system_name not in known),
    )
