"""`nox -s demo` shows the project at work, `nox -s test` checks all of it. Both set up everything they need."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["test"]
nox.needs_version = ">=2024.4"

ROOT = Path(__file__).parent
DEMO = ROOT / "demo-output"


def _say(session: nox.Session, step: str) -> None:
    session.log(f"── {step}")


@nox.session
def demo(session: nox.Session) -> None:
    """Generate modules from data/workflows, start a local InvokeAI, and make images with one of them."""
    started = time.monotonic()
    _say(session, "1/4  install invokeai-gen")
    session.install(".[images]")
    _say(session, "2/4  install InvokeAI for the CPU (once per machine: some minutes, 3 GB)")
    session.run("python", "-m", "tests.server", "provision")
    _say(session, "3/4  generate one module per workflow")
    DEMO.mkdir(exist_ok=True)
    session.run("invokeai-gen", "generate", "data/workflows", "-o", str(DEMO / "generated"))
    _say(session, "4/4  start InvokeAI and run a workflow that needs no model")
    shutil.copy(ROOT / "examples" / "demo.py", DEMO)
    session.run("python", "-m", "tests.server", "with", "--", "python", str(DEMO / "demo.py"), str(DEMO / "images"))
    session.log(f"done in {time.monotonic() - started:.0f} s: the images are in {DEMO / 'images'}")


@nox.session
def test(session: nox.Session) -> None:
    """Lint, types, freshness of generated/, and all tests, those against a real InvokeAI server among them."""
    _say(session, "install invokeai-gen and the tools")
    session.install("-e", ".[images,servers]")
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint", "test"))
    _say(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    _say(session, "types")
    session.run("mypy")
    _say(session, "generated/ is what `generate` makes of data/workflows")
    session.run("invokeai-gen", "check", "data/workflows", "-o", "generated")
    _say(session, "install InvokeAI for the CPU (once per machine: some minutes, 3 GB)")
    session.run("python", "-m", "tests.server", "provision")
    _say(session, "tests")
    session.run("pytest", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of everything that is installed with the package; needs a vulnerability database."""
    session.install(".[images,servers]", "pip-audit")
    session.run("pip-audit", "--skip-editable")
