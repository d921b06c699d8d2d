"""Compare the public API with the last release: `python -m tests.packaging.api [--since REF]`, in a git checkout.

A change that breaks callers is a decision: `accepted_breaks.txt` lists each one with its reason, and nothing else.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import griffe

ROOT: Final = Path(__file__).parents[2]
ACCEPTED: Final = Path(__file__).with_name("accepted_breaks.txt")
MODULES: Final = ("", "runtime", "server", "handle", "compat", "testing")
"""The addresses that users import from, below `invokeai_gen`."""
FIRST_RELEASE: Final = "c1415ab"
"""The last commit of 0.1.0, which has no tag."""
EXTENSION: Final = str(ROOT / "docs" / "_site" / "blocking_methods.py")


def last_release() -> str:
    """Return the newest tag such as `v0.2.0` before this commit, which may be tagged itself, else `FIRST_RELEASE`."""
    command = ["git", "describe", "--tags", "--match", "v*", "--abbrev=0", "HEAD^"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or FIRST_RELEASE


def _names(module: griffe.Module | griffe.Alias) -> Iterator[str]:
    if module.exports:  # that of `invokeai_gen` is not a list of literals
        return (str(name) for name in module.exports)
    aliases = (name for name, member in module.members.items() if member.is_alias)
    return (name for name in aliases if name == "__version__" or not name.startswith("_"))


def _public(root: griffe.Module) -> dict[str, griffe.Object]:
    """Return the definition behind each public name, such as `Color` and `handle.IvkField`."""
    found: dict[str, griffe.Object] = {}
    for name in MODULES:
        module = root.members.get(name) if name else root
        if not isinstance(module, griffe.Module):
            continue
        for exported in _names(module):
            member = module.members.get(exported)
            try:
                target = member.final_target if isinstance(member, griffe.Alias) else member
            except griffe.AliasResolutionError:  # from another package
                continue
            if isinstance(target, griffe.Object):
                found[f"{name}.{exported}" if name else exported] = target
    return found


def _as_module(names: dict[str, griffe.Object]) -> griffe.Module:
    module = griffe.Module("invokeai_gen")
    module.members.update(names)
    return module


def breaks_since(ref: str) -> set[str]:
    """Return what would break callers, a line for each, without the places in files."""
    extensions, paths = griffe.load_extensions(EXTENSION), ["src"]
    then = griffe.load_git(
        "invokeai_gen", ref=ref, repo=ROOT, search_paths=paths, extensions=extensions, resolve_aliases=True
    )
    now = griffe.load("invokeai_gen", search_paths=[ROOT / "src"], extensions=extensions, resolve_aliases=True)
    assert isinstance(then, griffe.Module)
    assert isinstance(now, griffe.Module)
    old, new = _public(then), _public(now)
    for name in old:  # the old addresses give every name of the package, when they are asked for it
        package, _, own = name.rpartition(".")
        if name not in new and package in ("runtime", "server", "handle") and own in new:
            new[name] = new[own]
    return {_line(found) for found in griffe.find_breaking_changes(_as_module(old), _as_module(new))}


def _line(found: griffe.Breakage) -> str:
    text = re.sub(r"\x1b\[\d+m", "", found.explain(griffe.ExplanationStyle.ONE_LINE))
    return text.partition(": ")[2]


def accepted() -> set[str]:
    """Return the lines of the file of accepted breaks; `#` begins a reason."""
    lines = ACCEPTED.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def main() -> str | None:
    """Print the result. Return what is wrong, if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--since", default=last_release(), help="a tag or commit; by default the last release")
    since: str = parser.parse_args().since
    found, known = breaks_since(since), accepted()
    for line in sorted(found - known):
        print(f"breaks callers: {line}")
    for line in sorted(known - found):
        print(f"no longer so: {line}")
    if found != known:
        return f"mend these, or write them into {ACCEPTED.relative_to(ROOT)} with the reason"
    print(f"public API since {since}: {len(found)} breaks, all of them accepted")
    return None


if __name__ == "__main__":
    sys.exit(main())
