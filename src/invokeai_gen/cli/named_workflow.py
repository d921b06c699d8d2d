"""The workflow that a person names: by an exported file, an image, a generated module, or a name in the library."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from invokeai_gen.cli.modules import IMAGE_SUFFIXES, ModuleError, locate
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.cli.settings import Settings
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema
    from invokeai_gen.workflow import WorkflowFile


@dataclass(frozen=True, slots=True)
class NamedWorkflow:
    """A workflow whose inputs and outputs have names."""

    shown: str
    """What the user called it, as short as possible."""
    argument: str
    """What names it on a command line."""
    stem: str
    """Its name without folders and suffix; the default folder of results is made from it."""
    plan: WorkflowPlan
    warnings: tuple[str, ...] = ()
    """What the GUI would warn of when it opens the workflow."""


def find_workflow(
    name: str,
    openapi: Path | None,
    server: str | None,
    settings: Settings,
    *,
    schema: Callable[[], Schema] | None = None,
) -> NamedWorkflow:
    """Return the workflow behind a name, compiled now unless it is a generated module, which is not imported.

    Look for a file, then for a module (by file or dotted name), and then, unless the name looks like that of a file, in
    the library of the server, whose node types are used for it. `schema` gives the node types for files, by default those
    of `open_schema`. Raise `InvokeAIGenError`, which has the name.
    """
    from invokeai_gen.cli.file_kinds import kind_of_file
    from invokeai_gen.cli.modules import read_plan
    from invokeai_gen.runtime.workflow import read_plan as read_plan_beside

    path = locate(name, settings)
    if path is not None and path.suffix == ".py":
        return NamedWorkflow(_short(path), _short(path), path.stem, read_plan_beside(path.with_suffix(".json")))
    is_json = path is not None and path.suffix.lower() not in IMAGE_SUFFIXES and not kind_of_file(path)
    if path is not None and is_json and (plan := read_plan(path)) is not None:
        return NamedWorkflow(_short(path), _short(path), path.stem, plan)
    from invokeai_gen.codegen.writer import named_as_in
    from invokeai_gen.compiler import NotReadyError, compile_workflow
    from invokeai_gen.workflow import WorkflowError

    opened = open_workflow(path, name, openapi, server, settings, schema=schema)
    try:
        compiled = compile_workflow(opened.file, opened.schema)
    except (WorkflowError, NotReadyError) as error:
        raise _about(opened.shown, opened.kind or error) from error
    source = PurePath(path if path is not None else f"{opened.stem}.json")
    plan = named_as_in(settings.output_path, source, compiled.plan)
    argument = opened.shown if path is not None else name
    return NamedWorkflow(opened.shown, argument, opened.stem, plan, tuple(map(str, compiled.warnings)))


@dataclass(frozen=True, slots=True)
class OpenedWorkflow:
    """A workflow that has been read and not yet looked at, with the node types to compile it with."""

    shown: str
    stem: str
    file: WorkflowFile
    schema: Schema
    kind: str = ""
    """What the file is instead of a workflow; empty for a workflow."""


def open_workflow(
    path: Path | None,
    name: str,
    openapi: Path | None,
    server: str | None,
    settings: Settings,
    *,
    schema: Callable[[], Schema] | None = None,
) -> OpenedWorkflow:
    """Read the file at `path`, or if it is `None` the workflow of that name in the server's library.

    Raise `InvokeAIGenError`, which has the name.
    """
    from invokeai_gen.cli.file_kinds import kind_of_file
    from invokeai_gen.cli.servers import open_schema
    from invokeai_gen.workflow import WorkflowError, read_workflow_file

    if path is None:
        return _from_library(name, openapi, server, settings)
    known = schema() if schema is not None else open_schema(openapi, None if openapi is not None else server, settings)
    shown, kind = _short(path), kind_of_file(path)
    try:
        return OpenedWorkflow(shown, path.stem, read_workflow_file(path), known, kind)
    except WorkflowError as error:
        raise _about(shown, kind or error) from error


def _from_library(name: str, openapi: Path | None, server: str | None, settings: Settings) -> OpenedWorkflow:
    """Return a workflow of the server's library by its name or id. Raise `ModuleError` if it is not found."""
    from invokeai_gen.cli.library import LibraryError, find_saved, stem_of
    from invokeai_gen.cli.servers import fetch_openapi, open_client, schema_path
    from invokeai_gen.schema import Schema, load_schema
    from invokeai_gen.server.errors import ServerError
    from invokeai_gen.workflow.load import parse_workflow_file

    nowhere = f"{name}: no such file, no generated module of that name"
    try:
        with open_client(server, settings) as client:
            saved = client.workflows.get(find_saved(name, client.workflows.list()).workflow_id)
            given = schema_path(openapi, None, settings) if openapi is not None else None
            schema = load_schema(given) if given is not None else Schema(fetch_openapi(client), source=client.url)
    except LibraryError as error:
        raise ModuleError(f"{nowhere}, and {error}") from error
    except ServerError as error:
        raise ModuleError(f"{nowhere}, and the server's library cannot be searched: {error}") from error
    stem = stem_of(saved.name)
    content = json.dumps(saved.workflow, ensure_ascii=True).encode()
    return OpenedWorkflow(repr(saved.name), stem, parse_workflow_file(f"{stem}.json", content), schema)


def _about(shown: str, problem: Exception | str) -> InvokeAIGenError:
    """Return an error that has the name of the file before each line."""
    return InvokeAIGenError("\n".join(f"{shown}: {line.strip()}" for line in str(problem).splitlines()))


def _short(path: Path) -> str:
    """Return a path relative to the working directory if it is below that, else as it is."""
    if not path.is_absolute():
        return str(path)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
