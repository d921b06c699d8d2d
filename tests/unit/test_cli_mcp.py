"""`mcp --print-config`: the settings that MCP clients read. The tools themselves are in `test_mcp_tools`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from invokeai_gen.cli.server import mcp
from tests.cli import Cli


@pytest.mark.parametrize(
    ("client", "servers"), [("claude", "mcpServers"), ("cursor", "mcpServers"), ("vscode", "servers")]
)
def test_a_client_gets_settings_that_start_this_command(
    cli: Cli, client: str, servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("flow.json").touch()
    for option in (["--print-config", client], [f"--print-config={client}"]):
        arguments = ["mcp", *option, "flow.json", "Name in the library"]
        monkeypatch.setattr(sys, "argv", ["invokeai-gen", *arguments])
        monkeypatch.setattr(mcp, "which", lambda name: f"/venv/bin/{name}")
        monkeypatch.setenv("INVOKEAI_URL", "http://gpu:9090")
        command = {"type": "stdio", "command": "/venv/bin/invokeai-gen", "env": {"INVOKEAI_URL": "http://gpu:9090"}}
        paths = ["mcp", str(Path("flow.json").absolute()), "Name in the library"]
        assert json.loads(cli(*arguments).out) == {servers: {"invokeai": {**command, "args": paths}}}


@pytest.mark.parametrize("joined", [False, True])
def test_the_folders_of_the_settings_do_not_depend_on_where_the_client_starts_it(
    cli: Cli, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("photos").mkdir()

    def words(*pairs: tuple[str, object]) -> list[str]:
        return (
            [f"{name}={value}" for name, value in pairs] if joined else [str(word) for pair in pairs for word in pair]
        )

    arguments = [
        "mcp",
        *words(("--allow-dir", "photos"), ("--save", "made later")),
        "--print-config",
        "claude",
        "flow.json",
    ]
    monkeypatch.setattr(sys, "argv", ["invokeai-gen", *arguments])
    here = Path.cwd()
    paths = words(("--allow-dir", here / "photos"), ("--save", here / "made later"))
    assert json.loads(cli(*arguments).out)["mcpServers"]["invokeai"]["args"] == ["mcp", *paths, "flow.json"]


@pytest.mark.parametrize("token", ["TOKEN", "secret"])
def test_with_http_a_client_gets_the_address_and_the_header(cli: Cli, token: str) -> None:
    given = [] if token == "TOKEN" else ["--token", token]
    answer = cli("mcp", "flow.json", "--http", 8765, *given, "--print-config", "vscode")
    headers = {"Authorization": f"Bearer {token}"}
    entry = {"type": "http", "url": "http://127.0.0.1:8765/mcp", "headers": headers}
    assert json.loads(answer.out) == {"servers": {"invokeai": entry}}


def test_the_sdk_does_without_an_http_server_for_stdio() -> None:
    code = (
        "import sys\nfrom invokeai_gen.agents import quick_import\nfrom invokeai_gen.loading import missing\n"
        "with quick_import(), missing('uvicorn'):\n    import invokeai_gen.agents.server\n"
        "assert 'uvicorn' not in sys.modules\nimport uvicorn"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
