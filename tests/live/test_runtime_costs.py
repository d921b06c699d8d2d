"""What a run costs a program: how much of ours it loads, and that it blocks no event loop."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_architecture import MAX_LINES_OF_A_RUN

ROOT = Path(__file__).parents[2]
ONLY_A_LONG_RUN = {"invokeai_gen.server.event_link", "invokeai_gen.server.event_connection"}
"""Loaded by a run that has not ended when the server was asked some times, which depends on how fast it is."""


def output_of(code: str, server_url: str) -> list[str]:
    """The lines that a fresh process prints."""
    environment = {**os.environ, "INVOKEAI_URL": server_url}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


LOADED = """
import sys
from pathlib import Path
from generated import sunset_poster as wf
wf.run(wf.Params(), timeout=120)
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] == "invokeai_gen":
        print(name, len(Path(module.__file__).read_text(encoding="utf-8").splitlines()))
"""


def test_a_run_loads_little_of_ours(server_url: str) -> None:
    # A request that is repeated loads more: the leanest of three runs counts.
    runs = ([line.split() for line in output_of(LOADED, server_url)] for _ in range(3))
    loaded = min(({name: int(lines) for name, lines in run if name not in ONLY_A_LONG_RUN} for run in runs), key=len)
    total = sum(loaded.values())
    print(*loaded.items(), f"one run loads {total} lines of ours in {len(loaded)} modules", sep="\n")
    assert total <= MAX_LINES_OF_A_RUN


def test_a_run_does_not_load_the_command_of_httpx(server_url: str) -> None:
    code = (
        "import sys\nfrom generated import sunset_poster as wf\nwf.run(wf.Params(), timeout=120)\nprint(*sys.modules)"
    )
    (modules,) = output_of(code, server_url)
    assert "httpx" in modules.split()
    assert not {"httpx._main", "click", "rich", "pygments"} & {*modules.split()}


WATCHED = """
import asyncio, sys
blocked = []

def watch(event, args):
    if event in ("import", "open") and asyncio._get_running_loop() is not None:
        if event == "import" or str(args[0]).endswith((".py", ".pyc", ".json")):
            blocked.append(f"{event} {args[0]}")

from generated import sunset_poster as wf
from invokeai_gen import AsyncInvokeAIClient, InvokeAIClient
sys.addaudithook(watch)
"""
"""Notes every import and every open file of a thread whose event loop is running."""


@pytest.mark.parametrize(
    "program",
    [
        "wf.run(wf.Params(), timeout=120)",
        "asyncio.run(wf.arun(wf.Params(), timeout=120))",
        "wf.submit(wf.Params(), runs=2).all_outputs()",
        "wf.sweep(product={'seed': [1, 2]}).wait()",
        "async def swept(): await (await wf.asweep(product={'seed': [1, 2]})).wait()\nasyncio.run(swept())",
    ],
)
def test_nothing_is_read_or_imported_on_an_event_loop(program: str, server_url: str) -> None:
    blocked = output_of(f"{WATCHED}\n{program}\nprint(*blocked, sep='\\n')", server_url)
    ours = [line for line in blocked if "invokeai_gen" in line or "generated" in line]
    libraries = [line for line in blocked if line.split()[1].partition(".")[0] in ("httpx", "aiohttp", "socketio")]
    assert (ours, libraries) == ([], []), blocked
