"""The workflow that a person names: by an exported file, an image, a generated module, or a name in the library."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from invokeai_gen.cli.files import read_bytes
from invokeai_gen.cli.help import did_you_mean
from invokeai_gen.cli.settings import find_settings
from invokeai_gen.core.file_names import safe_name
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.compiler import Compilation
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema
    from invokeai_gen.server.workflows import SavedWorkflow
    from invokeai_gen.workflow import WorkflowFile

_SUFFIXES: Final = (".py", ".json", ".png", ".jpg", ".jpeg", ".webp")
"""What a name that ends so can only be: the name of a file."""
_MAX_NAME: Final = 80
"""Letters of a file name; in UTF-8 it has at most twice as many bytes."""


class LibraryError(InvokeAIGenError):
    """A workflow of a server's library that is missing, ambiguous, or cannot be changed."""


@dataclass(frozen=True, slots=True)
class NamedWorkflow:
    """A workflow whose inputs and outputs have names."""

    shown: str
    """What names it on a command line, as short as possible."""
    stem: str
    """Its name without folders and suffix; the default folder of results is made from it."""
    plan: WorkflowPlan
    compiled: Compilation | None = None
    """The workflow and what the GUI would warn of; `None` for a generated module."""
    schema: Schema | None = None
    """The node types that it was compiled for."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the GUI would warn of when it opens the workflow."""
        return () if self.compiled is None else self.compiled.warnings


def find_workflow(
    name: str,
    openapi: Path | None,
    server: str | None,
    *,
    schema: Callable[[], Schema] | None = None,
    validate: bool = True,
) -> NamedWorkflow:
    """Return the workflow behind a name, compiled now unless it is a generated module, which is not imported.

    Look for a file, then for a module (by file or dotted name), and then, unless the name looks like that of a file, in
    the library of the server, whose node types are used for it. `schema` gives the node types for files, by default those
    of `open_schema`. `validate=False` also accepts a workflow that the GUI would not invoke. Raise `InvokeAIGenError`,
    which has the name.
    """
    path = locate(name)
    shown = name if path is None else _short(path)
    if path is not None and (plan := plan_of_module(path)) is not None:
        return NamedWorkflow(shown, path.stem, plan)
    from invokeai_gen.cli.servers import open_schema
    from invokeai_gen.codegen.names import assign_names
    from invokeai_gen.compiler import NotReadyError, compile_workflow
    from invokeai_gen.workflow import WorkflowError, read_workflow_file

    try:
        if path is None:
            file, known = _from_library(name, openapi, server)
        else:
            file = read_workflow_file(path)
            known = schema() if schema is not None else open_schema(openapi, server)
        compiled = compile_workflow(file, known, validate=validate)
    except (WorkflowError, NotReadyError) as error:
        raise InvokeAIGenError("\n".join(f"{shown}: {line.strip()}" for line in str(error).splitlines())) from error
    source = path or PurePath(file.name)
    output = find_settings().output_path
    if any(output.glob("*.py")):
        from invokeai_gen.codegen.writer import named_as_in

        plan = named_as_in(output, source, compiled.plan)
    else:  # the rest of the generator is not needed
        plan = assign_names(compiled.plan)
    return NamedWorkflow(shown, source.stem, plan, compiled, known)


