"""A proxy that misbehaves on purpose, to put between a client and a real server.

It speaks just enough HTTP to know one request from another. Every request has a connection of its own.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass
class Exchange:
    """One request, on its way to the server and back."""

    proxy: Proxy
    near: socket.socket
    request: bytes

    def answer(self) -> bytes:
        """Everything the server answers, which closes its connection after that."""
        with self.proxy.connected() as far:
            far.sendall(self.request)
            return b"".join(iter(lambda: far.recv(65536), b""))

    def send(self, data: bytes) -> None:
        self.near.sendall(data)


Fault = Callable[[Exchange], None]
FOR_GOOD = 1_000_000
"""How often a fault occurs that never ends."""


@dataclass
class _Rule:
    pattern: str
    fault: Fault
    left: int


class Proxy:
    """Forwards requests to a server. A context manager; `url` is where it listens."""

    def __init__(self, target: str, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(target)
        self._tls = tls
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._port}"
        self.requests: list[bytes] = []
        """First lines of what was sent."""
        self.closed = threading.Event()
        self._rules: list[_Rule] = []
        self._sockets: dict[socket.socket, bool] = {}
        """Those that are open, and whether they belong to a websocket."""
        self._near_websockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept, self._listener)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed.set()
        self.hang_up()
        self._cut(websockets_only=False)
        for thread in self._threads:
            thread.join(10)

    def on(self, pattern: str, fault: Fault, times: int = 1) -> None:
        """Lets the next `times` requests whose "METHOD /path" fits have a fault."""
        self._rules.append(_Rule(pattern, fault, times))

    def refuse_events(self) -> None:
        """Breaks event connections before they stand; those that are open stay."""
        self.on("/ws/socket.io", reset, FOR_GOOD)

    def accept_events(self) -> None:
        """Lets event connections through again."""
        self._rules[:] = [rule for rule in self._rules if rule.pattern != "/ws/socket.io"]

    def asked(self, pattern: str) -> int:
        """How many requests fit."""
        return sum(re.search(pattern, line.decode()) is not None for line in self.requests)

    def hang_up(self) -> None:
        """Refuses connections from now on."""
        _break(self._listener)

    def cut_websockets(self) -> None:
        """Breaks the websocket connections that are open now."""
        self._cut(websockets_only=True)

    def say(self, message: str) -> None:
        """Send a text message to every client with a websocket, as if the server had."""
        data = message.encode()
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        for near in [*self._near_websockets]:
            near.sendall(b"\x81" + size + data)

    @contextlib.contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.create_connection(self._target) as far, self._known(far):
            yield far

    @contextlib.contextmanager
    def _known(self, one: socket.socket, *, is_websocket: bool = False) -> Iterator[None]:
        self._sockets[one] = is_websocket
        try:
            yield
        finally:
            self._sockets.pop(one, None)

    def _cut(self, *, websockets_only: bool) -> None:
        for one, is_websocket in [*self._sockets.items()]:
            if is_websocket or not websockets_only:
                _break(one)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                self._start(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                near = self._tls.wrap_socket(near, server_side=True)
        with contextlib.suppress(OSError), near, self._known(near):
            head, end, body = _until(near, b"\r\n\r\n")
            if not end:
                return
            self.requests.append(head.partition(b"\r\n")[0])
            fault = self._fault_for(head)
            if b"upgrade: websocket" in head.lower() and fault is healthy:
                self._websocket(near, head + end + body)
                return
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            missing = (int(length[1]) if length else 0) - len(body)
            while missing > 0 and (data := near.recv(65536)):
                body += data
                missing -= len(data)
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            exchange = Exchange(self, near, b"\r\n".join([*lines, b"Connection: close", b"", b""]) + body)
            fault(exchange)

    def _fault_for(self, head: bytes) -> Fault:
        line = head.partition(b" HTTP/")[0].decode()
        for rule in self._rules:
            if rule.left > 0 and re.search(rule.pattern, line):
                rule.left -= 1
                return rule.fault
        return healthy

    def _websocket(self, near: socket.socket, request: bytes) -> None:
        with self._known(near, is_websocket=True), self.connected() as far, self._known(far, is_websocket=True):
            far.sendall(request)
            self._near_websockets.append(near)
            self._start(_pour, far, near)
            _pour(near, far)
            self._near_websockets.remove(near)


# -- faults -----------------------------------------------------------------------------------------------------------


def healthy(exchange: Exchange) -> None:
    """The request is answered."""
    exchange.send(exchange.answer())


def refused(exchange: Exchange) -> None:
    """The request does not arrive, and no connection is accepted any more."""
    exchange.proxy.hang_up()


def reset(exchange: Exchange) -> None:
    """The request does not arrive: the connection breaks first."""
    exchange.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def lost(exchange: Exchange) -> None:
    """The request is worked on, but its answer does not arrive: the connection breaks."""
    exchange.answer()
    reset(exchange)


def silent(exchange: Exchange) -> None:
    """The request is accepted, and nothing follows."""
    exchange.proxy.closed.wait()


def muted(exchange: Exchange) -> None:
    """The request is worked on, but nothing of the answer is heard."""
    exchange.answer()
    silent(exchange)


def late(exchange: Exchange) -> None:
    """The request is worked on, but its answer comes when the client has given up."""
    answer = exchange.answer()
    exchange.proxy.closed.wait(2)
    exchange.send(answer)


def slow(exchange: Exchange) -> None:
    """The answer comes in small pieces."""
    answer = exchange.answer()
    size = len(answer) // 8 + 1
    for start in range(0, len(answer), size):
        exchange.send(answer[start : start + size])
        exchange.proxy.closed.wait(0.02)


def dripping(exchange: Exchange) -> None:
    """The answer comes byte by byte, and would take minutes."""
    for byte in exchange.answer():
        exchange.send(bytes([byte]))
        if exchange.proxy.closed.wait(0.1):
            return


def cut(exchange: Exchange) -> None:
    """The connection breaks in the middle of the answer's body."""
    head, end, body = exchange.answer().partition(b"\r\n\r\n")
    exchange.send(head + end + body[: len(body) // 2])


def truncated(exchange: Exchange) -> None:
    """The answer looks whole, but ends in the middle of its JSON."""
    body = b'{"enqueued": 1, "image_name": "a.png", "item'
    exchange.answer()
    exchange.send(_head(200, len(body), b"Content-Type: application/json") + body)


def status(code: int, *headers: bytes) -> Fault:
    """The request does not arrive: whatever stands before the server answers with an error status."""

    def fault(exchange: Exchange) -> None:
        body = b'{"detail":"fault on purpose"}'
        exchange.send(_head(code, len(body), b"Content-Type: application/json", *headers) + body)

    return fault


def _head(code: int, length: int, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d On Purpose" % code, b"Content-Length: %d" % length, b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"", b""])


def _until(one: socket.socket, mark: bytes) -> tuple[bytes, bytes, bytes]:
    data = b""
    while mark not in data and (more := one.recv(65536)):
        data += more
    return data.partition(mark)


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    _break(target)


def _break(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
