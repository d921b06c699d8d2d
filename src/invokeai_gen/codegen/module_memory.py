"""Which existing module belongs to which workflow file: a second file of the same name does not rename the first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from invokeai_gen.codegen.names import PythonIdentifier, module_names, words_of
from invokeai_gen.codegen.plan_file import Outline


def assign_modules(
    plans: Mapping[PurePath, Outline], existing: Mapping[str, Outline]
) -> dict[PurePath, PythonIdentifier]:
    """Return a module name for each workflow file. A file whose module exists already keeps that name.

    A plan does not record folders, so files with the same name are distinguished by their contents: the same bytes, then a name
    with the file's own folders in it, then the nodes that both have.
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


def _likeness(path: PurePath, plan: Outline, name: str, old: Outline) -> tuple[int, int, int] | None:
    """Return how well a module fits a file; `None` if its name has the folders of another file."""
    base = words_of(path.stem)
    folders = {words_of(part) for part in path.parts[:-1]} - {""}
    has_own_folder = any(name.startswith(f"{folder}_") for folder in folders) and name.rstrip("_").endswith(base)
    if not has_own_folder and name.rstrip("_") != base and name not in module_names([path]).values():
        return None
    same_bytes = bool(plan.sha256) and plan.sha256 == old.sha256
    return int(same_bytes), int(has_own_folder), len({*plan.nodes} & {*old.nodes})