def _short(path: Path) -> str:
    """Return a path relative to the working directory if it is below that, else as it is."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def locate(name: str) -> Path | None:
    """Return the file or the generated module of that name; `None` if it can only be the name of a saved workflow.

    Raise `InvokeAIGenError` for a folder, and for a name that is empty or looks like that of a file which does not exist.
    """
    path = Path(name)
    if not name.strip():
        raise InvokeAIGenError("the name of the workflow is empty")
    if path.is_dir():
        raise InvokeAIGenError(f"{name}: this is a folder; name a workflow file or a module in it")
    if path.is_file():
        return path
    if path.suffix.lower() in _SUFFIXES or len(path.parts) > 1:
        raise InvokeAIGenError(f"{name}: no such file")
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    folders = [Path(), *map(Path, sys.path)]
    if len(parts) == 1:
        folders.insert(0, find_settings().output_path)
    candidates = (folder.joinpath(*parts).with_suffix(".py") for folder in folders)
    return next((path for path in candidates if path.is_file()), None)


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
        raise InvokeAIGenError(f"{name}: no workflows and no generated modules there")
    return plans


def plan_of_module(path: Path) -> WorkflowPlan | None:
    """Return the plan of a module, given by either of its two files; `None` for a file of another kind.

    Raise `InvokeAIGenError`, which names the file, for a plan that is missing or damaged.
    """
    from invokeai_gen.core.plan import NotAPlanError, PlanFormatError, WorkflowPlan

    if path.suffix == ".py":
        from invokeai_gen.runtime.workflow import read_plan

        return read_plan(path.with_suffix(".json"))
    try:
        return WorkflowPlan.from_json(read_bytes(path))
    except NotAPlanError:
        return None
    except PlanFormatError as error:
        raise InvokeAIGenError(f"{path}: {error}") from error


def _from_library(name: str, openapi: Path | None, server: str | None) -> tuple[WorkflowFile, Schema]:
    """Return a workflow of the server's library by its name or id. Raise `InvokeAIGenError` if it is not found."""
    from invokeai_gen.cli.servers import fetch_schema, open_client
    from invokeai_gen.schema import load_schema
    from invokeai_gen.server.errors import ServerError
    from invokeai_gen.workflow.load import parse_workflow_file

    nowhere = f"{name}: no such file, no generated module of that name"
    try:
        with open_client(server) as client:
            saved = client.workflows.get(find_saved(name, client.workflows.list()).workflow_id)
            schema = fetch_schema(client) if openapi is None else load_schema(openapi)
    except LibraryError as error:
        raise InvokeAIGenError(f"{nowhere}, and {error}") from error
    except ServerError as error:
        raise InvokeAIGenError(f"{nowhere}, and the server's library cannot be searched: {error}") from error
    content = json.dumps(saved.workflow, ensure_ascii=True).encode()
    return parse_workflow_file(f"{stem_of(saved.name)}.json", content), schema


def find_saved(wanted: str, listed: Sequence[SavedWorkflow]) -> SavedWorkflow:
    """Return the workflow with that id, else the only one with that name. Raise `LibraryError` otherwise."""
    found = [item for item in listed if item.workflow_id == wanted] or [item for item in listed if item.name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(item.workflow_id for item in found)
        raise LibraryError(f"{len(found)} workflows are called {wanted!r}; choose one by its id: {ids}")
    hint = did_you_mean(wanted, (item.name for item in listed)) or "; `invokeai-gen workflows list` shows all"
    raise LibraryError(f"no workflow has the name or id {wanted!r}{hint}")


def file_names(workflows: Sequence[SavedWorkflow]) -> dict[str, str]:
    """Return a file name for each workflow, by id: a plain name that stays in its folder, whatever the server sends.

    If several have one name, their ids are added.
    """
    stems = {item.workflow_id: stem_of(item.name) for item in workflows}
    taken = [stem.casefold() for stem in stems.values()]
    return {
        key: f"{stem}.json" if taken.count(stem.casefold()) == 1 else f"{stem}-{stem_of(key)}.json"
        for key, stem in stems.items()
    }


def stem_of(name: str) -> str:
    """Return a name of letters, digits and `-`, without separators, dots, controls and the device names of Windows."""
    text = "".join(char if char.isalnum() else "-" for char in unicodedata.normalize("NFKC", name))
    text = "-".join(filter(None, text.split("-")))[:_MAX_NAME].strip("-") or "workflow"
    while len(text.encode()) > 2 * _MAX_NAME:
        text = text[:-1]
    return text if safe_name(text) == text else f"{text}-workflow"
