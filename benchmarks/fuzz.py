"""Many workflow and openapi files that mean harm: each is refused in words, or becomes a module that is ours."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 500
FORMATTED = 20
"""Every so many cases are formatted, too, which takes ten times as long as all else."""


@dataclass
class Found:
    """What came of some cases."""

    cases: int = 0
    modules: int = 0
    slowest: tuple[float, int] = (0.0, 0)
    memory: int = 0
    """The most that a process had, in megabytes; 0 where that is not told."""
    failures: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    """Numbers of the cases that broke a promise, by the kind of error and where it came from."""

    def add(self, other: Found) -> None:
        """Take in what came of others."""
        self.cases += other.cases
        self.modules += other.modules
        self.slowest = max(self.slowest, other.slowest)
        self.memory = max(self.memory, other.memory)
        for kind, numbers in other.failures.items():
            self.failures.setdefault(kind, []).extend(numbers)


def run(numbers: range) -> Found:
    """Check the cases of these numbers."""
    from tests.fuzz import properties, structures

    properties.prepare()
    found = Found(cases=len(numbers))
    for number in numbers:
        started = time.perf_counter()
        try:
            made = properties.check(properties.case(number), formatted=number % FORMATTED == 0)
            if number % FORMATTED == 0:
                structures.check(number)
        except Exception as error:  # noqa: BLE001 - it is told at the end, and the others go on
            frames = traceback.extract_tb(error.__traceback__)[-3:]
            kind = (type(error).__name__, *(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames))
            found.failures.setdefault(kind, []).append(number)
        else:
            found.modules += made is not None
        found.slowest = max(found.slowest, (time.perf_counter() - started, number))
    found.memory = _peak()
    return found


def _peak() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, CHUNK):
        yield range(start, min(start + CHUNK, first + count))


def main() -> None:
    """Run the cases and tell what came of them; the exit code is 1 where any of them broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int, nargs="?", default=100_000, help="how many (default: 100,000)")
    parser.add_argument("--seed", type=int, default=0, help="number of the first case; the others follow (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    options = parser.parse_args()
    started = time.monotonic()
    total = Found()
    # New processes every now and then, so that what one keeps in its caches is no part of the others' memory.
    with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=10) as pool:
        for found in pool.imap_unordered(run, _chunks(options.seed, options.cases)):
            total.add(found)
            if sys.stderr.isatty():
                print(f"\r{total.cases} cases", end="", file=sys.stderr, flush=True)
    print(f"{total.cases} cases from {options.seed} in {time.monotonic() - started:.0f} s")
    print(f"{total.modules} modules, {total.cases - total.modules - _broken(total)} refused, {_broken(total)} broken")
    print(f"slowest: {total.slowest[0]:.1f} s (case {total.slowest[1]}); most memory: {total.memory} MB")
    for kind, numbers in sorted(total.failures.items(), key=lambda item: -len(item[1])):
        print(f"{len(numbers):>6}  {' '.join(kind)}: {', '.join(map(str, sorted(numbers)[:5]))}")
    sys.exit(1 if total.failures else 0)


def _broken(total: Found) -> int:
    return sum(map(len, total.failures.values()))


if __name__ == "__main__":
    main()
