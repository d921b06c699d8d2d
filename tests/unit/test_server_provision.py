"""Making a server's environment: once, to the end, by one process at a time, with errors that say where to look."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.server import versions
from tests.server.cache import MARKER, CacheError, FileLock, build_once, cache_folder
from tests.server.provision import ProvisionError, Steps, find_python, provision
from tests.server.versions import DEFAULT_VERSION, Pins, known_versions, pins

REPOSITORY = Path(__file__).parents[2]


class Builder:
    """Stands in for the real installation: counts its calls and leaves one file, once `may_end` is set."""

    def __init__(self) -> None:
        self.calls = 0
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, venv: Path, wanted: Pins) -> None:
        self.calls += 1
        assert list(venv.iterdir()) == []
        assert self.may_end.wait(30)
        (venv / "built").write_text(wanted.version)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INVOKEAI_GEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_environment_is_built_once(cache: Path) -> None:
    build = Builder()
    venv = provision(build=build)
    assert provision(build=build) == venv
    assert build.calls == 1
    assert venv.parent == cache
    assert (venv / "built").read_text(encoding="utf-8") == DEFAULT_VERSION


def test_an_unfinished_environment_is_wiped_and_built_again(cache: Path) -> None:
    def fail(venv: Path, wanted: Pins) -> None:
        (venv / "half").touch()
        raise ProvisionError("no network")

    with pytest.raises(ProvisionError):
        provision(build=fail)
    build = Builder()
    assert not (provision(build=build) / "half").exists()
    assert build.calls == 1


def test_an_environment_that_was_copied_elsewhere_is_built_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provision(build=Builder())
    moved = cache.rename(cache.with_name("moved"))
    monkeypatch.setenv("INVOKEAI_GEN_CACHE", str(moved))
    build = Builder()
    provision(build=build)
    assert build.calls == 1


def test_two_at_once_build_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build, waiting = Builder(), threading.Barrier(3)
    build.may_end.clear()
    found: list[Path] = []

    def others_wait(_line: str) -> None:
        waiting.wait(30)

    monkeypatch.setattr("tests.server.cache.say", others_wait)
    threads = [threading.Thread(target=lambda: found.append(provision(build=build))) for _ in range(3)]
    for thread in threads:
        thread.start()
    waiting.wait(30)
    build.may_end.set()
    for thread in threads:
        thread.join()
    assert build.calls == 1
    assert len(found) == 3
    assert len(set(found)) == 1


def test_a_lock_does_not_outlive_the_process_that_held_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = "import time\nfrom pathlib import Path\nfrom tests.server.cache import FileLock\n"
    code += f"with FileLock(Path({str(lock)!r})):\n    print('held', flush=True)\n    time.sleep(60)\n"
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CacheError, match="is it stuck"), FileLock(lock, deadline=0.2):
            pass
        holder.kill()
        holder.wait()
    with FileLock(lock, deadline=5):
        pass


def test_a_folder_counts_only_when_its_builder_came_to_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "models"

    def build(empty: Path) -> None:
        assert not (empty / MARKER).exists()

    build_once(folder, build)
    assert (folder / MARKER).exists()


def test_a_failed_step_says_which_and_names_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "server.log"
    steps = Steps(log, "Preparing InvokeAI")
    with pytest.raises(ProvisionError) as caught:
        steps.run("installing torch", [sys.executable, "-c", "raise SystemExit('no matching distribution')"])
    message = str(caught.value)
    assert "Installing torch failed" in message
    assert str(log) in message
    assert "no matching distribution" in message
    told = capfd.readouterr().err
    assert "Preparing InvokeAI" in told
    assert " s] installing torch" in told


def test_a_python_that_invokeai_does_not_run_on_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ProvisionError, match=r"python3\.11 or python3\.12; this is Python 3\.14"):
        find_python()


def test_a_release_without_pins_is_refused_with_those_there_are(cache: Path) -> None:
    with pytest.raises(ValueError, match=r"No pins for InvokeAI 5\.0\.0; there are pins for .*6\.14\.2"):
        provision("5.0.0")


@pytest.mark.parametrize("version", known_versions())
def test_pins_are_exact_and_hold_the_release_itself(version: str) -> None:
    lines = pins(version).file.read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))
    assert pins(version).requirement("invokeai") == f"invokeai=={version}"
    assert pins(version).requirement("torch").count(".") == 2


def test_other_pins_are_another_environment(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = provision(build=Builder())
    changed = Pins(DEFAULT_VERSION, pins().file, "0123456789")
    monkeypatch.setattr("tests.server.provision.pins", lambda version: changed)
    assert provision(build=Builder()) != first


def test_the_cache_is_where_the_variable_says(cache: Path) -> None:
    assert cache_folder() == cache
    assert versions.DEFAULT_VERSION in known_versions()
