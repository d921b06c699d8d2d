"""How many small changes of the code the unit tests notice: `python -m tests.mutants [COUNT] [SEED]`.

mutmut makes the changes, by the settings in pyproject.toml. There are too many to try all of them, so a random sample is
tried: as many of each package, and the same for the same seed.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

COUNT: Final = 240
PACKAGES: Final = ("core", "server", "sweeps")
MADE: Final = Path("mutants", "src", "invokeai_gen")
FIRST: Final = "invokeai_gen.core.short_texts.*"
"""A few changes to begin with: mutmut makes all of them, and learns which test runs which function, before it tries any."""


def main(count: int = COUNT, seed: int = 0) -> None:
    """Try a sample of the changes, and print those that survived and the figures."""
    _mutmut("run", "--max-children", "1", FIRST)
    names = sample(count, seed)
    _mutmut("run", "--max-children", "1", *names)
    outcomes = {name: outcome for name, outcome in _outcomes().items() if name in names}
    for name, outcome in sorted(outcomes.items()):
        if outcome == "survived":
            print(_mutmut("show", name, capture=True))
    for package in PACKAGES:
        figures = Counter(outcome for name, outcome in outcomes.items() if _package(name) == package)
        print(f"{package}: " + ", ".join(f"{number} {outcome}" for outcome, number in figures.most_common()))


def sample(count: int, seed: int) -> list[str]:
    """Return the names of changes, as many of each package."""
    made: dict[str, list[str]] = {package: [] for package in PACKAGES}
    for package, names in made.items():
        for file in sorted((MADE / package).rglob("*.meta")):
            names += json.loads(file.read_bytes())["exit_code_by_key"]
    chosen = random.Random(seed)
    return [name for names in made.values() for name in chosen.sample(sorted(names), count // len(made))]


def _outcomes() -> dict[str, str]:
    lines = _mutmut("results", "--all", "true", capture=True).splitlines()
    pairs = (line.strip().rpartition(": ") for line in lines if ": " in line)
    return {name: outcome for name, _, outcome in pairs}


def _package(name: str) -> str:
    return name.split(".")[1]


def _mutmut(*words: str, capture: bool = False) -> str:
    done = subprocess.run([sys.executable, "-m", "mutmut", *words], check=True, text=True, capture_output=capture)
    return done.stdout or ""


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
