"""Every example in the docs and in the README runs, against a real server, and prints what the page shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from inspect import ismodule
from pathlib import Path

import pytest
from PIL import Image
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

import invokeai_gen.handle
from invokeai_gen.public_names import HOME_OF

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WORKFLOWS = ROOT / "data" / "workflows"
PICTURES = ROOT / "docs" / "assets"
"""Pictures on the pages. `INVOKEAI_GEN_DOC_PICTURES=1` makes them again, from what the examples of the page made."""
_SCREENSHOTS = {"gallery.jpg": "out/gallery.html", "notebook.jpg": "notebook.html"}
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
    monkeypatch.setenv("SERVERS", f"{server_url} {_by_another_name(server_url)}")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PYTEST_PLUGINS", "invokeai_gen.testing.plugin")  # its entry point, for a checkout without one
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", scripts)
    known = set(sys.modules)
    yield tmp_path
    while _started:
        process = _started.pop()
        process.terminate()
        process.wait(PATIENCE)
    for name in [name for name in sys.modules if name not in known and _is_of_the_page(name, tmp_path)]:
        del sys.modules[name]


_started: list[subprocess.Popen[bytes]] = []
"""Commands of the page that end with `&`: they run until its end."""


def _by_another_name(url: str) -> str:
    """Return another address of the server on this machine: to a sweep they are two."""
    return url.replace("127.0.0.1", "localhost") if "127.0.0.1" in url else url.replace("localhost", "127.0.0.1")


def _is_of_the_page(name: str, folder: Path) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)


def _files(document: Document) -> Iterable[Region]:
    """Yield the blocks that are files, ```python title="app.py"; each is written, and used by what follows."""
    lexer = RawFencedCodeBlockLexer(re.compile(r'\w+ title="(?P<title>[\w.-]+)"$\n', re.MULTILINE))
    for region in lexer(document):
        region.parsed, region.evaluator = region.lexemes["source"], _write
        yield region


def _write(example: Example) -> None:
    Path(example.region.lexemes["title"]).write_text(example.parsed, encoding="utf-8")


def _shell(example: Example) -> str | None:
    """Run each command of a block; after a `$ command`, compare what it prints with the lines below, `…` for anything."""
    for part in re.split(r"(?m)^\$ ", str(example.parsed)):
        if not part.strip():
            continue
        command, _, wanted = part.partition("\n") if "$ " in str(example.parsed) else (part, "", "")
        if command.rstrip().endswith("&"):
            *before, command = command.rstrip("& \n").splitlines()
            subprocess.run("\n".join(before), shell=True, check=True)
            _started.append(
                subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            continue
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
        _files,
        SkipParser(),
    ]
)


def test_the_reference_has_every_public_name() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = re.findall(r"(?m)^::: invokeai_gen(?:\.handle)?\.(\w+)$|^ *\* `(\w+)`", text)
    of_handle = {name for name, item in vars(invokeai_gen.handle).items() if name[0].isalpha() and not ismodule(item)}
    assert {*HOME_OF, *of_handle} - {"__version__", "TYPE_CHECKING"} <= {name for pair in shown for name in pair}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run(page: Path) -> None:
    for example in _SYBIL.parse(page).examples():
        example.evaluate()
    for name in re.findall(r"\]\((?:\.\./)?assets/([\w.-]+)\)", page.read_text(encoding="utf-8")):
        made = Path(_SCREENSHOTS.get(name, name))
        assert made.is_file(), f"the page shows {name}, which its examples do not make"
        if "INVOKEAI_GEN_DOC_PICTURES" in os.environ:
            _take(made, PICTURES / name)


def _take(made: Path, picture: Path) -> None:
    """Keep what an example made as the picture of the page; of an HTML page, what a browser shows."""
    if made.suffix != ".html":
        shutil.copy(made, picture)
        return
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=800,700"]
    shot = made.with_suffix(".png")
    subprocess.run(["chromium", *options, f"--screenshot={shot}", made.absolute().as_uri()], check=True)
    Image.open(shot).convert("RGB").save(picture, quality=80)
