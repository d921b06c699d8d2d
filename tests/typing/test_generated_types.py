"""Type checkers at their strictest find nothing in generated modules, and find every mistake of those who use them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
USAGE = Path(__file__).with_name("usage.py.txt").read_text(encoding="utf-8")
WRONG = {number for number, line in enumerate(USAGE.splitlines(), 1) if line.endswith("# wrong")}


def run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert not done.stderr or "error" not in done.stderr.lower(), done.stderr
    return done.stdout


def test_mypy(project: Path) -> None:
    text = run("mypy", "--strict", "--no-error-summary", f"--cache-dir={ROOT / '.mypy_cache'}", ".", cwd=project)
    found = re.findall(r"^(.+?):(\d+): error: (.+)$", text, flags=re.MULTILINE)
    assert [error for error in found if error[0] != "usage.py"] == []
    assert {int(line) for _, line, _ in found} == WRONG, text


def test_pyright(project: Path) -> None:
    report = json.loads(run("pyright", "--outputjson", "--pythonpath", sys.executable, cwd=project))
    found = [
        (Path(item["file"]).name, item["range"]["start"]["line"] + 1, item["message"])
        for item in report["generalDiagnostics"]
        if item["severity"] in ("error", "warning")
    ]
    assert [error for error in found if error[0] != "usage.py"] == []
    assert {line for _, line, _ in found} == WRONG, found
