"""A cache of the last generation: the next one only makes what changed, and nothing if nothing did.

The note records contents, never dates: which bytes of workflows, node types and generator gave which bytes of output. A
text is reused only if the file on disk still has exactly those bytes. A second note has the node types that were used,
so that a changed workflow need not wait for all the others to be read. Both are in the `__pycache__` of the output
folder, with other things that belong to one machine: safe to delete, and in no repository. `check` never reads them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from invokeai_gen.atomic_files import replacing
from invokeai_gen.cli.generate.generation import Generation
from invokeai_gen.codegen.generated_files import digest, read_text
from invokeai_gen.codegen.report import Report
from invokeai_gen.shipped_files import openapi_path, templates_folder
from invokeai_gen.version import __version__

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan
    from invokeai_gen.schema import Schema

_FORMAT: Final = 5
_TOOLS: Final = ("black", "datamodel_code_generator")
"""Tools that decide the bytes of the output."""

_PACKAGE: Final = Path(__file__).resolve().parents[2]

Compiled: TypeAlias = "tuple[WorkflowPlan | str | None, tuple[str, ...], tuple[str, ...]]"
"""What became of a workflow file: its plan or the text of it, if it has one, with errors and warnings."""


class BuildCache:
    """What the last generation left behind, and what the next one will find."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.generator = _generator_digest()
        """Digest of the generator itself; `None` if it cannot be read."""
        self.schema_key = _schema_key(generation, self.generator)
        """Digest of the generator and the openapi.json; `None` if one cannot be read, or a server is asked."""
        self.keys = _keys(generation, self.schema_key)
        """Digest of everything that the plan of a workflow file depends on, by its path; none without `schema_key`."""
        self.note: dict[str, Any] = _read(note_path(generation.output)) or {}
        """What the last generation noted; empty if the file is missing or damaged, or another generator wrote it."""
        if self.generator is None or self.note.get("generator") != self.generator:
            self.note = {"keys": {}, "outputs": {}, "reports": []}
        self.outcomes = {(report["source"], bool(report["file"])): report for report in self.note["reports"]}
        """Its reports, by the workflow file and whether they are about a module."""

    def reports(self) -> tuple[Report, ...] | None:
        """Return the reports of the last generation if this one would change nothing."""
        is_known = len(self.keys) == len(self.generation.sources)
        if not is_known or self.note["keys"] != self.keys or self.note["options"] != _options(self.generation):
            return None
        return tuple(map(_report, self.note["reports"])) if self.note["outputs"] == self._outputs() else None

    def compiled_before(self, name: PurePath, path: Path) -> Compiled | None:
        """Return the cached result for a workflow file; `None` if it has to be compiled, or its plan on disk has changed."""
        key = self.keys.get(str(path))
        if key is None or self.note["keys"].get(str(path)) != key:
            return None
        problem = self.outcomes.get((str(path), False), {"errors": (), "warnings": ()})
        plan = None
        if (module := self.outcomes.get((str(name), True))) is not None:
            file = str(PurePath(module["file"]).with_suffix(".json"))
            plan = read_text(self.generation.output / file)
            if plan is None or digest(plan) != self.note["outputs"].get(file):
                return None
        return (plan, tuple(problem["errors"]), tuple(problem["warnings"])) if plan or problem["errors"] else None

    def schema(self) -> Schema:
        """Return the node types to generate against: an excerpt with those of the last generation if that is known.

        The others are read when one of them is needed. If the openapi.json changes meanwhile, `store` finds that out.
        """
        excerpt = _read(_schema_path(self.generation.output))
        if excerpt is None or self.schema_key is None or excerpt["key"] != self.schema_key:
            return self.generation.schema()
        from invokeai_gen.schema import Schema

        return Schema(excerpt["document"], source=excerpt["source"], whole=self.generation.schema)

    def store(self, schema: Schema, reports: Sequence[Report], known: Mapping[str, Any]) -> None:
        """Leave a note for the next generation: what this one made, and what became of each workflow."""
        if self.generator is None:
            return
        generation, schema_key = self.generation, _schema_key(self.generation, self.generator)
        # A file that was changed meanwhile may have been read before or after that.
        now = _keys(generation, schema_key)
        note = {
            "generator": self.generator,
            "options": _options(generation),
            "keys": {source: key for source, key in self.keys.items() if now.get(source) == key},
            "outputs": self._outputs(),
            "reports": [_unchanged(report) for report in reports if report.source or report.status == "left"],
            "known": known,
        }
        # Without a note the next generation takes longer, that is all.
        with contextlib.suppress(OSError):
            note_path(generation.output).parent.mkdir(exist_ok=True)
            _write(note_path(generation.output), note)
            if schema_key is not None and schema_key == self.schema_key and (excerpt := schema.excerpt()) is not None:
                _write(
                    _schema_path(generation.output), {"key": schema_key, "source": schema.source, "document": excerpt}
                )

    def _outputs(self) -> dict[str, str]:
        """Return the digests of the files in the output folder."""
        output = self.generation.output
        return {
            name: content for name in sorted(os.listdir(output)) if (content := _content(output / name)) is not None
        }


