"""Plans become a package on disk: one module and one plan for each workflow, and the files that they share."""

from __future__ import annotations

import json
import keyword
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any, Final, TypeAlias

from invokeai_gen.atomic_files import locked, remove_leftovers
from invokeai_gen.codegen import datamodel, generated_files, module, value_types
from invokeai_gen.codegen.annotations import Names
from invokeai_gen.codegen.changes import changes
from invokeai_gen.codegen.generated_files import (
    OutputFolderError,
    digest,
    is_edited,
    is_generated,
    stamped,
    version_of,
)
from invokeai_gen.codegen.name_memory import items_of, key_of
from invokeai_gen.codegen.names import PythonIdentifier, assign_names, module_names, words_of
from invokeai_gen.codegen.plan_file import Known, Outline, PlanFile
from invokeai_gen.codegen.report import Reason, Report
from invokeai_gen.core.plan import PlanFormatError, WorkflowPlan
from invokeai_gen.version import __version__

_SHARED: Final = ("__init__", "_types")

Read: TypeAlias = Callable[[str], str | None]
"""Returns the text of a file in the output folder."""


@dataclass(frozen=True, slots=True)
class _Module:
    """A workflow whose module the package has."""

    name: PythonIdentifier
    file: PlanFile
    source: str = ""
    """Its file; empty for a module whose workflow is not among the sources."""
    previous: PlanFile | None = None
    """The plan that was beside the module before."""


def generate(
    plans: Mapping[PurePath, WorkflowPlan | str],
    out: Path,
    *,
    schemas: Mapping[str, Any],
    keep_renamed: bool = False,
    rename: bool = False,
    prune: bool = False,
    check: bool = False,
    known: Known | None = None,
) -> tuple[Report, ...]:
    """Write the package `out` for these workflows and report on every module, and every shared file that changed.

    `plans` has a plan for each workflow file, or the text of the plan that it had before if nothing about it changed;
    `schemas` are the `components.schemas` they were compiled against. Inputs and outputs keep the names they had as long
    as their labels stay the same, with `keep_renamed` even if not; `rename` chooses all names again. `prune` removes the
    modules of other workflows, which otherwise stay as they are. `check` writes nothing. `known` remembers what was made
    in earlier calls, so that it need not be made again. Raises `OutputFolderError`.
    """
    known = known or Known()
    try:
        if out.exists() and not out.is_dir():
            raise OutputFolderError(f"{out} is not a folder")
        with locked(out):
            read: Read = cache(lambda name: generated_files.read_text(out / name))
            existing = _existing(out, read, known)
            modules = _named(plans, {} if rename else existing, existing, keep_renamed=keep_renamed)
            vanished = sorted(existing.keys() - {item.name for item in modules})
            left = {} if prune else {PythonIdentifier(name): existing[name] for name in vanished}
            # Those are made again, because the types that modules share can get other names.
            others = [_Module(name, _with_names(file, file), previous=file) for name, file in left.items()]
            texts = _texts([*modules, *others], out, schemas, read, known)
            present = {name: read(name) for name in texts}
            removed = [f"{name}{suffix}" for name in vanished for suffix in (".py", ".json")] if prune else []
            if not check:
                remove_leftovers(out, older_than=0)
                _write(out, {name: text for name, text in texts.items() if present[name] != text}, removed, read)
    except OSError as error:
        raise OutputFolderError(f"{error.filename or out}: {error.strerror or error}") from error
    return (
        *(_module_report(item, texts, present) for item in modules),
        *_shared_reports(modules, texts, present),
        *(Report(file=f"{name}.py", status="removed" if prune else "left", reason="gone") for name in vanished),
    )


def named_as_in(out: Path, source: PurePath, plan: WorkflowPlan) -> WorkflowPlan:
    """Return the plan with the names that the module of this workflow file has in the folder `out`, or would get there.

    `source` is the path of the file as `generate` would be given it. Nothing is written.
    """
    ids = {node.id for node in plan.nodes}
    existing = {
        name: old
        for name, old in _existing(
            out, lambda name: generated_files.read_text(out / name), Known(), words_of(source.stem)
        ).items()
        if not ids.isdisjoint(old.outline.nodes)  # else it is another workflow of the same name
    }
    (item,) = _named({source: plan}, existing, existing, keep_renamed=False)
    return item.file.plan


