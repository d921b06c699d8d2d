"""Pictures of a terminal and of an editor's completions for the pages, as SVG that needs nothing from elsewhere."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any, Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

WIDTH: Final = 96
_FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def session(picture: str, *commands: str) -> None:
    """Run commands in a terminal, and draw what is on the screen at the end."""
    lines: list[Text] = []
    for command in commands:
        lines.append(Text.assemble(("$ ", "bold green"), command))
        lines.extend(Text.from_ansi(line) for line in _printed(command).strip("\n").split("\n"))
    _draw(picture, *lines)


def completions(picture: str, code: str) -> list[str]:
    """Draw what the language server of pyright offers first at the end of the code; return that."""
    last = code.rpartition("\n")[2]
    offered = Table.grid()
    found = _offered(code)[:8]
    for name in found:
        offered.add_row(f"[on grey23] {name:16}[/]")
    _draw(picture, Syntax(code, "python", theme="ansi_dark"), Padding(offered, (0, 0, 0, len(last))))
    return found


def _offered(code: str) -> list[str]:
    """Return the labels that an editor would list, in its order, for a file in the current folder."""
    here = Path.cwd()
    document: dict[str, Any] = {"uri": (here / "unsaved.py").as_uri()}
    lines = code.split("\n")
    end = {"line": len(lines) - 1, "character": len(lines[-1])}
    interpreter = {"python": {"pythonPath": sys.executable, "analysis": {"extraPaths": sys.path}}}
    pipe = subprocess.PIPE
    with subprocess.Popen(["pyright-langserver", "--stdio"], stdin=pipe, stdout=pipe) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def send(**message: Any) -> None:
            assert server.stdin is not None
            body = json.dumps({"jsonrpc": "2.0", **message}).encode()
            server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            server.stdin.flush()

        def answer_to(number: int) -> Any:
            while True:
                message = _received(server.stdout)
                if message.get("id") == number and "method" not in message:
                    return message["result"]
                if message.get("method") == "workspace/configuration":
                    asked = [item.get("section") for item in message["params"]["items"]]
                    send(id=message["id"], result=[_section(interpreter, name) for name in asked])
                elif "id" in message:
                    send(id=message["id"], result=None)

        folder = {"uri": here.as_uri(), "name": "example"}
        capabilities = {"workspace": {"configuration": True, "workspaceFolders": True}}
        start = {
            "processId": os.getpid(),
            "rootUri": here.as_uri(),
            "workspaceFolders": [folder],
            "capabilities": capabilities,
        }
        send(id=1, method="initialize", params=start)
        answer_to(1)
        send(method="initialized", params={})
        opened = {**document, "languageId": "python", "version": 1, "text": code}
        send(method="textDocument/didOpen", params={"textDocument": opened})
        send(id=2, method="textDocument/completion", params={"textDocument": document, "position": end})
        items = answer_to(2)["items"]
        server.terminate()
    return [item["label"] for item in sorted(items, key=lambda item: str(item.get("sortText")))]


def _received(stream: Any) -> dict[str, Any]:
    length = 0
    while line := stream.readline().strip():
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    assert length, "the language server ended"
    message: dict[str, Any] = json.loads(stream.read(length))
    return message


def _section(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = settings.get(part, {})
    return settings


def _printed(command: str) -> str:
    """Return what a command writes to a terminal."""
    main, side = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    process = subprocess.Popen(command, shell=True, env=environment, stdin=side, stdout=side, stderr=side)
    os.close(side)
    written = bytearray()
    try:
        while part := os.read(main, 65536):
            written += part
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(main)
        process.wait()
    return written.decode().replace("\r\n", "\n")


def _draw(picture: str, *lines: RenderableType) -> None:
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line)
    svg = console.export_svg(title="", code_format=_FORMAT, unique_id="terminal")
    Path(picture).write_text(re.sub(r" +$", "", svg, flags=re.MULTILINE), encoding="utf-8")
