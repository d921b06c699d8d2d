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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from invokeai_gen.atomic_files import replacing
from invokeai_gen.cli.generate.generation import Generation
from invokeai_gen.cli.sources import WorkflowSource
from invokeai_gen.codegen.report import Report
from invokeai_gen.version import __version__

_FORMAT: Final = 4
_TOOLS: Final = ("black", "datamodel_code_generator")
"""Tools that decide the bytes of the output."""

_PACKAGE: Final = Path(__file__).resolve().parents[2]
_CHECKOUT: Final = _PACKAGE.parents[1]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What became of a workflow file with the same bytes."""

    plan_file: str
    """The plan in the output folder; empty if the workflow cannot be used."""
    plan: str
    """Digest of that file."""
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class BuildCache:
    """What the last generation left behind."""

    generator: str | None
    """Digest of the generator itself; `None` if it cannot be read."""
    keys: Mapping[WorkflowSource, str]
    """Digest of everything that the plan of a workflow file depends on; none if that is also a server."""
    reports: tuple[Report, ...] | None = None
    """The reports of the last generation, if this one would change nothing."""
    texts: dict[str, str] = field(default_factory=dict)
    """Digests of the sources and of the files that were generated from them."""
    compiled: dict[str, _Compiled] = field(default_factory=dict)
    """What became of workflow files, by their key."""

    def compiled_before(self, source: WorkflowSource, generation: Generation) -> _Compiled | None:
        """Return the cached result for a workflow file; `None` if it has to be compiled, or its plan on disk has changed."""
        found = self.compiled.get(self.keys.get(source, ""))
        if found is None or not found.plan_file:
            return found
        return found if _content(generation.output / found.plan_file) == found.plan else None


def note_path(output: Path) -> Path:
    """Return the path of the cache of an output folder."""
    return output / "__pycache__" / "invokeai-gen.json"


def load(generation: Generation) -> BuildCache:
    """Load the cache of the last generation; empty if it is missing or was written by another version."""
    generator = _generator_digest()
    cache = BuildCache(generator, _keys(generation, generator))
    try:
        note = json.loads(note_path(generation.output).read_bytes())
        if generator is None or note["generator"] != generator:
            return cache
        cache.texts = {str(key): str(value) for key, value in note["texts"].items()}
        cache.compiled = {
            str(key): _Compiled(item["plan_file"], item["plan"], tuple(item["errors"]), tuple(item["warnings"]))
            for key, item in note["compiled"].items()
        }
        inputs = _inputs(generation, cache.keys)
        if inputs and note["inputs"] == inputs and note["outputs"] == _outputs(generation.output):
            cache.reports = tuple(_report(item) for item in note["reports"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return BuildCache(generator, cache.keys)
    return cache


def store(generation: Generation, cache: BuildCache, reports: Sequence[Report]) -> None:
    """Leave a note for the next generation."""
    if cache.generator is None:
        return
    now = _keys(generation, cache.generator)
    # A file that was changed meanwhile may have been compiled before or after that.
    keys = {source: key for source, key in cache.keys.items() if now.get(source) == key}
    note = {
        "generator": cache.generator,
        "inputs": _inputs(generation, keys),
        "outputs": _outputs(generation.output),
        "reports": [asdict(_once_more(report)) for report in reports if report.source or report.status == "left"],
        "texts": cache.texts,
        "compiled": {key: asdict(item) for key, item in _compiled(generation, keys, reports)},
    }
    path = note_path(generation.output)
    # Without a note the next generation takes longer, that is all.
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(note).encode())


def _compiled(
    generation: Generation, keys: Mapping[WorkflowSource, str], reports: Sequence[Report]
) -> Iterator[tuple[str, _Compiled]]:
    """Yield the result for each workflow file, with its key in the cache."""
    problems = {report.source: report for report in reports if not report.file}
    modules = {report.source: report for report in reports if report.is_module}
    for source, key in keys.items():
        problem, module = problems.get(str(source)), modules.get(str(source.name))
        errors, warnings = (problem.errors, problem.warnings) if problem is not None else ((), ())
        plan_file = f"{module.name}.json" if module is not None else ""
        plan = _content(generation.output / plan_file) if plan_file else ""
        if errors or plan:
            yield key, _Compiled(plan_file, plan or "", errors, warnings)


def _keys(generation: Generation, generator: str | None) -> dict[WorkflowSource, str]:
    """Return the key of each workflow file that can be read; none if a server is asked."""
    schema = _content(generation.openapi) if generation.openapi is not None else ""
    if generation.server is not None or generator is None or schema is None:
        return {}
    return {
        source: _digest(generator, schema, str(source.name), str(source), content)
        for source in generation.sources
        if (content := _content(source.path)) is not None
    }


def _inputs(generation: Generation, keys: Mapping[WorkflowSource, str]) -> str | None:
    """Return a digest of everything that a generation depends on; `None` if a part of it has no key."""
    if len(keys) < len(set(generation.sources)):
        return None
    options = (generation.keep_names, generation.rename, generation.prune, str(generation.openapi))
    return _digest(*options, os.path.realpath(generation.output), [keys[source] for source in generation.sources])


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


def _outputs(output: Path) -> str:
    """Return a digest of the files in the output folder."""
    contents = ((name, _content(output / name)) for name in sorted(os.listdir(output)))
    return _digest(*((name, content) for name, content in contents if content is not None))


def _content(path: Path) -> str | None:
    """Return the digest of a file; `None` if it cannot be read, as a folder."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _generator_digest() -> str | None:
    """Return a digest of whatever decides the bytes of the output; `None` if a part of it cannot be read."""
    try:
        contents = [(path, _content(Path(path))) for path in _generator_files()]
        if any(content is None for _, content in contents):
            return None
        return _digest(_FORMAT, __version__, sys.version_info[:3], _tool_releases(), contents)
    except OSError:
        return None


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
