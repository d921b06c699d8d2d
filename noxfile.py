"""`nox -s demo` shows the project at work, `nox -s test` checks all of it. Each session sets up everything it needs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["test"]
# A Python that this machine lacks is left out, also where CI=true; the session's log names it.
nox.options.error_on_missing_interpreters = False
nox.needs_version = ">=2024.4.15"

ROOT = Path(__file__).parent
DEMO = ROOT / "demo-output"
DIST = ROOT / "dist"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
WITHOUT_A_SERVER = ["tests/unit", "tests/golden", "tests/conformance"]
"""What `unit` runs, on every Python. The rest of `tests` needs a server, or builds and type-checks for minutes."""


def _step(session: nox.Session, step: str) -> None:
    session.log(f"── {step}")


def _install(session: nox.Session, *groups: str) -> None:
    """Install the package as it is being worked on, with every extra, and the tools of these dependency groups."""
    session.install("-e", ".[images,mcp,servers]")
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), *groups))


def _provision(session: nox.Session) -> None:
    _step(session, "install InvokeAI for the CPU (once per machine: some minutes, 3 GB)")
    session.run("python", "-m", "tests.server", "provision")


@nox.session
def demo(session: nox.Session) -> None:
    """Generate modules from data/workflows, start a local InvokeAI, and make images with one of them."""
    started = time.monotonic()
    _step(session, "1/4  install invokeai-gen")
    session.install(".[images]")
    _step(session, "2/4  install InvokeAI for the CPU (once per machine: some minutes, 3 GB)")
    session.run("python", "-m", "tests.server", "provision")
    _step(session, "3/4  generate one module per workflow")
    DEMO.mkdir(exist_ok=True)
    session.run("invokeai-gen", "generate", "data/workflows", "-o", str(DEMO / "generated"))
    _step(session, "4/4  start InvokeAI and run a workflow that needs no model")
    shutil.copy(ROOT / "examples" / "demo.py", DEMO)
    session.run("python", "-m", "tests.server", "with", "--", "python", str(DEMO / "demo.py"), str(DEMO / "images"))
    session.log(f"done in {time.monotonic() - started:.0f} s: the images are in {DEMO / 'images'}")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, and whether generated/ is what `generate` makes of data/workflows."""
    _install(session, "lint", "test")
    _lint(session)


def _lint(session: nox.Session) -> None:
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("pyright")
    session.run("invokeai-gen", "check", "data/workflows", "-o", "generated")


@nox.session(python=PYTHONS)
def unit(session: nox.Session) -> None:
    """The tests that need no server, in parallel, on every Python from 3.11 that is at hand."""
    _install(session, "lint", "test")
    session.run("pytest", "-n", "auto", *(session.posargs or WITHOUT_A_SERVER))


@nox.session
def live(session: nox.Session) -> None:
    """The tests against a real InvokeAI server, which the session installs and starts itself."""
    _install(session, "lint", "test")
    _provision(session)
    session.run("pytest", *(session.posargs or ["tests/live"]))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into `site`, with warnings as errors; it needs no network to be read."""
    _install(session, "docs")
    session.run("mkdocs", "build", *session.posargs)


@nox.session
def test(session: nox.Session) -> None:
    """Everything: lint, types, freshness of generated/, the site, and all tests, those against a real server among them."""
    _install(session, "lint", "test", "docs")
    _step(session, "lint, types, generated/, the site")
    _lint(session)
    session.run("mkdocs", "build", "--quiet")
    _provision(session)
    _step(session, "tests")
    session.run("pytest", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Build sdist and wheel into `dist`, and check them on every Python at hand, with the oldest and newest dependencies.

    `nox -s release -- 3.12 lowest` tries only that. Breaks of the public API since the last tag have to be listed.
    """
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "release"))
    session.run("python", "-m", "tests.packaging.api")
    session.run("hadolint", "Dockerfile")
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(DIST))
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    version = sdist.name.removeprefix("invokeai_gen-").removesuffix(".tar.gz")
    if f"## [{version}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        session.error(f"CHANGELOG.md has no section for {version}")
    session.run("twine", "check", "--strict", str(sdist), str(wheel))
    session.run("check-wheel-contents", str(wheel))
    session.run("pyroma", "--min=10", "--skip-tests=AuthorEmail", str(sdist))  # reports go to the project's page
    session.run("python", "-m", "tests.packaging.matrix", str(sdist), str(wheel), *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Change the code in 240 small ways, one at a time, and name the changes that no unit test notices."""
    _install(session, "test", "mutants")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of everything that is installed with the package; needs a vulnerability database."""
    session.install(".[images,mcp,servers]", "pip-audit")
    session.run("pip-audit", "--skip-editable")
