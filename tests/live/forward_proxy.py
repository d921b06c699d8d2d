"""A forward proxy, as companies have them: it takes requests for any address and tunnels."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class ForwardProxy:
    """Passes everything on. A context manager; `url` is where it listens."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lines: list[str] = []
        """First lines of what was asked of it."""
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        """Connect to where the first line says; a connection serves one request, or one tunnel."""
        with contextlib.suppress(OSError), near:
            self._open.append(near)
            data = b""
            while b"\r\n\r\n" not in data:
                if not (more := near.recv(65536)):
                    return
                data += more
            line, _, rest = data.partition(b"\r\n")
            self.lines.append(line.decode())
            method, target, version = line.decode().split(" ")
            is_tunnel = method == "CONNECT"
            parts = urlsplit(f"//{target}" if is_tunnel else target)
            with socket.create_connection((parts.hostname or "", parts.port or 80)) as far:
                self._open.append(far)
                if is_tunnel:
                    near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = parts._replace(scheme="", netloc="").geturl() or "/"
                    far.sendall(f"{method} {path} {version}\r\n".encode())
                    if b"\r\nupgrade:" not in b"\r\n" + rest.lower():
                        rest = b"Connection: close\r\n" + rest  # or a second request might be for another server
                    far.sendall(rest)
                threading.Thread(target=_pour, args=(near, far), daemon=True).start()
                _pour(far, near)


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
