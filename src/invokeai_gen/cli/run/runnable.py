"""What the command `run` can run: the workflow behind the name of a file or module, found without importing anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from invokeai_gen.cli.modules import ModuleError
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.cli.settings import Settings
    from invokeai_gen.core.plan import WorkflowPlan


@dataclass(frozen=True, slots=True)
class Runnable:
    """A workflow whose inputs and outputs have names."""

    shown: str
    """What the command line calls it, as short as it can be."""
    stem: str
    """The name of its file, without folders and suffix."""
    plan: WorkflowPlan
    warnings: tuple[str, ...] = ()
    """What the GUI would mention when it opens the workflow."""


def find_runnable(name: str, openapi: Path | None, server: str | None, settings: Settings) -> Runnable:
    """The workflow of an exported file, of a generated module (its file or its dotted name), or of a module's plan.

    Raises `InvokeAIGenError`, which names the file.
    """
    from invokeai_gen.cli.modules import read_plan as read_json
    from invokeai_gen.runtime.workflow import read_plan

    path = _locate(name, settings)
    shown = _short(path)
    if path.suffix == ".py":
        return Runnable(shown, path.stem, read_plan(path.with_suffix(".json")))
    plan = read_json(path)
    if plan is not None:
        return Runnable(shown, path.stem, plan)
    return _compiled(path, shown, openapi, server, settings)


def _compiled(path: Path, shown: str, openapi: Path | None, server: str | None, settings: Settings) -> Runnable:
    from invokeai_gen.cli.sources import compile_file, open_schema
    from invokeai_gen.codegen import assign_names
    from invokeai_gen.compiler import NotReadyError
    from invokeai_gen.workflow import WorkflowError

    schema = open_schema(openapi, None if openapi is not None else server, settings)
    try:
        plan, warnings = compile_file(path, schema)
    except (WorkflowError, NotReadyError) as error:
        raise InvokeAIGenError("\n".join(f"{shown}: {line.strip()}" for line in str(error).splitlines())) from error
    return Runnable(shown, path.stem, assign_names(plan), tuple(warnings))


def _locate(name: str, settings: Settings) -> Path:
    path = Path(name)
    if path.is_dir():
        raise ModuleError(f"{name}: a folder; name a workflow file or a module in it")
    if path.suffix in (".py", ".json") or path.is_file():
        if not path.is_file():
            raise ModuleError(f"{name}: no such file")
        return path
    parts = name.split(".")
    for folder in _module_folders(name, settings) if all(part.isidentifier() for part in parts) else ():
        found = folder.joinpath(*parts).with_suffix(".py")
        if found.is_file():
            return found
    raise ModuleError(
        f"{name}: no such file, and no generated module of that name; "
        "give an exported workflow (.json), a generated module (.py), or its dotted name"
    )


def _module_folders(name: str, settings: Settings) -> Iterator[Path]:
    """Where a module may be: in the working directory and where Python looks; without a dot, in the output folder first."""
    if "." not in name:
        yield settings.output_path
    yield Path()
    for entry in sys.path:
        if entry and os.path.isdir(entry):
            yield Path(entry)


def _short(path: Path) -> str:
    """A path from the working directory where it leads there, else as it is."""
    if not path.is_absolute():
        return str(path)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
