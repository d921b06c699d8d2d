"""The workflow that a person names: by an exported file, an image, a generated module, or a name in the library."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from invokeai_gen.cli.modules import ModuleError, locate, plan_of_module
from invokeai_gen.cli.settings import find_settings
from invokeai_gen.errors import InvokeAIGenError

if TYPE_CHECKING:
    from invokeai_gen.compiler import Compilation
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema
    from invokeai_gen.workflow import WorkflowFile


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
            server = server if openapi is None else None
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


def _from_library(name: str, openapi: Path | None, server: str | None) -> tuple[WorkflowFile, Schema]:
    """Return a workflow of the server's library by its name or id. Raise `ModuleError` if it is not found."""
    from invokeai_gen.cli.library import LibraryError, find_saved, stem_of
    from invokeai_gen.cli.servers import fetch_openapi, open_client
    from invokeai_gen.schema import Schema, load_schema
    from invokeai_gen.server.errors import ServerError
    from invokeai_gen.workflow.load import parse_workflow_file

    nowhere = f"{name}: no such file, no generated module of that name"
    try:
        with open_client(server) as client:
            saved = client.workflows.get(find_saved(name, client.workflows.list()).workflow_id)
            schema = Schema(fetch_openapi(client), source=client.url) if openapi is None else load_schema(openapi)
    except LibraryError as error:
        raise ModuleError(f"{nowhere}, and {error}") from error
    except ServerError as error:
        raise ModuleError(f"{nowhere}, and the server's library cannot be searched: {error}") from error
    content = json.dumps(saved.workflow, ensure_ascii=True).encode()
    return parse_workflow_file(f"{stem_of(saved.name)}.json", content), schema


def _short(path: Path) -> str:
    """Return a path relative to the working directory if it is below that, else as it is."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
