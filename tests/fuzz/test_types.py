"""Modules of files that mean harm are as well typed as all others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fuzz import properties

ROOT = Path(__file__).parents[2]
CASES = range(5_000, 5_200)
MODULES = 30


def test_mypy_finds_nothing(tmp_path: Path) -> None:
    made = 0
    for number in CASES:
        case = properties.case(number)
        # Half of them with node types that lie: these have the odder types.
        if (case.schema is None) == (made % 2 == 0) or (module := properties.check(case, formatted=False)) is None:
            continue
        package = tmp_path / f"case_{number}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "_types.py").write_text(module.types, encoding="utf-8")
        (package / f"{properties.NAME}.py").write_text(module.text, encoding="utf-8")
        made += 1
        if made == MODULES:
            break
    assert made == MODULES
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={ROOT / '.mypy_cache'}"]
    done = subprocess.run([*command, "."], cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert (done.stdout[:5000], done.stderr[:5000]) == ("", "")
