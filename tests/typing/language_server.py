"""A client for a language server: what an editor asks, and what it would show."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

MAX_SECONDS: Final = 300
"""A server that answers no more is ended, so that a test fails instead of waiting."""


class LanguageServer:
    """Pyright's language server, opened on one folder."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._last_id = 0
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        self._request(
            "initialize",
            {
                "processId": None,
                "rootUri": folder.as_uri(),
                "workspaceFolders": [{"uri": folder.as_uri(), "name": "project"}],
                "capabilities": {
                    "workspace": {"configuration": True, "workspaceFolders": True},
                    "textDocument": {"hover": {"contentFormat": ["plaintext"]}, "publishDiagnostics": {}},
                },
            },
        )
        self._send({"method": "initialized", "params": {}})

    @classmethod
    @contextmanager
    def on(cls, folder: Path) -> Iterator[LanguageServer]:
        """The server for as long as the block lasts."""
        command = [sys.executable, "-m", "pyright.langserver", "--stdio"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder) as process:
            watchdog = threading.Timer(MAX_SECONDS, process.kill)
            watchdog.start()
            try:
                yield cls(process, folder)
            finally:
                watchdog.cancel()
                process.kill()

    def completions(self, text: str) -> list[dict[str, Any]]:
        """What is offered at the `|` in a program."""
        answer = self._request("textDocument/completion", self._open(text))
        return list(answer["items"] if isinstance(answer, dict) else answer)

    def hover(self, text: str) -> str:
        """What is shown over the word at the `|` in a program."""
        return str(self._request("textDocument/hover", self._open(text))["contents"]["value"])

    def diagnostics(self, text: str) -> list[str]:
        """What is underlined in a program."""
        uri = self._open(text + "|")["textDocument"]["uri"]
        while uri not in self._diagnostics:
            self._handle(self._receive())
        return [item["message"] for item in self._diagnostics.pop(uri)]

    def _open(self, text: str) -> dict[str, Any]:
        before, _, after = text.partition("|")
        self._last_id += 1
        uri = (self._folder / f"open_{self._last_id}.py").as_uri()
        document = {"uri": uri, "languageId": "python", "version": 1, "text": before + after}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        lines = before.split("\n")
        return {"textDocument": {"uri": uri}, "position": {"line": len(lines) - 1, "character": len(lines[-1])}}

    def _request(self, method: str, params: dict[str, Any]) -> Any:
        self._last_id += 1
        wanted = self._last_id
        self._send({"id": wanted, "method": method, "params": params})
        while True:
            message = self._receive()
            if message.get("id") == wanted and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        """Keep diagnostics, answer what the server asks."""
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif message.get("method") == "workspace/configuration":
            settings = {"pythonPath": sys.executable, "analysis": {"typeCheckingMode": "strict"}}
            wanted = [item.get("section", "") for item in message["params"]["items"]]
            self._send({"id": message["id"], "result": [settings if key == "python" else {} for key in wanted]})
        elif "id" in message and "method" in message:
            self._send({"id": message["id"], "result": None})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = 0
        while (line := self._process.stdout.readline()) != b"\r\n":
            assert line, "the language server has ended"
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        message: dict[str, Any] = json.loads(self._process.stdout.read(length))
        return message
