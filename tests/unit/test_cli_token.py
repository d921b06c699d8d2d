"""`INVOKEAI_TOKEN` reaches the servers that the user names, not those that a project names."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from click.shell_completion import ShellComplete

from invokeai_gen.cli import cli as group
from invokeai_gen.cli.servers import server_token
from invokeai_gen.cli.settings import Settings

REMOTE = "http://gpu.example:9090"


@pytest.fixture(autouse=True)
def _with_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOKEAI_TOKEN", "s3cret")
    monkeypatch.delenv("INVOKEAI_URL", raising=False)


def project(server: str | None) -> Settings:
    return Settings(root=Path(), server=server)


def test_a_server_that_only_the_project_names_gets_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert server_token(None, project(f"http://me:pw@{REMOTE[7:]}")) == ""
    message = capsys.readouterr().err
    assert f"INVOKEAI_TOKEN is not sent to {REMOTE}" in message
    assert "s3cret" not in message
    assert "pw@" not in message


@pytest.mark.parametrize("server", [None, "http://localhost:9090", "http://127.0.0.1:9091", "http://[::1]:9090"])
def test_the_default_and_this_machine_get_it(server: str | None) -> None:
    assert server_token(None, project(server)) is None


def test_a_server_that_the_user_names_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_token(REMOTE, project("http://other.example")) is None
    monkeypatch.setenv("INVOKEAI_URL", REMOTE)
    assert server_token(None, project("http://other.example")) is None


def test_completion_keeps_to_the_same_rule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.invokeai-gen]\nserver = "{REMOTE}"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    asked = []

    async def answer(self: object, request: httpx.Request) -> httpx.Response:
        asked.append((request.url.host, request.headers.get("Authorization")))
        return httpx.Response(404)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    completion = ShellComplete(group, {}, "invokeai-gen", "_X")
    assert completion.get_completions(["workflows", "pull"], "x") == []
    assert asked and set(asked) == {("gpu.example", None)}
    assert "INVOKEAI_TOKEN is not sent" in capsys.readouterr().err
