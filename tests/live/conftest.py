"""The command and a client, both with the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from invokeai_gen import InvokeAIClient
from tests.cli import Cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_url: str) -> Cli:
    """The command, in an empty folder, with the server in its environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INVOKEAI_URL", server_url)
    return Cli(capsys)


@pytest.fixture
def client(server_url: str) -> Iterator[InvokeAIClient]:
    with InvokeAIClient(server_url) as opened:
        yield opened
