"""Every benchmark, as one table of ratios: `python -m benchmarks [NAME …]`, from the root of the repository."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import agents, first_result, generate, large, running
from benchmarks.contest import HEAD, ROOT, Contest, Row, Setup

BENCHMARKS: dict[str, Callable[[Setup], Iterator[Contest]]] = {
    "generate": generate.contests,
    "large": large.contests,
    "first_result": first_result.contests,
    "agents": agents.contests,
    "submits": running.submits,
    "transfers": running.transfers,
    "latency": running.latency,
    "sweeps": running.sweeps,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all unless given: {', '.join(BENCHMARKS)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender does a task (default: 5)")
    parser.add_argument("--size", type=float, default=1.0, help="share of the runs, images …: 0.1 for a quick look")
    parser.add_argument("--before", metavar="COMMIT", help="also compare with this project as it was at COMMIT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE, for compare.py")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "invokeai-gen-benchmark")
    arguments = parser.parse_args()
    if unknown := set(arguments.names).difference(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    rows: list[Row] = []
    print(HEAD, flush=True)
    with Setup(arguments.work, arguments.rounds, arguments.size, arguments.before) as setup:
        for name in arguments.names or BENCHMARKS:
            for contest in BENCHMARKS[name](setup):
                for row in setup.rows(contest):
                    rows.append(row)
                    print(row, flush=True)
    result = {**_about(setup), "rows": [asdict(row) for row in rows]}
    print(f"load {result['load'][0]:.1f} to {result['load'][1]:.1f} on {os.cpu_count()} CPUs")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _about(setup: Setup) -> dict[str, Any]:
    """Return what one has to know to read the results."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "before": setup.before,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load": [min(setup.load, default=0.0), max(setup.load, default=0.0)],
        "size": setup.size,
        "rounds": setup.rounds,
    }


if __name__ == "__main__":
    main()
