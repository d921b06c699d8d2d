"""Generated modules: found by name, and read through the plan beside each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from invokeai_gen.cli.files import read_bytes
from invokeai_gen.cli.settings import find_settings
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan

_SUFFIXES: Final = (".py", ".json", ".png", ".jpg", ".jpeg", ".webp")
"""What a name that ends so can only be: the name of a file."""


class ModuleError(InvokeAIGenError):
    """A generated module that cannot be used."""


def locate(name: str) -> Path | None:
    """Return the file or the generated module of that name; `None` if it can only be the name of a saved workflow.

    Raise `ModuleError` for a folder, and for a name that is empty or looks like that of a file which does not exist.
    """
    path = Path(name)
    if not name.strip():
        raise ModuleError("the name of the workflow is empty")
    if path.is_dir():
        raise ModuleError(f"{name}: this is a folder; name a workflow file or a module in it")
    if path.is_file():
        return path
    if path.suffix.lower() in _SUFFIXES or len(path.parts) > 1:
        raise ModuleError(f"{name}: no such file")
    parts = name.split(".")
    for folder in _module_folders(name) if all(part.isidentifier() for part in parts) else ():
        found = folder.joinpath(*parts).with_suffix(".py")
        if found.is_file():
            return found
    return None


def _module_folders(name: str) -> Iterator[Path]:
    """Yield the folders to search for a module: the output folder for a name without a dot, then `sys.path`."""
    if "." not in name:
        yield find_settings().output_path
    yield Path()
    for entry in sys.path:
        if entry and os.path.isdir(entry):
            yield Path(entry)


def names_in(name: str) -> list[str]:
    """Return the JSON files of a folder: workflows, and plans of modules. Return anything else as it is."""
    folder = Path(name)
    return sorted(map(str, folder.glob("*.json"))) if name and folder.is_dir() else [name]


def find_plans(name: str) -> dict[str, WorkflowPlan | None]:
    """Return the workflow of that name, or those in the folder, with the plans of modules; `None` for other workflows.

    Raise `InvokeAIGenError` for a folder without any, and for a plan that is missing or damaged.
    """
    plans: dict[str, WorkflowPlan | None] = {}
    for each in names_in(name):
        path = locate(each)
        plan = None if path is None else plan_of_module(path)
        plans[each if path is None or plan is None else str(path.with_suffix(".py"))] = plan
    if not plans:
        raise ModuleError(f"{name}: no workflows and no generated modules there")
    return plans


def plan_of_module(path: Path) -> WorkflowPlan | None:
    """Return the plan of a module, given by either of its two files; `None` for a file of another kind.

    Raise `InvokeAIGenError`, which names the file, for a plan that is missing or damaged.
    """
    from invokeai_gen.core.plan import NotAPlanError, PlanFormatError, WorkflowPlan

    is_module = path.suffix == ".py"
    file = path.with_suffix(".json") if is_module else path
    try:
        return WorkflowPlan.from_json(read_bytes(file))
    except (InvokeAIGenError, PlanFormatError) as error:
        if is_module:
            from invokeai_gen.runtime.workflow import read_plan

            return read_plan(file)  # raises an error that says what to do
        if isinstance(error, NotAPlanError):
            return None
        raise ModuleError(f"{path}: {error}") from error
