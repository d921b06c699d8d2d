"""The rows of a table for `run`: a file or stdin, also a manifest that an earlier run has written."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.core.problems import ParamsError

if TYPE_CHECKING:
    from invokeai_gen.core.params import WorkflowParams
    from invokeai_gen.sweeps.workflow import Workflow

_STDIN: Final = Path("-")
_MANIFEST: Final = ("file", "index", "run", "item_id", "output")
"""The first columns of every manifest."""


def read_rows(
    workflow: Workflow[WorkflowParams, Any], *, csv: Path | None, jsonl: Path | None, ignore_extra: bool
) -> list[WorkflowParams]:
    """Return the rows of the table that was given; `-` is stdin. Raise `ParamsError` with everything wrong with it."""
    given, suffix = (csv, ".csv") if csv is not None else (jsonl, ".jsonl")
    assert given is not None
    with tempfile.TemporaryDirectory() as folder:
        path = given
        if given == _STDIN:
            path = Path(folder) / f"stdin{suffix}"
            path.write_bytes(sys.stdin.buffer.read())
        manifest = _manifest_rows(path, suffix)
        if manifest is not None:
            path, suffix, ignore_extra = Path(folder) / "manifest.jsonl", ".jsonl", True
            path.write_text("".join(f"{json.dumps(row)}\n" for row in manifest), encoding="utf-8")
        read = workflow.read_csv if suffix == ".csv" else workflow.read_jsonl
        try:
            return read(path, ignore_extra=ignore_extra)
        except ParamsError as error:
            name = "stdin" if given == _STDIN else str(given)
            raise ParamsError(
                [replace(problem, message=problem.message.replace(str(path), name)) for problem in error.problems]
            ) from None


def _manifest_rows(path: Path, suffix: str) -> list[dict[str, object]] | None:
    """Return the values of each run in a manifest, once each; `None` for any other table.

    A manifest has a row for each file, so that a run with several images has several rows.
    """
    from invokeai_gen.sweeps.files.manifest import ManifestError, read_manifest

    if path.suffix.lower() != suffix:
        return None
    try:
        rows = read_manifest(path)
    except (ManifestError, OSError):
        return None
    if not rows or tuple(rows[0])[: len(_MANIFEST)] != _MANIFEST:
        return None
    runs = {(row["index"], row["run"]): row for row in rows}
    return [{key: value for key, value in row.items() if value is not None} for row in runs.values()]
