"""Plans become a package on disk: one module and one plan for each workflow, and the files that they share."""

from __future__ import annotations

import json
import keyword
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, Final

from invokeai_gen.atomic_files import locked, remove_leftovers
from invokeai_gen.codegen import datamodel, folder, module, value_types
from invokeai_gen.codegen.annotations import Names
from invokeai_gen.codegen.changes import changes
from invokeai_gen.codegen.folder import OutputFolderError
from invokeai_gen.codegen.module_memory import assign_modules
from invokeai_gen.codegen.name_memory import Key, items_of, key_of
from invokeai_gen.codegen.names import PythonIdentifier, assign_names, words_of
from invokeai_gen.codegen.report import Reason, Report
from invokeai_gen.codegen.stamp import digest, is_edited, is_generated, stamped, version_of
from invokeai_gen.codegen.value_types import ValueTypes
from invokeai_gen.core.plan import PlanFormatError, WorkflowPlan
from invokeai_gen.texts import escape_surrogates
from invokeai_gen.version import __version__

_SHARED: Final = ("__init__", "_types")

Texts = MutableMapping[str, str]
"""Digests of the texts made so far, each by the digest of what it was made from: a known text on disk is kept as it is."""


@dataclass(frozen=True, slots=True)
class _Module:
    """A workflow whose module the package has."""

    name: PythonIdentifier
    plan: WorkflowPlan
    source: str = ""
    """Its file; empty for a module whose workflow is not among the sources."""
    previous: WorkflowPlan | None = None
    """The plan that was beside the module before."""


def generate(
    plans: Mapping[PurePath, WorkflowPlan],
    out: Path,
    *,
    schemas: Mapping[str, Any],
    keep_renamed: bool = False,
    rename: bool = False,
    prune: bool = False,
    check: bool = False,
    known: Texts | None = None,
) -> tuple[Report, ...]:
    """Write the package `out` for these workflows and report on every module, and every shared file that changed.

    `plans` has a plan for each workflow file, `schemas` are the `components.schemas` they were compiled against. Inputs
    and outputs keep the names they had as long as their labels stay the same, with `keep_renamed` even if not;
    `rename` chooses all names again. `prune` removes the modules of other workflows, which otherwise stay as they are.
    `check` writes nothing. `known` remembers what was made in earlier calls, so that it need not be made again.
    Raises `OutputFolderError`.
    """
    try:
        if out.exists() and not out.is_dir():
            raise OutputFolderError(f"{out} is not a folder")
        with locked(out):
            existing = _existing(out)
            modules = _named(plans, {} if rename else existing, existing, keep_renamed=keep_renamed)
            vanished = sorted(existing.keys() - {item.name for item in modules})
            others = [] if prune else [_left(name, existing[name]) for name in vanished]
            texts = _texts([*modules, *others], out, schemas, known)
            present = {name: folder.read_text(out / name) for name in texts}
            removed = [f"{name}{suffix}" for name in vanished for suffix in (".py", ".json")] if prune else []
            if not check:
                remove_leftovers(out, older_than=0)
                _write(out, {name: text for name, text in texts.items() if present[name] != text}, removed)
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
        for name, old in _existing(out, words_of(source.stem)).items()
        if any(node.id in ids for node in old.nodes)  # else it is another workflow of the same name
    }
    (item,) = _named({source: plan}, existing, existing, keep_renamed=False)
    return item.plan


def _existing(out: Path, words: str = "") -> dict[str, WorkflowPlan]:
    """Return the modules that are there already and have `words` in their name, with the plans beside them."""
    found = {}
    for path in sorted(out.glob("*.py")) if out.is_dir() else ():
        text = folder.read_text(path) if path.stem not in _SHARED and words in path.stem else None
        plan = read_plan(path.with_suffix(".json")) if text is not None and is_generated(text) else None
        if plan is not None:
            found[path.stem] = plan
    return found


def _named(
    plans: Mapping[PurePath, WorkflowPlan],
    memory: Mapping[str, WorkflowPlan],
    existing: Mapping[str, WorkflowPlan],
    *,
    keep_renamed: bool,
) -> list[_Module]:
    """Return the workflows with the names of their modules, inputs and outputs; `memory` has the names to keep."""
    names = assign_modules(plans, memory)
    return [
        _Module(
            name,
            assign_names(plans[path], earlier=memory.get(name), keep_renamed=keep_renamed),
            str(path),
            existing.get(name),
        )
        for path, name in sorted(names.items())
    ]


def _left(name: str, plan: WorkflowPlan) -> _Module:
    """Return a module that stays. It is made again, because the types that modules share can get other names."""
    return _Module(PythonIdentifier(name), assign_names(plan, earlier=plan), previous=plan)


