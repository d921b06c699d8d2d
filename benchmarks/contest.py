"""What a benchmark is: the same task done by us and by others, in turns, and the ratios that come of it."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
Measure = Literal["time", "CPU", "memory", "requests", "lateness", "server CPU"]
Costs = Mapping[Measure, float]
"""Seconds by the clock, seconds of CPU, the most memory in MB, requests sent, seconds from the end of a queue item on
the server until it is known, and seconds of the server's CPU."""
UNITS: Mapping[Measure, str] = {
    "time": " s",
    "CPU": " s",
    "memory": " MB",
    "requests": "",
    "lateness": " s",
    "server CPU": " s",
}


@dataclass(frozen=True, slots=True)
class Contest:
    """One task, and who does it. The first contender is the one that the others are compared to."""

    task: str
    contenders: Mapping[str, Callable[[], Costs]]
    goals: Mapping[tuple[str, Measure], float | None]
    """The highest ratio aimed for, by the other contender and what is measured; these are the rows of the table."""
    rounds: int | None = None
    """How often each does it; as often as the setup says unless given."""
    warm_up: bool = True
    """Whether each does it once more before that, to fill caches."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: what one of ours and one of the others took in each round."""

    task: str
    than: str
    measure: Measure
    goal: float | None
    ours: list[float]
    others: list[float]

    @property
    def ratios(self) -> list[float]:
        """Ours by the other's, round by round."""
        return [ours / other for ours, other in zip(self.ours, self.others, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"{self.goal:g}{' ' if self.ratio <= self.goal else '!'}"
        values = f"{_short(self.ours)} to {_short(self.others)}{UNITS[self.measure]}"
        spread = f"{min(self.ratios):.2f}–{max(self.ratios):.2f}"
        return (
            f"{self.task:<46} {self.than:<34} {self.measure:<10} {values:>18} {self.ratio:7.3f} {spread:>11} {goal:>6}"
        )


HEAD = f"{'task':<46} {'than':<34} {'what':<10} {'medians':>18} {'ratio':>7} {'from–to':>11} {'goal':>6}"


@dataclass
class Setup(ExitStack):
    """What the benchmarks share: a folder, a server if one is needed, and the environments of the others."""

    work: Path
    rounds: int = 5
    size: float = 1.0
    """1 for the numbers that the table names, less for a quick look."""
    before: str | None = None
    """A commit to compare with."""
    load: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.work.mkdir(parents=True, exist_ok=True)

    def many(self, count: int) -> int:
        """Return a number of runs, images … for the size of this benchmark."""
        return max(2, round(count * self.size))

    @functools.cached_property
    def server(self) -> Any:
        """A real InvokeAI with garbage collection as people have it, half a second before each item."""
        from tests.server import Server

        return self.enter_context(Server.start(fast=False))

    @functools.cached_property
    def fast_server(self) -> Any:
        """A real InvokeAI that collects no garbage between items, so that only their work is left."""
        from tests.server import Server

        return self.enter_context(Server.start(fast=True))

    @functools.cached_property
    def source_before(self) -> Path | None:
        """The files of the commit to compare with, checked out into a folder of their own."""
        if self.before is None:
            return None
        folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        archive = subprocess.run(["git", "archive", self.before], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
        return folder

    def python_with(self, *packages: str) -> Path:
        """Return the Python of an environment that has these packages of PyPI, made if it is not there."""
        folder = self.work / "environments" / "-".join(packages).replace("==", "-")
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not (folder / "done").is_file():
            print(f"installing {', '.join(packages)} …", file=sys.stderr, flush=True)
            venv.create(folder, clear=True, with_pip=True)
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
            (folder / "done").touch()
        return python

    def rows(self, contest: Contest) -> Iterator[Row]:
        """Hold a contest: everybody takes turns, so that a busy moment of the machine is borne by all."""
        ours, *others = contest.contenders
        costs: dict[str, list[Costs]] = {name: [] for name in contest.contenders}
        for turn in range((contest.rounds or self.rounds) + contest.warm_up):
            for name, work in contest.contenders.items():
                cost = work()
                if turn or not contest.warm_up:
                    costs[name].append(cost)
            self.load.append(os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0)
        for other in others:
            for (than, measure), goal in contest.goals.items():
                if than == other:
                    taken = [[cost[measure] for cost in costs[name]] for name in (ours, other)]
                    yield Row(contest.task, other, measure, goal, *taken)


def run(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    source: Path | None = None,
    before: Callable[[], object] = lambda: None,
    allowed: Sequence[int] = (0,),
) -> Costs:
    """Return what a command costs, the start of its process included; `source` is the tree whose code it uses.

    The memory is never less than what this process has, which its child begins with.
    """
    before()
    environment = {**os.environ, "PATH": f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"}
    if source is not None:
        environment["PYTHONPATH"] = os.pathsep.join((str(source / "src"), str(source)))
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*map(str, command)], stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=environment
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = code = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if code not in allowed or "Traceback" in text:
        sys.exit(f"{' '.join(map(str, command))} failed ({code}):\n{text}")
    return {"time": wall, "CPU": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}


def _short(values: Sequence[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:.0f}" if middle >= 100 else f"{middle:.3g}"
