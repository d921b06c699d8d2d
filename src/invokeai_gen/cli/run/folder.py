"""Where the command `run` saves what comes out, made sure of before anything is sent."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from invokeai_gen.cli.terminal import fail

if TYPE_CHECKING:
    from invokeai_gen.cli.run.call import Call
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.sweeps.space import Space

_SUFFIXES: Final = (".png", ".mp4", ".webm", ".mov")


def new_folder(stem: str) -> Path:
    """A folder that does not exist yet, or is empty."""
    for number in range(1, sys.maxsize):
        folder = Path(f"{stem}-out" if number == 1 else f"{stem}-out-{number}")
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return folder
    raise AssertionError


def check_for_one(plan: WorkflowPlan, folder: Path, *, overwrite: bool) -> None:
    """Leaves where the results of a run could not be saved, or would be over a file."""

    _check_folder(folder)
    for path in _in_the_way(plan, folder) if not overwrite else ():
        fail("exists already; --overwrite replaces it, -o names another folder", source=str(path))


def check_for_many(plan: WorkflowPlan, folder: Path, call: Call, space: Space[Any]) -> None:
    """Leaves, or raises `InvokeAIGenError`, where it is known by now that results could not be saved."""
    from importlib.util import find_spec

    from invokeai_gen.sweeps.batching import Cell
    from invokeai_gen.sweeps.files.saving import Saver
    from invokeai_gen.sweeps.space import check_total

    check_total(len(space), call.runs)
    saver = Saver(plan, space, folder, call.pattern, None, overwrite=call.overwrite)
    if not plan.batches:
        saver.check([Cell(run, point) for run in range(call.runs) for point in range(len(space))])
    _check_folder(folder)
    manifest = folder / f"manifest.{call.manifest or 'csv'}"
    if manifest.exists() and not call.overwrite:
        told = "the folder has the results of other runs; --overwrite replaces them, -o names another folder"
        fail(told, source=str(manifest))
    if call.contact_sheet is not None:
        _check_folder(call.contact_sheet.parent)
        if call.contact_sheet.exists() and not call.overwrite:
            fail("exists already; --overwrite replaces it", source=str(call.contact_sheet))
        if find_spec("PIL") is None:
            fail("--contact-sheet needs Pillow: pip install 'invokeai-gen[images]'")


def _check_folder(folder: Path) -> None:
    """Leaves where a folder neither is there nor could be made."""

    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path())
    if not existing.is_dir():
        fail("is a file, not a folder", source=str(existing))
    if not os.access(existing, os.W_OK):
        fail("nothing may be written there", source=str(existing))


def _in_the_way(plan: WorkflowPlan, folder: Path) -> Iterator[Path]:
    """Files in a folder that the outputs of a run would be saved over."""
    from invokeai_gen.core.file_names import safe_name

    for output in plan.outputs:
        if output.role == "debug":
            continue
        stem = safe_name(output.name or output.node_id)
        for name in (stem, f"{stem}-000"):
            yield from (path for suffix in _SUFFIXES if (path := folder / f"{name}{suffix}").exists())
