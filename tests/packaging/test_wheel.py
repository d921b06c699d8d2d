"""The wheel is complete: installed alone into an empty environment it generates, and what it generates works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing of the checkout can be missed."""
    source = tmp_path_factory.mktemp("source") / "invokeai-gen"
    ignored = shutil.ignore_patterns(".git", ".nox", ".venv", "__pycache__", "demo-output", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, source, ignore=ignored)
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that holds the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    _run(commands / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return commands


def test_templates_schema_and_type_marker_are_inside(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"invokeai_gen/{name}" for name in ("py.typed", "__init__.pyi", "_shipped/openapi.json")} <= names
    assert {f"invokeai_gen/_shipped/templates/{path.name}" for path in (ROOT / "templates").iterdir()} <= names
    assert not any(name.split("/")[0] in {"tests", "data", "generated", "templates"} for name in names)


def test_an_installed_wheel_generates_what_the_checkout_generates(installed: Path, tmp_path: Path) -> None:
    said = _run(installed / "invokeai-gen", "generate", ROOT / "data" / "workflows", "-o", "generated", cwd=tmp_path)
    assert "error" not in said
    for path in (ROOT / "generated").glob("*.*"):
        made = (tmp_path / "generated" / path.name).read_bytes()
        assert made == path.read_bytes().replace(b"\r\n", b"\n"), path.name


def test_a_generated_module_imports_where_only_the_wheel_is_installed(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "generated", tmp_path / "generated")
    code = "from generated import sunset_poster as wf; print(wf.Params(width=512).width)"
    assert _run(installed / "python", "-c", code, cwd=tmp_path) == "512\n"


def test_the_container_description_copies_all_that_the_build_needs(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY") and "--from" not in line:
            *names, target = line.split()[1:]
            for name in names:
                copied = tmp_path / "source" / target / ("" if (ROOT / name).is_dir() else name.rpartition("/")[2])
                copied.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, copied)
    _run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, "./source", cwd=tmp_path
    )
    (built,) = tmp_path.glob("*.whl")
    assert "invokeai_gen/_shipped/openapi.json" in zipfile.ZipFile(built).namelist()
