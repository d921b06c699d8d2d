"""Try a built release on every Python at hand: `python -m tests.packaging.matrix SDIST WHEEL [3.12 …] [lowest] [highest]`.

Each environment has the wheel, with the oldest or the newest dependencies that pyproject.toml allows. In it the unit tests
of the sdist run, and `generate` has to write what the sdist contains. uv installs a Python that is missing if it can.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

PYTHONS: Final[tuple[str, ...]] = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS: Final = {"lowest": "lowest-direct", "highest": "highest"}


def _environment() -> dict[str, str]:
    """Return what commands see: nothing of this checkout, and every Python of pyenv."""
    hidden = {"PYTHONPATH", "VIRTUAL_ENV", "UV_PYTHON"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    if shutil.which("pyenv"):
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True)
        known = [name for name in listed.stdout.split() if name.startswith(PYTHONS)]
        environment["PYENV_VERSION"] = ":".join(known)
    return environment


class _Cell:
    """One Python with one choice of dependencies."""

    def __init__(self, python: str, resolution: str, folder: Path, source: Path, wheel: Path) -> None:
        self.python, self.resolution, self.source, self.wheel = python, resolution, source, wheel
        self.folder = folder / f"{python}-{resolution}"
        self.bin = self.folder / ("Scripts" if os.name == "nt" else "bin")

    def result(self) -> str:
        """Return `ok`, or what failed."""
        uv: list[str | Path] = ["uv", "pip", "install", "--quiet", "--python", self.folder]
        constraints = self.folder / "constraints.txt"
        project = self.source / "pyproject.toml"
        resolution: list[str | Path] = ["--resolution", RESOLUTIONS[self.resolution], "--only-binary", ":all:"]
        if self._run("uv", "venv", "--quiet", "--python", self.python, self.folder):
            return "not at hand"
        if self._run(*uv, *resolution, "-r", project, "--all-extras"):
            return "the dependencies cannot be installed"
        if self._run(*uv, "--no-deps", self.wheel):
            return "the wheel cannot be installed"
        frozen = subprocess.run(
            ["uv", "pip", "freeze", "--python", self.folder, "--exclude", "invokeai-gen"],
            capture_output=True,
            text=True,
            check=True,
        )
        constraints.write_text(frozen.stdout, encoding="utf-8")
        groups: list[str | Path] = ["--group", f"{project}:test", "--group", f"{project}:lint"]
        if self._run(*uv, "-c", constraints, *groups):
            return "the tools for the tests do not go with the dependencies"
        if self._run(self.bin / "python", "-m", "pytest", "-q", "-n", "auto", "tests/unit"):
            return "unit tests fail"
        made = self.folder / "generated"
        if self._run(self.bin / "invokeai-gen", "generate", "data/workflows", "-o", made, "--quiet"):
            return "generate fails"
        names = [path.name for path in (self.source / "generated").iterdir() if path.is_file()]
        same, *_ = filecmp.cmpfiles(made, self.source / "generated", names, shallow=False)
        return "ok" if sorted(same) == sorted(names) else f"generate writes other files: {set(names) - set(same)}"

    def _run(self, *command: str | Path) -> int:
        print("$", *command, flush=True)
        return subprocess.run(command, cwd=self.source, env=_environment(), check=False).returncode


def main(sdist: str, wheel: str, *chosen: str) -> int:
    """Print a table of results. Return 1 if something failed on a Python at hand."""
    results: dict[tuple[str, str], str] = {}
    with tempfile.TemporaryDirectory(prefix="invokeai-gen-release-") as name:
        with tarfile.open(sdist) as archive:
            archive.extractall(name, filter="data")
        (source,) = Path(name).iterdir()
        for python in [each for each in PYTHONS if each in chosen] or PYTHONS:
            for resolution in [each for each in RESOLUTIONS if each in chosen] or RESOLUTIONS:
                cell = _Cell(python, resolution, Path(name), source, Path(wheel).absolute())
                results[python, resolution] = cell.result()
    for (python, resolution), result in results.items():
        print(f"{python}  {resolution:8} {result}")
    return int(any(result not in ("ok", "not at hand") for result in results.values()) or "ok" not in results.values())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
