"""A cache of the last generation: the next one only writes what changed, and nothing if nothing did.

The note records contents, never dates: which bytes of workflows, node types and generator gave which bytes of output.
A text is reused only if the file on disk still has exactly those bytes. The note is in the `__pycache__` of the output
folder, with other things that belong to one machine: safe to delete, and in no repository. `check` never reads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from invokeai_gen.atomic_files import replacing
from invokeai_gen.cli.generate.generation import Generation
from invokeai_gen.cli.sources import WorkflowSource
from invokeai_gen.codegen.report import Report
from invokeai_gen.records import record
from invokeai_gen.version import __version__

_FORMAT: Final = 3
_TOOLS: Final = ("black", "datamodel_code_generator", "jinja2")
"""Tools that decide the bytes of the output."""

_PACKAGE: Final = Path(__file__).resolve().parents[2]
_CHECKOUT: Final = _PACKAGE.parents[1]


@record(frozen=True, slots=True)
class _Compiled:
    """What became of a workflow file with the same bytes."""

    plan_file: str
    """The plan in the output folder; empty if the workflow cannot be used."""
    plan: str
    """Digest of that file."""
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


@record(slots=True)
class BuildCache:
    """What the last generation left behind."""

    inputs: str | None
    """Digest of everything that this generation depends on; `None` if it also depends on a server."""
    generator: str | None
    """Digest of the generator itself; `None` if it cannot be read."""
    reports: tuple[Report, ...] | None = None
    """The reports of the last generation, if this one would change nothing."""
    texts: dict[str, str] = field(default_factory=dict)
    """Digests of the sources and of the files that were generated from them."""
    compiled: dict[str, _Compiled] = field(default_factory=dict)
    """What became of workflow files, by the digest of everything that a plan depends on."""

    def compiled_before(self, source: WorkflowSource, generation: Generation) -> _Compiled | None:
        """Return the cached result for a workflow file; `None` if it has to be compiled, or its plan on disk has changed."""
        key = _source_digest(source, generation, self.generator)
        found = self.compiled.get(key) if key is not None else None
        if found is None or not found.plan_file:
            return found
        try:
            return found if _content(generation.output / found.plan_file) == found.plan else None
        except OSError:
            return None


def note_path(output: Path) -> Path:
    """Return the path of the cache of an output folder."""
    return output / "__pycache__" / "invokeai-gen.json"


def load(generation: Generation) -> BuildCache:
    """Load the cache of the last generation; empty if it is missing or was written by another version."""
    generator = _generator_digest()
    cache = BuildCache(_inputs_digest(generation, generator), generator)
    if generator is None:
        return cache
    try:
        note = json.loads(note_path(generation.output).read_bytes())
        if note["generator"] != generator:
            return cache
        cache.texts = {str(key): str(value) for key, value in note["texts"].items()}
        cache.compiled = {
            str(key): _Compiled(item["plan_file"], item["plan"], tuple(item["errors"]), tuple(item["warnings"]))
            for key, item in note["compiled"].items()
        }
        is_same = cache.inputs is not None and note["inputs"] == cache.inputs
        if is_same and note["outputs"] == _outputs_digest(generation.output):
            cache.reports = tuple(_report(item) for item in note["reports"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return BuildCache(cache.inputs, generator)
    return cache


def store(generation: Generation, cache: BuildCache, reports: Sequence[Report]) -> None:
    """Leave a note for the next generation."""
    if cache.generator is None:
        return
    inputs = cache.inputs
    if inputs != _inputs_digest(generation, cache.generator):  # a file changed meanwhile, or a server was asked
        inputs = None
    note = {
        "generator": cache.generator,
        "inputs": inputs,
        "outputs": _outputs_digest(generation.output),
        "reports": [asdict(_once_more(report)) for report in reports if report.source or report.status == "left"],
        "texts": cache.texts,
        "compiled": {key: asdict(item) for key, item in _compiled(generation, cache, reports)},
    }
    path = note_path(generation.output)
    # Without a note the next generation takes longer, that is all.
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(note).encode())


def _compiled(generation: Generation, cache: BuildCache, reports: Sequence[Report]) -> Iterator[tuple[str, _Compiled]]:
    """Yield the result for each workflow file, with its key in the cache."""
    problems = {report.source: report for report in reports if not report.file}
    modules = {report.source: report for report in reports if report.is_module}
    for source in generation.sources:
        key = _source_digest(source, generation, cache.generator)
        problem, module = problems.get(str(source)), modules.get(str(source.name))
        if key is None or (module is None and (problem is None or not problem.errors)):
            continue
        plan_file = f"{module.name}.json" if module is not None else ""
        yield (
            key,
            _Compiled(
                plan_file,
                _content(generation.output / plan_file) if plan_file else "",
                problem.errors if problem is not None else (),
                problem.warnings if problem is not None else (),
            ),
        )


def _source_digest(source: WorkflowSource, generation: Generation, generator: str | None) -> str | None:
    """Return the digest of everything that the plan of a workflow file depends on, if no server is asked."""
    if generation.server is not None or generator is None:
        return None
    try:
        schema = _content(generation.openapi) if generation.openapi is not None else ""
        return _digest(generator, schema, str(source.name), str(source), _content(source.path))
    except OSError:
        return None


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _once_more(report: Report) -> Report:
    """Return the report of a next generation that changes nothing."""
    if report.status in ("new", "changed"):
        return replace(report, status="unchanged", reason=None, changes=())
    return report


def _report(data: dict[str, Any]) -> Report:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Report(**values)


def _inputs_digest(generation: Generation, generator: str | None) -> str | None:
    if generation.server is not None or generator is None:
        return None
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        digest.update(repr(parts).encode("utf-8", "surrogatepass"))

    try:
        add(generator, generation.keep_names, generation.rename, generation.prune)
        add(os.path.realpath(generation.output))
        for source in generation.sources:
            add(str(source.name), str(source), _content(source.path))
        if generation.openapi is not None:
            add(str(generation.openapi), _content(generation.openapi))
    except OSError:
        return None
    return digest.hexdigest()


def _outputs_digest(output: Path) -> str:
    digest = hashlib.sha256()
    for entry in sorted(os.scandir(output), key=lambda entry: entry.name):
        if entry.is_file():
            digest.update(repr((entry.name, _content(Path(entry.path)))).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _generator_digest() -> str | None:
    digest = hashlib.sha256(repr((_FORMAT, __version__, sys.version_info[:3])).encode())
    try:
        digest.update(repr(_tool_releases()).encode())
        for path in _generator_files():
            digest.update(repr((path, _content(Path(path)))).encode("utf-8", "surrogatepass"))
    except OSError:
        return None
    return digest.hexdigest()


def _generator_files() -> Iterator[str]:
    """Yield the files of the generator: what reads, compiles and writes, its templates and snapshot, and its tools."""
    for part in ("codegen", "compiler", "core", "schema", "workflow"):
        yield from _files_below(str(_PACKAGE / part))
    yield from (str(path) for path in sorted(_PACKAGE.glob("*.py")))
    if (_CHECKOUT / "templates").is_dir():
        yield from _files_below(str(_CHECKOUT / "templates"))
        yield str(_CHECKOUT / "data" / "openapi.json")
    else:
        yield from _files_below(str(_PACKAGE / "_shipped"))


def _tool_releases() -> list[str]:
    """Return the names of the folders in which the tools are described, which have their versions."""
    homes = {Path(spec.origin).parents[1] for tool in _TOOLS if (spec := find_spec(tool)) and spec.origin}
    heads = tuple(f"{tool}-" for tool in _TOOLS)
    return sorted(name for home in homes for name in os.listdir(home) if name.startswith(heads))


def _files_below(folder: str) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name == "__pycache__":
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path)
        elif entry.is_file():
            yield entry.path
