"""`generate`: write one typed Python module for each workflow."""

from __future__ import annotations

import keyword
import sys
import time
from pathlib import Path

import click

from invokeai_gen.cli.generate.generation import Generation, Outcome, generation_options


@click.command("generate", short_help="Write one typed Python module for each workflow.")
@generation_options
@click.option("--prune", is_flag=True, help="Remove modules whose workflow is not among WORKFLOWS any more.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing of what went well.")
@click.option("-v", "--verbose", is_flag=True, help="Name the modules that stay as they are, too.")
def command(
    workflows: tuple[Path, ...],
    output: Path | None,
    keep_names: bool | None,
    prune: bool,
    quiet: bool,
    verbose: bool,
    openapi: Path | None,
    server: str | None,
) -> None:
    """Write one typed Python module for each workflow, into a package of their own.

    WORKFLOWS are JSON files exported from the InvokeAI workflow editor, or folders of them; by default those that
    [tool.invokeai-gen] in pyproject.toml names (see `invokeai-gen init`). Only what changed is written, each file whole
    or not at all. A workflow that cannot be used is reported, and the others are still written; then the exit code is 1.

    \b
    Examples:
      invokeai-gen generate
      invokeai-gen generate portrait.json
      invokeai-gen generate workflows -o src/mine/workflows --server http://localhost:9090
    """
    started = time.perf_counter()
    outcome = generate(
        Generation.of(workflows, output, keep_names, openapi, server, prune=prune), quiet=quiet, verbose=verbose
    )
    if verbose:
        click.echo(f"{time.perf_counter() - started:.2f} s")
    sys.exit(0 if outcome.is_complete else 1)


def generate(generation: Generation, *, quiet: bool = False, verbose: bool = False) -> Outcome:
    """Do it, or find that there is nothing to do, and tell what came of it."""
    from invokeai_gen.cli.generate import build_cache
    from invokeai_gen.cli.generate.generation import run
    from invokeai_gen.cli.terminal import progress

    inputs = build_cache.inputs_digest(generation)
    outcome = build_cache.load(generation, inputs)
    if outcome is None:
        with progress("generate", len(generation.sources) + 1, quiet=quiet) as advance:
            outcome = run(generation, generation.schema(), advance)
        if outcome.unchanged or outcome.written_modules:
            build_cache.store(generation, inputs, outcome)
    say(outcome, generation.output, quiet=quiet, verbose=verbose)
    return outcome


def say(outcome: Outcome, output: Path, *, quiet: bool = False, verbose: bool = False) -> None:
    """Tell what became of a generation."""
    from invokeai_gen.cli.terminal import one_line, tell

    for message in outcome.messages:
        message.tell()
    unchanged, written = len(outcome.unchanged), len(outcome.written_modules)
    count = unchanged + written
    if not count:
        tell("error", ["no module was written"])
        return
    package = output.resolve().name
    if not package.isidentifier() or keyword.iskeyword(package):
        tell(
            "warning",
            [f"{output}: Python cannot import a folder of this name; choose another for `from FOLDER import …`"],
        )
    if not quiet:
        told = [f"unchanged {output / name}.py" for name in outcome.unchanged] if verbose else []
        for line in (*outcome.news, *told, *outcome.kept):
            click.echo(one_line(line))
        click.echo(f"{count} module{'s' * (count != 1)} in {output}, {written} written, {unchanged} unchanged")
