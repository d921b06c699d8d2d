"""Every example in the docs and in the README runs, against a real server, and prints what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WORKFLOWS = ROOT / "data" / "workflows"
PATIENCE = 600.0
"""Seconds until one command of a page is given up."""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package `workflows`, generated from the example workflows."""
    folder = tmp_path_factory.mktemp("modules")
    command = [sys.executable, "-m", "invokeai_gen", "generate", str(WORKFLOWS), "-o", str(folder / "workflows"), "-q"]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def folder(modules: Path, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What a reader has: the workflow files, the generated package, some photos, a table, and a server."""
    shutil.copytree(modules, tmp_path, dirs_exist_ok=True)
    for file in WORKFLOWS.glob("*.json"):
        shutil.copy(file, tmp_path)
    (tmp_path / "photos").mkdir()
    for number, color in enumerate(("tomato", "gold", "teal"), start=1):
        Image.new("RGB", (256, 256), color).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "rows.csv").write_text("Title,width,seed\nDusk,256,1\nDawn,320,2\n", encoding="utf-8")
    (tmp_path / "prompts.txt").write_text("a fox\nan owl\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("INVOKEAI_URL", server_url)
    monkeypatch.setenv("COLUMNS", "100")
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", scripts)
    yield tmp_path
    for name in [name for name in sys.modules if name == "workflows" or name.startswith("workflows.")]:
        del sys.modules[name]


def _shell(example: Example) -> str | None:
    """Run each command of a block; after a `$ command`, compare what it prints with the lines below, `…` for anything."""
    for part in re.split(r"(?m)^\$ ", str(example.parsed)):
        if not part.strip():
            continue
        command, _, wanted = part.partition("\n") if "$ " in str(example.parsed) else (part, "", "")
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False
        )
        printed = done.stdout + done.stderr
        if done.returncode:
            return f"{command}\nexited with {done.returncode}:\n{printed}"
        pattern = ".*".join(re.escape(piece) for piece in wanted.strip().split("…"))
        if wanted.strip() and not re.fullmatch(pattern, printed.strip(), re.DOTALL):
            return f"{command}\nprinted\n{printed}\nbut the page shows\n{wanted}"
    return None


_SYBIL = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser(language="sh", evaluator=_shell),
        CodeBlockParser(language="console", evaluator=_shell),
        SkipParser(),
    ]
)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run(page: Path) -> None:
    for example in _SYBIL.parse(page).examples():
        example.evaluate()
