"""The command and a client with the real server, a proxy in front of it, and the node types of the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from invokeai_gen import InvokeAIClient
from invokeai_gen.schema import Schema, shipped_schema
from tests.cli import Cli
from tests.live.proxy import Proxy


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_url: str) -> Cli:
    """The command, in an empty folder, with the server in its environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INVOKEAI_URL", server_url)
    return Cli(capsys)


@pytest.fixture(scope="module")
def client(server_url: str) -> Iterator[InvokeAIClient]:
    """A client of the server, which the tests of a file share."""
    with InvokeAIClient(server_url) as opened:
        yield opened


@pytest.fixture
def proxy(server_url: str) -> Iterator[Proxy]:
    """A proxy in front of the server, which can lose, delay and change answers."""
    with Proxy(server_url) as running:
        yield running


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Node types of the InvokeAI version that the package was made for."""
    return shipped_schema()
