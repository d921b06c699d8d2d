"""How many small changes of the code the unit tests notice: `python -m tests.mutants [COUNT] [SEED]`.

cosmic-ray makes the changes, one at a time, in a copy of the repository; of each, only the tests run that execute the line
it is in. There are too many changes to try all, so a random sample is tried: as many of each package, and the same for
the same seed. The settings are in pyproject.toml, `[tool.mutants]`.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, Final

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from coverage import Coverage, CoverageData

ROOT: Final = Path(__file__).resolve().parents[1]
SETTINGS: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "mutants"
]
PARTS: Final = ("src", "tests", "data", "docs", "examples", "generated", "templates", "README.md", "pyproject.toml")
PYTEST: Final = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0")


@dataclass(frozen=True)
class Mutant:
    """One change: the `occurrence`th place in a file that an operator can change."""

    file: str
    line: int
    operator: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.operator.removeprefix('core/')} #{self.occurrence}"


def main(count: int = SETTINGS["count"], seed: int = 0) -> None:
    """Try a sample of the changes, and print those that survived, and the figures of each package."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "repository")
        for part in PARTS:
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, _made(copy / part))
        tests = _tests_by_line(copy)
        dice, samples = random.Random(seed), []
        for package in SETTINGS["packages"]:
            files = sorted((copy / "src" / "invokeai_gen" / package).rglob("*.py"))
            names = [file.relative_to(copy / "src" / "invokeai_gen").as_posix() for file in files]
            places = [place for name in names for place in _places(copy, name)]
            samples.append([dice.choice(place) for place in dice.sample(places, count // len(SETTINGS["packages"]))])
        figures: dict[str, Counter[str]] = {package: Counter() for package in SETTINGS["packages"]}
        for mutant in itertools.chain(*zip(*samples, strict=True)):
            outcome = _outcome(copy, mutant, tests.get(mutant.file, {}).get(mutant.line, []))
            figures[mutant.file.partition("/")[0]][outcome] += 1
            print(f"{outcome:10} {mutant}", flush=True)
        for package, outcomes in figures.items():
            print(f"{package}: " + ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())))


def pytest_runtest_call(item: pytest.Item) -> None:
    """Note which test executes the lines that follow; this module is a plugin of the run that learns it."""
    if (coverage := Coverage.current()) is not None:
        coverage.switch_context(item.nodeid.partition("[")[0])


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _run(copy: Path, *words: str | Path, timeout: float | None = None) -> int:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(copy / "src"), str(copy)]),
    }
    return subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, timeout=timeout, stdout=subprocess.DEVNULL, check=False
    ).returncode


def _tests_by_line(copy: Path) -> dict[str, dict[int, list[str]]]:
    """Return the tests that execute each line of each file; a line that runs on import belongs to all tests of the file."""
    coverage = ("-m", "coverage", "run", "--source=src", "--data-file=covered")
    if _run(copy, *coverage, *PYTEST, "-p", "tests.mutants", *SETTINGS["tests"]) != 0:
        raise SystemExit("the tests fail as they are")
    data = CoverageData(str(copy / "covered"))
    data.read()
    home = copy / "src" / "invokeai_gen"
    found: dict[str, dict[int, list[str]]] = {}
    for name in data.measured_files():
        if not (path := Path(name)).is_relative_to(home):
            continue
        lines = {line: {test for test in tests if test} for line, tests in data.contexts_by_lineno(name).items()}
        whole = set().union(*lines.values())
        found[path.relative_to(home).as_posix()] = {line: sorted(tests or whole) for line, tests in lines.items()}
    return found


def _places(copy: Path, file: str) -> list[list[Mutant]]:
    """Return the changes of a file, those that one place can undergo together."""
    tree = get_ast((copy / "src" / "invokeai_gen" / file).read_text(encoding="utf-8"))
    kinds: dict[str, list[str]] = {}
    for name in sorted(operator_names()):
        if not get_operator(name).arguments() and not any(part in name for part in SETTINGS["left-out"]):
            kinds.setdefault(name.rpartition("_")[0] or name, []).append(name)
    found: list[list[Mutant]] = []
    for names in kinds.values():
        operator: Any = get_operator(names[0])()
        starts = (start for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node))
        found += ([Mutant(file, line, name, number) for name in names] for number, (line, _) in enumerate(starts))
    return found


def _outcome(copy: Path, mutant: Mutant, tests: list[str]) -> str:
    if not tests:
        return "not run"
    path = copy / "src" / "invokeai_gen" / mutant.file
    text = path.read_text(encoding="utf-8")
    changed = mutate_code(text, get_operator(mutant.operator)(), mutant.occurrence)
    _write(path, changed)
    try:
        return "survived" if _run(copy, *PYTEST, *tests, timeout=SETTINGS["timeout"]) == 0 else "killed"
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        _write(path, text)


def _write(path: Path, text: str) -> None:
    """Write a module. Python would take the bytecode of before for it, if size and second are the same."""
    path.write_text(text, encoding="utf-8")
    Path(cache_from_source(path)).unlink(missing_ok=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
