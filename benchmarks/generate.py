"""How long generating takes, and importing what was generated, beside public tools on the same machine.

    python benchmarks/generate.py --server http://localhost:9090

The 26 workflows that ship with InvokeAI are read from that server. The other tools are installed from PyPI into a
virtual environment of their own, once. Nothing here is asserted: see README.md for what the lines mean.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from invokeai_gen import InvokeAIClient
from invokeai_gen.cli.library import file_names

ROOT = Path(__file__).resolve().parents[1]
OPENAPI = ROOT / "data" / "openapi.json"
EXAMPLE = "three_stage_refine"
RIVALS = ("openapi-python-client==0.29.1", "invokeai-py-client==1.1.1", "ruff")
OURS = [sys.executable, "-c", "from invokeai_gen.cli import main; main()"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--server", help="default: INVOKEAI_URL, else http://localhost:9090")
    options.add_argument("--repeat", type=int, default=5, help="runs of each kind; the median counts")
    options.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "invokeai-gen-benchmark")
    arguments = options.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    python = _rivals(work / "rivals")
    flows = _shipped_workflows(arguments.server, work / "workflows")
    _compare_generating(work, flows, python, arguments.repeat)
    _compare_importing(work, python, arguments.repeat)


def _compare_generating(work: Path, flows: Path, python: Path, repeat: int) -> None:
    cold, warm, rival = work / "cold", work / "warm", work / "rival"
    bare = work / "no-hooks.yaml"
    bare.write_text("post_hooks: []\n", encoding="utf-8")
    command = [str(python.with_name("openapi-python-client")), "generate", "--path", str(OPENAPI)]
    command += ["--meta", "none", "--overwrite", "--output-path", str(rival)]
    _run([*OURS, "generate", str(flows), "-o", str(warm)])
    print(f"\n{len(list(flows.glob('*.json')))} workflows that ship with InvokeAI, {OPENAPI.name} of {_size(OPENAPI)}")
    medians = _medians(
        repeat,
        {
            "invokeai-gen, cold": (lambda: _remove(cold), [*OURS, "generate", str(flows), "-o", str(cold)]),
            "invokeai-gen, nothing changed": (_nothing, [*OURS, "generate", str(flows), "-o", str(warm)]),
            "openapi-python-client": (lambda: _remove(rival), command),
            "openapi-python-client, unformatted": (lambda: _remove(rival), [*command, "--config", str(bare)]),
        },
    )
    cold_time = medians["invokeai-gen, cold"]
    for name in ("openapi-python-client", "openapi-python-client, unformatted"):
        print(f"  {name} takes {medians[name] / cold_time:.1f} x as long as invokeai-gen, cold")
    print(f"  modules written: {len(list(cold.glob('[a-z]*.py')))}")


def _compare_importing(work: Path, python: Path, repeat: int) -> None:
    package = work / "package"
    _run([*OURS, "generate", str(ROOT / "data" / "workflows"), "-o", str(package)])
    ours = (
        "from invokeai_gen import InvokeAIClient\n"
        f"from package import {EXAMPLE} as workflow\n"
        "workflow.Params()\n"
        "InvokeAIClient('http://localhost:9090')\n"
    )
    print("\nimport")
    medians = _medians(
        repeat,
        {
            "python alone": (_nothing, [sys.executable, "-c", "pass"]),
            "generated module + Params + client": (_nothing, [sys.executable, "-c", ours]),
            "import invokeai_py_client": (_nothing, [str(python), "-c", "import invokeai_py_client"]),
        },
        folder=work,
    )
    ratio = medians["generated module + Params + client"] / medians["import invokeai_py_client"]
    print(f"  generated module + Params + client takes {ratio:.2f} x as long as import invokeai_py_client")


def _medians(
    repeat: int, runs: dict[str, tuple[Callable[[], None], Sequence[str]]], folder: Path | None = None
) -> dict[str, float]:
    """Seconds each command takes. They take turns, so that a busy moment of the machine is borne by all."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeat + 1):
        for name, (prepare, command) in runs.items():
            prepare()
            started = time.perf_counter()
            _run(command, folder)
            if turn:  # the first turn only fills caches
                times[name].append(time.perf_counter() - started)
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        print(f"  {name:<40} {middle:6.3f} s   (from {min(seconds):.3f} to {max(seconds):.3f})")
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    # openapi-python-client looks for ruff, its formatter, on the path.
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    # 1: some of the shipped workflows are refused, by the GUI too.
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def _rivals(folder: Path) -> Path:
    """Python of the environment with the other tools, made if it is not there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "done.txt"
    if not done.is_file() or done.read_text(encoding="utf-8").split() != [*RIVALS]:
        print(f"installing {', '.join(RIVALS)} …", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *RIVALS], check=True)
        done.write_text("\n".join(RIVALS), encoding="utf-8")
    return python


def _shipped_workflows(server: str | None, folder: Path) -> Path:
    _remove(folder)
    folder.mkdir()
    with InvokeAIClient(server) as client:
        listed = client.workflows.list(category="default")
        for item, name in zip(listed, file_names(listed).values(), strict=True):
            content = client.workflows.get(item.workflow_id).workflow
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _nothing() -> None:
    pass


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