def note_path(output: Path) -> Path:
    """Return the path of the cache of an output folder."""
    return output / "__pycache__" / "invokeai-gen.json"


def _schema_path(output: Path) -> Path:
    return output / "__pycache__" / "invokeai-gen-schema.json"


def _read(path: Path) -> Any:
    """Return what `_write` wrote; `None` if the file is missing or damaged."""
    try:
        checksum, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return json.loads(content) if hashlib.sha256(content).hexdigest().encode() == checksum else None


def _write(path: Path, data: Any) -> None:
    content = json.dumps(data).encode()
    with replacing(path) as file:
        file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def _schema_key(generation: Generation, generator: str | None) -> str | None:
    content = _content(generation.openapi) if generation.openapi is not None else ""
    if generation.server is not None or generator is None or content is None:
        return None
    return _digest(generator, str(generation.openapi), content)


def _keys(generation: Generation, schema_key: str | None) -> dict[str, str]:
    return {
        str(path): _digest(schema_key, str(name), content)
        for name, path in (generation.sources.items() if schema_key is not None else ())
        if (content := _content(path)) is not None
    }


def _options(generation: Generation) -> list[Any]:
    """Return what decides the files of a generation beside its sources, as JSON data."""
    return [generation.keep_names, generation.rename, generation.prune, os.path.realpath(generation.output)]


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _unchanged(report: Report) -> dict[str, Any]:
    """Return the report of a next generation that changes nothing, as JSON data."""
    is_news = report.status in ("new", "changed")
    return asdict(replace(report, status="unchanged", reason=None, changes=()) if is_news else report)


def _report(data: dict[str, Any]) -> Report:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Report(**values)


def _content(path: Path) -> str | None:
    """Return the digest of a file; `None` if it cannot be read, as a folder."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _generator_digest() -> str | None:
    """Return a digest of whatever decides the bytes of the output; `None` if a part of it cannot be read."""
    try:
        contents = [(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in _generator_files()]
        return _digest(_FORMAT, __version__, sys.version_info[:3], _tool_releases(), contents)
    except OSError:
        return None


def _generator_files() -> Iterator[Path]:
    """Yield the files of the generator: what reads, compiles and writes, its templates and its snapshot."""
    parts = ("", "codegen", "compiler", "core", "schema", "workflow")
    for folder in (*(_PACKAGE / part for part in parts), templates_folder()):
        yield from sorted(path for path in folder.iterdir() if path.is_file())
    yield openapi_path()


def _tool_releases() -> list[str]:
    """Return the names of the folders in which the tools are described, which have their versions."""
    homes = {Path(spec.origin).parents[1] for tool in _TOOLS if (spec := find_spec(tool)) and spec.origin}
    heads = tuple(f"{tool}-" for tool in _TOOLS)
    return sorted(name for home in homes for name in os.listdir(home) if name.startswith(heads))
