"""`WorkflowDefinition`: a workflow as it was exported, before it meets a server."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from invokeai_gen import js_reading
from invokeai_gen.core.problems import reason_of
from invokeai_gen.workflow import WorkflowError, WorkflowFile, check_is_workflow, read_workflow_file


class WorkflowDefinition:
    """The contents of a workflow file. It never changes: handles have values of their own.

    Made by `from_file` and `from_dict`, which refuse anything that is not a workflow; its nodes are checked when a
    handle is opened.
    """

    def __init__(self, file: WorkflowFile) -> None:
        check_is_workflow(file.data)
        self.file = file
        """The input of the compiler. Treat its data as read-only; `to_dict` returns a copy."""
        self.source = file.name
        """Name of the file, without any folder."""
        self.name = _text(file.data, "name")
        """Its name; empty if the file has none, as are the texts below."""
        self.author = _text(file.data, "author")
        """Who made it."""
        self.description = _text(file.data, "description")
        """What it is for."""
        self.version = _text(file.data, "version")
        """The author's version of it."""
        self.contact = _text(file.data, "contact")
        """How to reach its author."""
        self.tags = _text(file.data, "tags")
        """Words to find it by, separated by commas."""
        self.notes = _text(file.data, "notes")
        """The author's notes."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name or self.source!r})"

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a workflow from a JSON file, as the GUI exports it.

        Raise `WorkflowError` for a file that cannot be read, or that is not a workflow.
        """
        try:
            return cls(read_workflow_file(Path(path)))
        except WorkflowError as error:
            raise WorkflowError(f"{os.fspath(path)}: {error}") from error

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str = "") -> Self:
        """Read a workflow from JSON data, which is copied.

        `source` is a file name, from which `to_module` takes the name of the module; the default is made from the name
        of the workflow. Raise `WorkflowError` for anything but JSON data of a workflow.
        """
        try:
            text = json.dumps(data, ensure_ascii=True, allow_nan=False)
            copied = js_reading.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise WorkflowError(f"not JSON data: {reason_of(error)}") from error
        source = source or f"{_text(copied, 'name') or 'workflow'}.json"
        return cls(WorkflowFile(source, copied, hashlib.sha256(text.encode()).hexdigest()))

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of the contents."""
        data: dict[str, Any] = copy.deepcopy(self.file.data)
        return data

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The nodes as the file has them; a copy, as `edges` and `form` are."""
        return list(self.to_dict().get("nodes", []))

    @property
    def edges(self) -> list[dict[str, Any]]:
        """The edges between the nodes as the file has them."""
        edges = self.to_dict().get("edges")
        return edges if isinstance(edges, list) else []

    @property
    def form(self) -> dict[str, Any] | None:
        """The form as it is in the file; `None` for a workflow without a form."""
        form = self.to_dict().get("form")
        return form if isinstance(form, dict) else None


def _text(data: Any, key: str) -> str:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""
