"""When a run shows progress, where, and that nothing is loaded for it otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from generated import sunset_poster as wf
from invokeai_gen.core.terminal import wants_progress
from invokeai_gen.runtime import progress
from invokeai_gen.sweeps.progress import text_of
from invokeai_gen.sweeps.results import SweepCounts
from invokeai_gen.testing import FakeInvokeAI

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from generated import sunset_poster as wf
from invokeai_gen.testing import FakeInvokeAI
with FakeInvokeAI() as fake:
    fake.returns(poster=(8, 8), progress=(0.5,))
    if sys.argv[2:]:
        for result in wf.sweep(product={"width": [256, 320, 384]}, **eval(sys.argv[1])):
            print("item", result.index)
    else:
        wf.run(wf.Params(), **eval(sys.argv[1]))
# httpx itself loads rich if click and pygments are there, too
print("invokeai_gen.runtime.progress" in sys.modules)
"""


def _on_a_terminal(*arguments: str) -> str:
    """What a run prints if stderr is a terminal; then what it writes to stdout, last whether the display was loaded."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = bytearray()
        reader = threading.Thread(target=_read, args=(ours, shown))
        reader.start()
        assert process.stdout is not None
        loaded = process.stdout.read().decode()
        reader.join()
    os.close(ours)
    return shown.decode() + loaded


def _read(stream: int, into: bytearray) -> None:
    while True:
        try:
            data = os.read(stream, 65536)
        except OSError:  # Linux reports the end of a terminal so
            return
        if not data:
            return
        into += data


def test_a_terminal_shows_progress_and_progress_false_turns_it_off() -> None:
    shown = _on_a_terminal("{}")
    assert "Sunset Poster" in shown and "completed" in shown
    assert shown.endswith("True\n")
    assert _on_a_terminal("{'progress': False}") == "False\n"


def test_so_does_a_sweep_and_what_a_program_prints_meanwhile_stays_on_stdout() -> None:
    shown, _, printed = _on_a_terminal("{}", "sweep").partition("item 0\n")
    assert "Sunset Poster" in shown and "3/3" in shown and "item" not in shown
    assert printed == "item 1\nitem 2\nTrue\n"
    assert _on_a_terminal("{'progress': False}", "sweep") == "item 0\nitem 1\nitem 2\nFalse\n"


def test_the_rest_of_a_sweep_is_estimated_from_what_has_ended() -> None:
    counts = SweepCounts(total=10, completed=4, failed=1, unsent=5)
    assert text_of(counts, 2, 30) == "4.0 a minute, 0:01:15 left, 1 failed, 5 waiting for room in the queue"
    assert text_of(counts, 0, 30) == "1 failed, 5 waiting for room in the queue"
    assert text_of(SweepCounts(total=2, completed=2), 2, 30) == ""


def test_without_a_terminal_nothing_is_shown_nor_loaded() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", RUN, "{}"], capture_output=True, text=True, env=environment, check=True
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_what_is_asked_for_goes_before_what_stderr_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert (wants_progress(None), wants_progress(True), wants_progress(False)) == (False, True, False)
    with FakeInvokeAI():
        wf.run(wf.Params(), progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert "Sunset Poster" in said.err


class _Notebook:
    """Stderr as ipykernel gives it: not a terminal."""

    __module__ = "ipykernel.iostream"

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_a_notebook_without_ipywidgets_gets_a_line_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Notebook()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    with FakeInvokeAI() as fake:
        fake.returns(poster=(8, 8), progress=(0.5,))
        wf.run(wf.Params())
    first, *_, last = stream.text.split("\r")[1:]
    assert first.rstrip() == "Sunset Poster  waiting in the queue"
    assert last.startswith("Sunset Poster  100%") and "completed" in last and last.endswith("\n")
    assert "  50%  " in stream.text


def test_a_sweep_is_a_line_of_text_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Notebook()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    with FakeInvokeAI():
        wf.sweep(product={"width": [256, 320, 384]}).results()
    assert stream.text.rstrip().endswith("Sunset Poster  100%  3/3") and stream.text.endswith("\n")


def test_of_several_runs_at_a_time_one_is_shown() -> None:
    first, second = (progress.Display(progress.screen(title)) for title in ("First", "Second"))
    with first, second:
        assert (first._has_turn, second._has_turn) == (True, False)
    with second:
        assert second._has_turn