def _existing(out: Path, read: Read, known: Known, words: str = "") -> dict[str, PlanFile]:
    """Return the modules that are there already and have `words` in their name, with the plans beside them."""
    found = {}
    for path in sorted(out.glob("*.py")) if out.is_dir() else ():
        text = read(path.name) if path.stem not in _SHARED and words in path.stem else None
        plan = _plan_file(read(f"{path.stem}.json"), known) if text is not None and is_generated(text) else None
        if plan is not None:
            found[path.stem] = plan
    return found


def _plan_file(text: str | None, known: Known) -> PlanFile | None:
    """Return a plan from disk; `None` if it is missing, of another format, or damaged."""
    if text is None:
        return None
    file = PlanFile(text, known)
    try:
        return file if file.outline else None
    except PlanFormatError:
        return None


def _named(
    plans: Mapping[PurePath, WorkflowPlan | str],
    memory: Mapping[str, PlanFile],
    existing: Mapping[str, PlanFile],
    *,
    keep_renamed: bool,
) -> list[_Module]:
    """Return the workflows with the names of their modules, inputs and outputs; `memory` has the names to keep."""
    on_disk = {file.text: file for file in existing.values()}
    files = {
        path: on_disk.get(plan) or PlanFile(plan) if isinstance(plan, str) else PlanFile(plan)
        for path, plan in plans.items()
    }
    names = assign_modules(
        {path: file.outline for path, file in files.items()}, {name: file.outline for name, file in memory.items()}
    )
    return [
        _Module(name, _with_names(files[path], memory.get(name), keep_renamed), str(path), existing.get(name))
        for path, name in sorted(names.items())
    ]


def assign_modules(
    plans: Mapping[PurePath, Outline], existing: Mapping[str, Outline]
) -> dict[PurePath, PythonIdentifier]:
    """Return a module name for each workflow file. A file whose module exists already keeps that name.

    A plan records the name of its file, but no folders. So files with the same name are distinguished by their contents: the
    same bytes, then a name with the file's own folders in it, then the nodes that both have.
    """
    by_stem: dict[str, list[str]] = {}
    for name, old in existing.items():
        by_stem.setdefault(words_of(PurePath(old.source).stem), []).append(name)
    pairs = [
        (score, path, name)
        for path, plan in plans.items()
        for name in by_stem.get(words_of(path.stem), ())
        if (score := _likeness(path, plan, name, existing[name])) is not None
    ]
    kept: dict[PurePath, str] = {}
    taken: set[str] = set()
    for _, path, name in sorted(pairs, key=lambda pair: (*(-part for part in pair[0]), pair[1], pair[2])):
        if path not in kept and name not in taken:
            kept[path] = name
            taken.add(name)
    return module_names(plans, kept=kept)


def _likeness(path: PurePath, plan: Outline, name: str, old: Outline) -> tuple[int, int, int, int] | None:
    """Return how well a module fits a file; `None` if its name has the folders of another file."""
    base = words_of(path.stem)
    folders = {words_of(part) for part in path.parts[:-1]} - {""}
    has_own_folder = any(name.startswith(f"{folder}_") for folder in folders) and name.rstrip("_").endswith(base)
    if not has_own_folder and name.rstrip("_") != base and name not in module_names([path]).values():
        return None
    same_bytes = bool(plan.sha256) and plan.sha256 == old.sha256
    # A copy under another name does not take over the module of a file that was edited since.
    return int(path.name == old.source), int(same_bytes), int(has_own_folder), len({*plan.nodes} & {*old.nodes})


def _with_names(file: PlanFile, earlier: PlanFile | None, keep_renamed: bool = False) -> PlanFile:
    """Return a plan whose inputs and outputs have names; the same one if `earlier` is that plan with its good names."""
    if file is earlier and file.is_known:
        return file
    named = assign_names(file.plan, earlier=earlier.plan if earlier else None, keep_renamed=keep_renamed)
    return file if named is file.plan else PlanFile(named)


