"""Which input has which index in the form: written to a file, and compared with a later version of the workflow."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.handle.inputs import IvkWorkflowInput


class IndexMapError(InvokeAIGenError, ValueError):
    """A file that is not an index map."""


@dataclass(frozen=True, slots=True)
class MappedInput:
    """An input in an index map."""

    index: int
    label: str
    node_id: str
    field_name: str
    jsonpath: str = field(default="", compare=False)
    """Where the workflow file has the value."""

    @property
    def system_name(self) -> str:
        """What identifies the input, independent of its index and its label."""
        return f"{self.node_id}.{self.field_name}"


@dataclass(frozen=True, slots=True)
class MovedInput:
    """An input that has another index than before."""

    before: MappedInput
    now: MappedInput


@dataclass(frozen=True, slots=True)
class IndexMapReport:
    """The differences between an index map and a form. Inputs are the same if node id and field name are."""

    unchanged: tuple[MappedInput, ...]
    """At the same index; the label may be another."""
    moved: tuple[MovedInput, ...]
    missing: tuple[MappedInput, ...]
    """No longer on the form."""
    new: tuple[MappedInput, ...]
    """Not on the form before."""

    @property
    def is_same(self) -> bool:
        """Whether every index still refers to the same input."""
        return not self.moved and not self.missing


def index_map_of(inputs: Sequence[IvkWorkflowInput]) -> tuple[MappedInput, ...]:
    """Return the index map of a form as it is now."""
    return tuple(
        MappedInput(item.input_index, item.label, item.node_id, item.field_name, item.jsonpath) for item in inputs
    )


def write_index_map(path: str | os.PathLike[str], workflow: str, inputs: Sequence[MappedInput]) -> None:
    """Write an index map as JSON. The same form always gives the same file."""
    entries = [asdict(item) for item in inputs]
    text = json.dumps({"workflow": workflow, "inputs": entries}, ensure_ascii=True, indent=2)
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_index_map(path: str | os.PathLike[str]) -> tuple[MappedInput, ...]:
    """Return the index map in a file. Raise `IndexMapError` for any other file, and `OSError` if it cannot be read."""
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))["inputs"]
        if not isinstance(entries, list):
            raise TypeError("inputs are not a list")
        names = [item.name for item in fields(MappedInput)]
        return tuple(MappedInput(**{name: entry[name] for name in names if name in entry}) for entry in entries)
    except (ValueError, KeyError, TypeError):
        raise IndexMapError(f"{os.fspath(path)} is not an index map as export_input_index_map writes them") from None


def compare_index_maps(before: Sequence[MappedInput], now: Sequence[MappedInput]) -> IndexMapReport:
    """Return the differences between two index maps, inputs in the order of their indices."""
    current = {item.system_name: item for item in now}
    known = {item.system_name for item in before}
    kept = [(item, current[item.system_name]) for item in before if item.system_name in current]
    return IndexMapReport(
        unchanged=tuple(after for item, after in kept if item.index == after.index),
        moved=tuple(MovedInput(item, after) for item, after in kept if item.index != after.index),
        missing=tuple(item for item in before if item.system_name not in current),
        new=tuple(item for item in now if item.system_name not in known),
    )
