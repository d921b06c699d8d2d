"""Make, once per machine, a virtual environment that holds a real InvokeAI."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.server import torchvision_operators
from tests.server.cache import build_once, cache_folder, say
from tests.server.versions import DEFAULT_VERSION, SUPPORTED_PYTHONS, Pins, pins

LOG_TAIL_LINES = 30


class ProvisionError(RuntimeError):
    """The environment could not be made; says which step failed and where its log is."""


def provision(version: str = DEFAULT_VERSION, *, build: Callable[[Path, Pins], None] | None = None) -> Path:
    """The virtual environment of an InvokeAI release, made now if this machine does not have it yet."""
    wanted = pins(version)
    folder = cache_folder() / f"server-{version}-{wanted.digest}"
    make = build or build_environment
    return build_once(folder, lambda empty: make(empty, wanted))


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def clean_environment(**extra: str) -> dict[str, str]:
    """Our environment variables without those that would reach into another Python or override InvokeAI's settings."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV") and not key.startswith(("INVOKEAI_", "COVERAGE_"))
    }
    return kept | extra


def build_environment(venv: Path, wanted: Pins) -> None:
    """Fill the empty folder ``venv``. Everything comes through this machine's pip, as that is configured."""
    log = venv.with_name(f"{venv.name}.log")
    steps = Steps(log, f"Preparing InvokeAI {wanted.version} in {venv} (once per machine)")
    python = str(venv_python(venv))
    pip = (python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check")
    torch = wanted.requirement("torch")

    steps.run("creating a virtual environment", [find_python(), "-m", "venv", str(venv)])
    # Torch alone brings its own requirements: which ones it needs (CUDA's libraries, or none) depends on the build.
    steps.run(f"installing {torch}", [*pip, "--constraint", str(wanted.file), torch])
    steps.run(f"installing InvokeAI {wanted.version}", [*pip, "--no-deps", "--requirement", str(wanted.file)])

    check = [python, "-c", "import torchvision"]
    if not steps.succeeds("checking torchvision", check):
        declare = [python, "-c", _INSTALL_OPERATORS, torchvision_operators.__file__]
        steps.run("declaring torchvision's operators", declare)
        steps.run("checking torchvision again", check)
    steps.run("checking InvokeAI", [python, "-c", "import invokeai.app.run_app, invokeai.backend.util.devices"])
    steps.done()


_INSTALL_OPERATORS = """
import pathlib, shutil, sys, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
shutil.copy(sys.argv[1], site / "torchvision_operators.py")
(site / "torchvision_operators.pth").write_text("import torchvision_operators\\n")
"""


def find_python() -> str:
    """A Python that InvokeAI runs on: this one, else the first on the PATH."""
    if sys.version_info[:2] in SUPPORTED_PYTHONS:
        return sys.executable
    names = [f"python{major}.{minor}" for major, minor in SUPPORTED_PYTHONS]
    for name in names:
        path = shutil.which(name)
        # Being on the PATH is not enough: version managers put stand-ins there that only print an error.
        if path:
            works = subprocess.run([path, "-c", "import ensurepip, venv"], capture_output=True, check=False)
            if works.returncode == 0:
                return path
    ours = ".".join(map(str, sys.version_info[:2]))
    raise ProvisionError(f"InvokeAI needs {' or '.join(names)}; this is Python {ours}, and neither is on the PATH.")


class Steps:
    """Runs the commands of one build: tells the steps on stderr, keeps what the commands print in a log."""

    def __init__(self, log: Path, title: str) -> None:
        self._log = log
        self._start = time.monotonic()
        log.write_text(f"{title}\n", encoding="utf-8")
        say(title)

    def run(self, step: str, command: Sequence[str]) -> None:
        """Run a command that must succeed."""
        if not self.succeeds(step, command):
            tail = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
            raise ProvisionError("\n".join([f"{step[0].upper()}{step[1:]} failed; full log: {self._log}", *tail]))

    def succeeds(self, step: str, command: Sequence[str]) -> bool:
        """Run a command and tell whether it succeeded."""
        self._say(step)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"\n== {step}\n$ {subprocess.list2cmdline(command)}\n")
            log.flush()
            # close_fds=False: see FileLock.
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                close_fds=False,
            )
        return done.returncode == 0

    def done(self) -> None:
        self._say("done")

    def _say(self, text: str) -> None:
        say(f"[{time.monotonic() - self._start:6.1f} s] {text}")
