"""How many small changes of the code the unit tests notice: `python -m tests.mutants [COUNT] [SEED]`.

cosmic-ray makes the changes, one at a time, in a copy of the last commit; of each, only the tests run that execute the line
it is in. There are too many changes to try all, so a random sample is tried: as many of each package (they are of nearly
one size), and the same for the same seed. The settings are in pyproject.toml, `[tool.mutants]`.

Each outcome is printed as it is known, so that the run can be stopped at any time:

killed    a test failed
timeout   the tests took far longer than without the change, which a person would notice
survived  no test failed; the change may mean the same, or only live tests would notice
not run   no test executes the line
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
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
PYTEST: Final = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0")
DURATIONS: Final = "durations.json"


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
    """Try a sample of the changes, and print the outcome of each, then the figures."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-x"], cwd=copy, input=archive, check=True)
        tests = _tests_by_line(copy)
        durations = json.loads((copy / DURATIONS).read_text(encoding="utf-8"))
        figures: dict[str, Counter[str]] = {package: Counter() for package in SETTINGS["packages"]}
        for mutant in _sample(copy, count, random.Random(seed)):
            known = tests.get(mutant.file, {}).get(mutant.line, set())
            outcome = _outcome(copy, mutant, _affordable({test: durations[test] for test in known}))
            figures[mutant.file.partition("/")[0]][outcome] += 1
            print(f"{outcome:10} {mutant}", flush=True)
    for package, outcomes in figures.items():
        print(f"{package}: {_figure(outcomes)}")
    print(f"all: {_figure(sum(figures.values(), Counter()))}")


class _Learning:
    """A pytest plugin that notes which test executes the lines that follow, and how long each test takes."""

    def __init__(self) -> None:
        self.durations: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        test = item.nodeid.partition("[")[0]
        if (coverage := Coverage.current()) is not None:
            coverage.switch_context(test)
        started = time.monotonic()
        result = yield
        self.durations[test] += time.monotonic() - started  # type: ignore[assignment]
        return result

    def pytest_sessionfinish(self) -> None:
        Path(DURATIONS).write_text(json.dumps(self.durations), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Make this module a plugin of the run that learns what each test executes."""
    config.pluginmanager.register(_Learning())


def _run(copy: Path, *words: str, timeout: float | None = None) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(copy / "src"), str(copy)])}
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=copy,
        env=environment,
        stdout=None if timeout is None else subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(timeout)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _tests_by_line(copy: Path) -> dict[str, dict[int, set[str]]]:
    """Return the tests that execute each line of each file; a line that runs on import belongs to all tests of the file."""
    coverage = ("-m", "coverage", "run", "--source=src", "--data-file=covered")
    if _run(copy, *coverage, *PYTEST, "-p", "tests.mutants", *SETTINGS["tests"]) != 0:
        raise SystemExit("the tests fail as they are")
    data = CoverageData(str(copy / "covered"))
    data.read()
    home = copy.resolve() / "src" / "invokeai_gen"
    found: dict[str, dict[int, set[str]]] = {}
    for name in data.measured_files():
        if not (path := Path(name).resolve()).is_relative_to(home):
            continue
        lines = {line: {test for test in tests if test} for line, tests in data.contexts_by_lineno(name).items()}
        whole = set().union(*lines.values())
        found[path.relative_to(home).as_posix()] = {line: tests or whole for line, tests in lines.items()}
    return found


def _sample(copy: Path, count: int, dice: random.Random) -> Iterator[Mutant]:
    """Return changes of each package in turn. A place that can be changed in several ways is drawn once."""
    samples = []
    home = copy / "src" / "invokeai_gen"
    for package in SETTINGS["packages"]:
        files = [file.relative_to(home).as_posix() for file in sorted((home / package).rglob("*.py"))]
        places = [place for file in files for place in _places(home / file, file)]
        dice.shuffle(places)
        drawn = (dice.choice(place) for place in places)
        usable = (mutant for mutant in drawn if _is_python(_changed(home / mutant.file, mutant)))
        samples.append(list(itertools.islice(usable, count // len(SETTINGS["packages"]))))
    return itertools.chain(*zip(*samples, strict=True))


def _changed(path: Path, mutant: Mutant) -> str:
    text: str = mutate_code(path.read_text(encoding="utf-8"), get_operator(mutant.operator)(), mutant.occurrence)
    return text


def _is_python(text: str) -> bool:
    """Return whether a changed module compiles: cosmic-ray takes the `*` among parameters for a multiplication."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            compile(text, "changed", "exec")
    except SyntaxError:
        return False
    return True


def _places(path: Path, file: str) -> list[list[Mutant]]:
    """Return the changes of a file, those that one place can undergo together."""
    tree = get_ast(path.read_text(encoding="utf-8"))
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


def _affordable(durations: dict[str, float]) -> dict[str, float]:
    """Return the shortest tests, as many as fit into the time that one change may take."""
    order = sorted(durations, key=lambda test: (durations[test], test))
    ends = itertools.accumulate(durations[test] for test in order)
    return {test: durations[test] for test, end in zip(order, ends, strict=True) if end < SETTINGS["seconds"]}


def _outcome(copy: Path, mutant: Mutant, tests: dict[str, float]) -> str:
    if not tests:
        return "not run"
    path = copy / "src" / "invokeai_gen" / mutant.file
    text = path.read_text(encoding="utf-8")
    _write(path, _changed(path, mutant))
    try:
        limit = SETTINGS["seconds"] + 4 * sum(tests.values())
        return "survived" if _run(copy, *PYTEST, *tests, timeout=limit) == 0 else "killed"
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        _write(path, text)


def _write(path: Path, text: str) -> None:
    """Write a module. Python would take the bytecode of before for it, if size and second are the same."""
    path.write_text(text, encoding="utf-8")
    Path(cache_from_source(path)).unlink(missing_ok=True)


def _figure(outcomes: Counter[str]) -> str:
    """Return the share of changes that were noticed, with the 95 % interval by Wilson, and what became of all."""
    number, noticed, z = sum(outcomes.values()), outcomes["killed"] + outcomes["timeout"], 1.96
    middle = (noticed + z * z / 2) / (number + z * z)
    reach = z * math.sqrt(noticed * (number - noticed) / number + z * z / 4) / (number + z * z)
    parts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{noticed / number:.0%} of {number} noticed ({middle - reach:.0%} to {middle + reach:.0%}): {parts}"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