def _texts(modules: list[_Module], out: Path, schemas: Mapping[str, Any], known: Texts | None) -> dict[str, str]:
    """Return every file of the package."""
    package = out.resolve().name
    package = package if package.isidentifier() and not keyword.iskeyword(package) else ""
    types = value_types.collect([item.plan for item in modules], schemas)
    types_text = _begin_types(types, out, known)
    texts = {"py.typed": ""}
    for item in modules:
        plan = (folder.read_text(out / f"{item.name}.json") or "") if item.plan is item.previous else ""
        plan = plan or escape_surrogates(item.plan.to_json())
        names = value_types.names_used(item.plan, types.names)
        texts[f"{item.name}.json"] = plan
        texts[f"{item.name}.py"] = _module_text(item, names, plan, package, out, known)
    texts["_types.py"] = types_text()
    texts["__init__.py"] = stamped(module.init_source(sorted(item.name for item in modules)))
    return texts


def _module_text(item: _Module, names: Names, plan: str, package: str, out: Path, known: Texts | None) -> str:
    made_from = [digest(plan), package, item.name, sorted(names.choices.values()), sorted(names.structures)]
    text = _known_text(known, made_from, out / f"{item.name}.py")
    if text is None:
        text = stamped(module.render(item.plan, names, module=item.name, package=package))
        _remember(known, made_from, text)
    return text


def _begin_types(types: ValueTypes, out: Path, known: Texts | None) -> Callable[[], str]:
    """Begin to make `_types.py`, which takes longest, and return what waits for its text."""
    made_from = [types.to_json()]
    text = _known_text(known, made_from, out / "_types.py")
    if text is not None:
        return lambda: text
    declarations = datamodel.rendering(types.to_json()) if types.schemas else lambda: ""

    def finish() -> str:
        made = stamped(module.types_source(declarations()))
        _remember(known, made_from, made)
        return made

    return finish


def _known_text(known: Texts | None, made_from: list[Any], path: Path) -> str | None:
    """Return the text on disk if it is exactly what was made from the same data before."""
    wanted = known.get(digest(json.dumps(made_from))) if known is not None else None
    text = folder.read_text(path) if wanted is not None else None
    return text if text is not None and digest(text) == wanted else None


def _remember(known: Texts | None, made_from: list[Any], text: str) -> None:
    if known is not None:
        known[digest(json.dumps(made_from))] = digest(text)


def _write(out: Path, files: Mapping[str, str], removed: list[str]) -> None:
    """Write plans and types before the modules that need them, so that no module is ever without."""
    out.mkdir(parents=True, exist_ok=True)
    for name in files:
        if _is_foreign(out / name):
            raise OutputFolderError(f"{out / name} was not made by invokeai-gen; choose another output folder")
    for name in sorted(
        files, key=lambda name: (name == "__init__.py", name.endswith(".py"), name != "_types.py", name)
    ):
        folder.write_text(out / name, files[name])
    for name in removed:
        (out / name).unlink(missing_ok=True)


def _is_foreign(path: Path) -> bool:
    """Return whether we did not write a file: Python without our stamp, or JSON that is not the plan of a module."""
    text = folder.read_text(path)
    if text is None:
        return path.exists()
    if path.suffix == ".json":
        return read_plan(path) is None and not is_generated(folder.read_text(path.with_suffix(".py")) or "")
    return path.suffix == ".py" and bool(text.strip()) and not is_generated(text)


def read_plan(path: Path) -> WorkflowPlan | None:
    """Return a plan from disk; `None` if it is missing, of another format, or damaged."""
    text = folder.read_text(path)
    return _plan_of(text) if text is not None else None


@lru_cache(maxsize=1024)
def _plan_of(text: str) -> WorkflowPlan | None:
    """Return the plan in a text. Plans are cached by their text."""
    try:
        return WorkflowPlan.from_json(text)
    except PlanFormatError:
        return None


def _module_report(item: _Module, texts: Mapping[str, str], present: Mapping[str, str | None]) -> Report:
    file, plan = f"{item.name}.py", f"{item.name}.json"
    before = present[file]
    if before is None:
        return Report(file=file, source=item.source, status="new", reason="missing")
    if before == texts[file] and present[plan] == texts[plan]:
        return Report(file=file, source=item.source, status="unchanged")
    noticed = changes(item.previous, item.plan) if item.previous is not None else ()
    reason: Reason = "edited" if before == texts[file] else _reason(item, before)
    return Report(file=file, source=item.source, status="changed", reason=reason, changes=noticed)


def _reason(item: _Module, before: str) -> Reason:
    if item.previous is None or is_edited(before):
        return "edited"
    if version_of(before) != __version__:
        return "version"
    if item.previous.info.sha256 != item.plan.info.sha256:
        return "workflow"
    if item.previous.info != item.plan.info:
        return "schema"
    old, new = _names(item.previous), _names(item.plan)
    return "names" if any(old[key] != new[key] for key in old.keys() & new.keys()) else "generator"


def _names(plan: WorkflowPlan) -> dict[Key, str]:
    return {key_of(item): item.name for item in items_of(plan)}


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