def _texts(modules: list[_Module], out: Path, schemas: Mapping[str, Any], read: Read, known: Known) -> dict[str, str]:
    """Return every file of the package."""
    package = out.resolve().name
    package = package if package.isidentifier() and not keyword.iskeyword(package) else ""
    names, types = value_types.collect([item.file.outline for item in modules], schemas)
    texts = {"py.typed": ""}
    for item in modules:
        texts[f"{item.name}.json"] = item.file.text
        texts[f"{item.name}.py"] = _module_text(item, names, package, read, known)
        item.file.remember(known)
    texts["_types.py"] = _text(read("_types.py"), [types], known, lambda: module.types_source(datamodel.render(types)))
    texts["__init__.py"] = stamped(module.init_source(sorted(item.name for item in modules)))
    return texts


def _module_text(item: _Module, names: Names, package: str, read: Read, known: Known) -> str:
    made_from = [item.file.digest, package, item.name, *map(names.get, item.file.outline.shapes)]
    return _text(
        read(f"{item.name}.py"),
        made_from,
        known,
        lambda: module.render(item.file.plan, names, module=item.name, package=package),
    )


def _text(present: str | None, made_from: list[Any], known: Known, make: Callable[[], str]) -> str:
    """Return the text on disk if it is exactly what was made from the same data before; otherwise make it."""
    key = digest(json.dumps(made_from))
    if present is not None and known.get(key) == digest(present):
        return present
    text = stamped(make())
    known.current[key] = digest(text)
    return text


def _write(out: Path, files: Mapping[str, str], removed: list[str], read: Read) -> None:
    """Write plans and types before the modules that need them, so that no module is ever without."""
    out.mkdir(parents=True, exist_ok=True)
    for name in files:
        if _is_foreign(out / name, read):
            raise OutputFolderError(f"{out / name} was not made by invokeai-gen; choose another output folder")
    for name in sorted(
        files, key=lambda name: (name == "__init__.py", name.endswith(".py"), name != "_types.py", name)
    ):
        generated_files.write_text(out / name, files[name])
    for name in removed:
        (out / name).unlink(missing_ok=True)


def _is_foreign(path: Path, read: Read) -> bool:
    """Return whether we did not write a file: Python without our stamp, or JSON that is not the plan of a module."""
    text = read(path.name)
    if text is None:
        return path.exists()
    if path.suffix == ".json":
        return not is_generated(read(f"{path.stem}.py") or "") and _plan_file(text, Known()) is None
    return path.suffix == ".py" and bool(text.strip()) and not is_generated(text)


def _module_report(item: _Module, texts: Mapping[str, str], present: Mapping[str, str | None]) -> Report:
    file, plan = f"{item.name}.py", f"{item.name}.json"
    before = present[file]
    if before is None:
        return Report(file=file, source=item.source, status="new", reason="missing")
    if before == texts[file] and present[plan] == texts[plan]:
        return Report(file=file, source=item.source, status="unchanged")
    noticed = changes(item.previous.plan, item.file.plan) if item.previous is not None else ()
    reason: Reason = "edited" if before == texts[file] else _reason(item, before)
    return Report(file=file, source=item.source, status="changed", reason=reason, changes=noticed)


def _reason(item: _Module, before: str) -> Reason:
    if item.previous is None or is_edited(before):
        return "edited"
    if version_of(before) != __version__:
        return "version"
    old, new = item.previous.plan, item.file.plan
    if (old.info.source, old.info.sha256) != (new.info.source, new.info.sha256):
        return "workflow"
    if old.info != new.info:
        return "schema"
    before_names, names = ({key_of(item): item.name for item in items_of(plan)} for plan in (old, new))
    is_renamed = any(before_names[key] != names[key] for key in before_names.keys() & names.keys())
    return "names" if is_renamed else "generator"


def _shared_reports(
    modules: list[_Module], texts: Mapping[str, str], present: Mapping[str, str | None]
) -> list[Report]:
    """Return a report on each changed file that is not about a workflow of this run."""
    reported = {f"{item.name}{suffix}" for item in modules for suffix in (".py", ".json")}
    return [
        Report(file=name, status="new", reason="missing")
        if before is None
        else Report(
            file=name, status="changed", reason="edited" if name.endswith(".py") and is_edited(before) else "shared"
        )
        for name, before in present.items()
        if name not in reported and before != texts[name]
    ]
