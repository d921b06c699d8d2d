"""One generation, as `generate`, `check` and `watch` share it: from what was asked for to what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

import click

from invokeai_gen.cli.options import F, schema_options
from invokeai_gen.cli.servers import open_schema, schema_path
from invokeai_gen.cli.settings import Settings, find_settings
from invokeai_gen.cli.sources import WorkflowSource, find_sources

if TYPE_CHECKING:
    from invokeai_gen.codegen import Report
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema


def generation_options(function: F) -> F:
    """Adds what decides the files of a generation to a command: WORKFLOWS, the output folder, the schema …"""
    function = schema_options(function)
    function = click.option(
        "--keep-names/--no-keep-names",
        default=None,
        help="Keep the Python name of inputs and outputs whose label changed.",
    )(function)
    function = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the package, imported as `from FOLDER import NAME`. Default: that of pyproject.toml, else generated.",
    )(function)
    return click.argument("workflows", type=click.Path(path_type=Path), nargs=-1)(function)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What was asked for."""

    sources: tuple[WorkflowSource, ...]
    output: Path
    openapi: Path | None
    """The openapi.json to use; `None` for that of `server`, or the one that ships."""
    server: str | None
    keep_names: bool | None
    """`None` for modules whose names were kept before."""
    prune: bool
    settings: Settings

    @classmethod
    def of(
        cls,
        workflows: tuple[Path, ...],
        output: Path | None,
        keep_names: bool | None,
        openapi: Path | None,
        server: str | None,
        *,
        prune: bool = False,
    ) -> Generation:
        """The command line, completed from pyproject.toml. Raises where that is wrong, or no file is meant."""
        settings = find_settings()
        return cls(
            sources=tuple(find_sources(workflows, settings)),
            output=output if output is not None else settings.output_path,
            openapi=schema_path(openapi, server, settings),
            server=server,
            keep_names=settings.keep_names if keep_names is None else keep_names,
            prune=prune,
            settings=settings,
        )

    def schema(self) -> Schema:
        """The node types to generate against."""
        return open_schema(self.openapi, self.server, self.settings)


@dataclass(frozen=True, slots=True)
class Message:
    """Something to tell of one workflow file."""

    kind: Literal["error", "warning"]
    source: str
    lines: tuple[str, ...]

    def tell(self) -> None:
        from invokeai_gen.cli.terminal import tell

        tell(self.kind, self.lines, source=self.source)


@dataclass(slots=True)
class Outcome:
    """What became of it, so that it can be told now, and once more by a run that finds nothing changed."""

    messages: list[Message] = field(default_factory=list)
    news: list[str] = field(default_factory=list)
    """Lines about modules, and files that they share, that changed."""
    kept: list[str] = field(default_factory=list)
    """Lines about modules whose workflow is gone."""
    unchanged: list[str] = field(default_factory=list)
    """Modules that are as they were."""
    written_modules: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Every workflow has a module."""
        return not any(message.kind == "error" for message in self.messages)


def run(generation: Generation, schema: Schema, advance: Callable[[str], None]) -> Outcome:
    """Write what changed; a workflow that cannot be used keeps no other from being written."""
    from invokeai_gen.codegen import generate

    outcome = Outcome()
    plans, outcome.messages = compile_all(generation.sources, schema, advance)
    if plans:
        advance("writing modules")
        report = generate(
            plans,
            generation.output,
            schemas=schema.schemas,
            keep_names=generation.keep_names,
            prune=generation.prune and outcome.is_complete,
        )
        _note(report, generation.output, outcome)
    return outcome


def compile_all(
    sources: Iterable[WorkflowSource], schema: Schema, advance: Callable[[str], None]
) -> tuple[dict[PurePath, WorkflowPlan], list[Message]]:
    """The plans of all files that have one, and what there is to tell of any."""
    from invokeai_gen.cli.sources import compile_file
    from invokeai_gen.cli.terminal import lines_of
    from invokeai_gen.compiler import NotReadyError
    from invokeai_gen.workflow import WorkflowError

    plans: dict[PurePath, WorkflowPlan] = {}
    messages = []
    for source in sources:
        advance(source.path.name)
        try:
            plans[source.name], warnings = compile_file(source.path, schema)
        except (WorkflowError, NotReadyError) as error:
            messages.append(Message("error", str(source), tuple(lines_of(error))))
        else:
            if warnings:
                messages.append(Message("warning", str(source), tuple(warnings)))
    return plans, messages


def _note(report: Report, output: Path, outcome: Outcome) -> None:
    for module in report.modules:
        if module.status == "unchanged":
            outcome.unchanged.append(str(module.name))
            continue
        outcome.written_modules.append(str(module.name))
        outcome.news.append(f"{module.status:<9} {output / module.name}.py  ({module.source})")
        outcome.news += [f"          {change}" for change in module.changes]
    if not outcome.written_modules:  # else it goes without saying that what they share was written too
        outcome.news += [f"written   {output / name}" for name in report.written]
    outcome.news += [f"removed   {output / name}" for name in report.removed]
    if not report.removed:
        outcome.kept = [
            f"kept      {output / name}.py  (its workflow is gone; --prune removes it)" for name in report.vanished
        ]
