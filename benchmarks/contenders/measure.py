"""What the contenders have in common: one task is run, and one line of JSON says what it took.

Standard library only, and Linux only.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def lateness(completed_at: str, known_at: datetime | None = None) -> float:
    """Seconds from when the server completed an item, by its own clock (this machine's), to when that was known."""
    completed = datetime.fromisoformat(completed_at).replace(tzinfo=UTC)
    return ((known_at or datetime.now(UTC)) - completed).total_seconds()


def main(tasks: Mapping[str, Callable[..., Any]], count_requests: Callable[[Callable[[], None]], None]) -> None:
    """Run `TASK URL N MATERIAL`. A task returns the latenesses it saw (`None` for what it never heard of), or nothing.

    The CPU is that of the whole process, imports included; the time is that of the task.
    """
    task, url, count, material = sys.argv[1:]
    requests = 0

    def one_more() -> None:
        nonlocal requests
        requests += 1

    count_requests(one_more)
    started = time.perf_counter()
    late = tasks[task](url, int(count), Path(material))
    wall = time.perf_counter() - started
    told = [seconds for seconds in late or () if seconds is not None]
    result = {"time": wall, "CPU": time.process_time(), "memory": _peak(), "requests": requests}
    if told:
        result |= {"lateness": statistics.median(told), "lost": len(late) - len(told)}
    print(json.dumps(result))


def _peak() -> float:
    """The most memory that this process ever had, in MB. (`getrusage` would count the parent's, from before `exec`.)"""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmHWM")
