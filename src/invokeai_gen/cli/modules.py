"""Generated modules: found by name, and read through the plan beside each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from invokeai_gen.cli.files import read_bytes
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.cli.settings import Settings
    from invokeai_gen.core.plan import WorkflowPlan


IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp")


class ModuleError(InvokeAIGenError):
    """A generated module that cannot be used."""


def locate(name: str, settings: Settings) -> Path | None:
    """Return the file or the generated module of that name; `None` if it can only be the name of a saved workflow.

    Raise `ModuleError` for a folder, and for a name that looks like that of a file which does not exist.
    """
    path = Path(name)
    if path.is_dir():
        raise ModuleError(f"{name}: this is a folder; name a workflow file or a module in it")
    if path.is_file():
        return path
    if _looks_like_a_file(path):
        raise ModuleError(f"{name}: no such file")
    parts = name.split(".")
    for folder in _module_folders(name, settings) if all(part.isidentifier() for part in parts) else ():
        found = folder.joinpath(*parts).with_suffix(".py")
        if found.is_file():
            return found
    return None


def _looks_like_a_file(path: Path) -> bool:
    return path.suffix.lower() in (".py", ".json", *IMAGE_SUFFIXES) or len(path.parts) > 1


def _module_folders(name: str, settings: Settings) -> Iterator[Path]:
    """Yield the folders to search for a module: the output folder for a name without a dot, then `sys.path`."""
    if "." not in name:
        yield settings.output_path
    yield Path()
    for entry in sys.path:
        if entry and os.path.isdir(entry):
            yield Path(entry)


def find_modules(names: tuple[str, ...], settings: Settings) -> list[tuple[str, WorkflowPlan]]:
    """Return the named modules, and all of the named folders, each with its plan. Raise `ModuleError` if one is missing."""
    found: dict[str, WorkflowPlan] = {}
    for name in names or (str(settings.output_path),):
        folder = Path(name)
        if folder.is_dir():
            paths = [path for path in sorted(folder.glob("*.json")) if path.with_suffix(".py").is_file()]
            if not paths:
                raise ModuleError(f"{folder}: no generated modules there")
        elif not names:
            raise ModuleError(f"{folder}: no such folder; name WORKFLOWS")
        else:
            paths = [path for path in (locate(name, settings),) if path is not None]
        for path in (path.with_suffix(".json") if path.suffix == ".py" else path for path in paths):
            plan = read_plan(path)
            if plan is None:
                raise ModuleError(f"{path}: not the plan of a generated module")
            found[str(path.with_suffix(".py"))] = plan
    return list(found.items())


def read_plan(path: Path) -> WorkflowPlan | None:
    """Return the plan in a file; `None` for a file of another kind. Raise `ModuleError`, which names the file."""
    from invokeai_gen.core.plan import NotAPlanError, PlanFormatError, WorkflowPlan

    try:
        return WorkflowPlan.from_json(read_bytes(path))
    except NotAPlanError:
        return None
    except PlanFormatError as error:
        raise ModuleError(f"{path}: {error}") from error
