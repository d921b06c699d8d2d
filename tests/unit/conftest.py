"""What unit tests share: an environment that says nothing, the command, the shipped schema, retries without pauses."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from invokeai_gen.schema import Schema, shipped_schema
from invokeai_gen.server import constants
from tests.cli import Cli, adder, labelled, save
from tests.unit.workflow_builder import Builder

READ_BY_US: Final = ("INVOKEAI_URL", "INVOKEAI_TOKEN", "_INVOKEAI_GEN_COMPLETE", "CI", "COMP_LINE", "SHELL", "XDG_")
READ_BY_LIBRARIES: Final = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLUMNS", "LINES", "TERM", "TTY_", "SSL_CERT_")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset what the package and its libraries read, so that no test depends on where it runs."""
    for name in [*os.environ]:
        if name.startswith((*READ_BY_US, *READ_BY_LIBRARIES)) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """No garbage collection, for recursion to its limit: there the callback of hypothesis for it fails, in any test."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Node types of the InvokeAI version that the package was made for."""
    return shipped_schema()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Cli(capsys)


@pytest.fixture
def examples(cli: Cli, monkeypatch: pytest.MonkeyPatch, schema: Schema) -> None:
    """Some workflows in the folder of `cli`; nothing answers at the address of its server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("INVOKEAI_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    save(Path("adder.json"), adder())
    blur = Builder(schema).node("b", "img_blur").node("s", "save_image", label="Result").edge("b.image", "s.image")
    blur.field("b.image").field("b.radius").field("b.blur_type").field("s.board")
    save(Path("blur.json"), labelled(blur, b__radius="Radius", s__board="Output"))
    text = Builder(schema).node("t", "string", value="a fox").node("n", "integer", value=3).node("c", "color")
    text.node("y", "boolean").node("i", "integer_collection", collection=[1])
    text.field("t.value").field("n.value").field("c.color").field("y.value").field("i.collection")
    save(
        Path("text.json"),
        labelled(text, t__value="Prompt", n__value="Größe", c__color="Tint", y__value="Loud", i__collection="Sizes"),
    )


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry, and look for what was sent, without waiting in between."""
    monkeypatch.setattr(constants, "FIRST_RETRY_WAIT", 0.0)
    monkeypatch.setattr(constants, "LOST_ANSWER_WAITS", (0.0, 0.0))


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """A folder with an image that may be named, and a link to one outside that may not."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "red.png").write_bytes(b"red")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    return folder
