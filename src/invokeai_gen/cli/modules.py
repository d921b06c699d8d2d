"""Generated modules: found by name, and read through the plan beside each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invokeai_gen.cli.files import read_bytes
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan


class ModuleError(InvokeAIGenError):
    """A generated module that cannot be used."""


def find_module(name: str, output: Path) -> Path | None:
    """Return the path of the plan of a module, given by name or path; any other existing file is returned as it is.

    Raise `ModuleError` if neither is found.
    """
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file():
            raise ModuleError(f"{path}: no such file")
        return path.with_suffix(".json")
    if path.exists():
        return path
    if path.suffix:
        raise ModuleError(f"{path}: no such file")
    named = output / f"{name}.json"
    if not named.is_file():
        raise ModuleError(f"{name}: no such file, and no module of that name in {output}")
    return named


def find_modules(names: tuple[str, ...], output: Path) -> list[tuple[str, WorkflowPlan]]:
    """Return the named modules, and all of the named folders, each with its plan. Raise `ModuleError` if one is missing."""
    found: dict[str, WorkflowPlan] = {}
    for name in names or (str(output),):
        folder = Path(name)
        if folder.is_dir():
            paths = [path for path in sorted(folder.glob("*.json")) if path.with_suffix(".py").is_file()]
            if not paths:
                raise ModuleError(f"{folder}: no generated modules there")
        elif not names:
            raise ModuleError(f"{folder}: no such folder; name WORKFLOWS")
        else:
            paths = [path for path in (find_module(name, output),) if path is not None]
        for path in paths:
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
