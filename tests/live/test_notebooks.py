"""The notebooks of the docs run in a real kernel against a real server, and are kept with what they show."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
MAX_SIZE = 150_000
"""Bytes of a notebook with its outputs."""


def _shown(notebook: Any) -> list[list[str]]:
    """Return what each code cell prints, and the kinds of what it returns."""
    return [
        [output.get("text") or " ".join(sorted(output.data)) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def _without_progress(notebook: Any) -> Any:
    """Drop the bar, which is a widget while the cell runs, and times of execution."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.output_type != "display_data"]
            cell.metadata = {}
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec}
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_is_kept_in_it(
    path: Path, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "data" / "workflows" / "sunset_poster.json", tmp_path)
    monkeypatch.setenv("INVOKEAI_URL", server_url)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    kept = nbformat.read(path, as_version=4)
    ran = nbformat.read(path, as_version=4)
    NotebookClient(ran, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    if path.stem == "first_run":
        widgets = ran.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
        assert "OutputModel" in [widget["model_name"] for widget in widgets]  # the bar
    _without_progress(ran)
    if "INVOKEAI_GEN_DOC_PICTURES" in os.environ:
        nbformat.write(ran, path)
        return
    assert _shown(ran) == _shown(kept)
    assert path.stat().st_size < MAX_SIZE
