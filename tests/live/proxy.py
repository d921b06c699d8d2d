"""A TCP proxy that misbehaves on purpose, to put between a client and a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """Forwards connections to a server. A context manager; `url` is where it listens."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.refuses_websockets = False
        self.lose_answer_to: bytes = b""
        """The next request with this in it is forwarded, but instead of the answer the client sees a broken connection."""
        self.requests: list[bytes] = []
        """First lines of what was sent."""
        self._sockets: list[tuple[bool, socket.socket]] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._cut(websockets_only=False)

    def cut_websockets(self) -> None:
        """Breaks the websocket connections that are open now."""
        self._cut(websockets_only=True)

    def _cut(self, *, websockets_only: bool) -> None:
        for is_websocket, one in self._sockets:
            if is_websocket or not websockets_only:
                _break(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            first = near.recv(65536)
            is_websocket = b"upgrade: websocket" in first.lower()
            if is_websocket and self.refuses_websockets:
                _break(near)
                return
            far = socket.create_connection(self._target)
            self._sockets += [(is_websocket, near), (is_websocket, far)]
            loses_answer = threading.Event()
            threading.Thread(target=self._forward, args=(far, near, loses_answer), daemon=True).start()
            data = first
            while data:
                self._note(data, loses_answer)
                far.sendall(data)
                data = near.recv(65536)
            _break(far)

    def _note(self, data: bytes, loses_answer: threading.Event) -> None:
        if data[:5] in (b"GET /", b"POST ", b"PUT /"):
            self.requests.append(data.partition(b"\r\n")[0])
        if self.lose_answer_to and self.lose_answer_to in data:
            self.lose_answer_to = b""
            loses_answer.set()

    def _forward(self, far: socket.socket, near: socket.socket, loses_answer: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                if loses_answer.is_set():
                    break
                near.sendall(data)
        _break(near)


def _break(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
