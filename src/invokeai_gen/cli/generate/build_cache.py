"""A note of the last generation, so that a run with nothing to do is told so at once.

The note says: from exactly these bytes came exactly those bytes. It counts only while the contents (not the dates) of
every workflow file, of the openapi.json and of every file of the output folder are the same, and the generator itself
is: then all the work would end where it began. It lies in the `__pycache__` of the output folder, with the other things
that are of this machine, safe to delete and in no repository. `check` never looks at it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from invokeai_gen.atomic_files import replacing
from invokeai_gen.cli.generate.generation import Generation, Message, Outcome
from invokeai_gen.version import __version__

_FORMAT: Final = 1
_TOOLS: Final = ("black", "datamodel_code_generator", "jinja2")
"""What has a say in the bytes that are written."""

_PACKAGE: Final = Path(__file__).resolve().parents[2]
_CHECKOUT: Final = _PACKAGE.parents[1]


def note_path(output: Path) -> Path:
    """Where the note about an output folder lies."""
    return output / "__pycache__" / "invokeai-gen.json"


def inputs_digest(generation: Generation) -> str | None:
    """Of everything that the output depends on; `None` where that cannot be known without asking a server."""
    if generation.server is not None:
        return None
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        digest.update(repr(parts).encode("utf-8", "surrogatepass"))

    try:
        add(_FORMAT, __version__, sys.version_info[:3], generation.keep_names, generation.prune)
        add(os.path.realpath(generation.output))
        for source in generation.sources:
            add(str(source.name), str(source), _content(source.path))
        if generation.openapi is not None:
            add(str(generation.openapi), _content(generation.openapi))
        for path in _generator_files():
            status = os.stat(path)
            add(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return None
    return digest.hexdigest()


def load(generation: Generation, inputs: str | None) -> Outcome | None:
    """What the last run had to tell, if this one would change nothing; `None` if it has to be done."""
    if inputs is None:
        return None
    try:
        note = json.loads(note_path(generation.output).read_bytes())
        if note["inputs"] != inputs or note["outputs"] != _outputs_digest(generation.output):
            return None
        return _outcome(note["outcome"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def store(generation: Generation, inputs: str | None, outcome: Outcome) -> None:
    """Keep a note for the next run, unless a file changed while this one was at work."""
    if inputs is None or inputs != inputs_digest(generation):
        return
    names = sorted({*outcome.unchanged, *outcome.written_modules})
    later = replace(outcome, news=[], unchanged=names, written_modules=[])
    note = {"inputs": inputs, "outputs": _outputs_digest(generation.output), "outcome": asdict(later)}
    path = note_path(generation.output)
    # Without a note the next run takes its time, and that is all.
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(note).encode())


def _outcome(data: dict[str, Any]) -> Outcome:
    messages = [Message(item["kind"], item["source"], tuple(item["lines"])) for item in data.pop("messages")]
    return Outcome(messages=messages, **data)


def _outputs_digest(output: Path) -> str:
    digest = hashlib.sha256()
    for entry in sorted(os.scandir(output), key=lambda entry: entry.name):
        if entry.is_file():
            digest.update(repr((entry.name, _content(Path(entry.path)))).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _generator_files() -> Iterator[str]:
    """This package with its templates and snapshot, and the tools it writes with."""
    yield from _files_below(str(_PACKAGE))
    if (_CHECKOUT / "templates").is_dir():
        yield from _files_below(str(_CHECKOUT / "templates"))
        yield str(_CHECKOUT / "data" / "openapi.json")
    for tool in _TOOLS:
        spec = find_spec(tool)
        if spec is not None and spec.origin is not None:
            yield spec.origin


def _files_below(folder: str) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name == "__pycache__":
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path)
        elif entry.is_file():
            yield entry.path
