"""Requests that carry large files: each in a thread, which takes half of the CPU that an event loop needs for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain, islice
from typing import Any, Final, ParamSpec, TypeVar, cast

import httpx

from invokeai_gen.server.constants import INTERRUPT_TIMEOUT

P = ParamSpec("P")
T = TypeVar("T")
BODY: Final = "invokeai_gen.body"
"""Extension of an `httpx.Response` under which its `FileBody` is found."""

FEW: Final = 8
"""Pieces of an answer to an upload that are read where it was sent."""


class FileTransport(httpx.AsyncBaseTransport):
    """Sends requests over blocking connections, one request at a time over each."""

    def __init__(self, verify: ssl.SSLContext | bool) -> None:
        self._verify = verify
        self._idle: list[_Connection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its answer with the body still to come."""
        connection = self._idle.pop() if self._idle else _Connection(self._verify)
        answer, chunks = await connection.in_thread(connection.send, request)
        body = FileBody(connection, cast(httpx.SyncByteStream, answer.stream), chunks, self._idle)
        extensions = {**answer.extensions, BODY: body}
        return httpx.Response(answer.status_code, headers=answer.headers, stream=body, extensions=extensions)

    async def aclose(self) -> None:
        """Close the connections that no request uses."""
        while self._idle:
            self._idle.pop().close()


class FileBody(httpx.AsyncByteStream):
    """The body of an answer."""

    def __init__(
        self,
        connection: _Connection,
        stream: httpx.SyncByteStream,
        chunks: list[bytes] | Iterator[bytes],
        idle: list[_Connection],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._chunks = chunks
        self._idle = idle

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces, each of them read in a thread."""
        if isinstance(self._chunks, list):
            for chunk in self._chunks:
                yield chunk
            return
        while chunk := await self._connection.in_thread(next, self._chunks, b""):
            yield chunk

    async def read_by(self, read: Callable[[Iterator[bytes]], T]) -> T:
        """Return what `read`, called in a thread, makes of the pieces."""
        return await self._connection.in_thread(read, iter(self._chunks))

    async def aclose(self) -> None:
        """Leave the connection to the next request; it is a new one if not all of the body was read."""
        self._stream.close()
        if not self._connection.is_broken:
            self._idle.append(self._connection)


class _Connection:
    """A connection that blocks, and that can be broken off from another thread."""

    def __init__(self, verify: ssl.SSLContext | bool) -> None:
        self._transport = httpx.HTTPTransport(verify=verify, limits=httpx.Limits(max_connections=1))
        self._socket: socket.socket | None = None
        self.is_broken = False
        """Whether a call was cancelled, so that nothing may use the connection again."""

    def send(self, request: httpx.Request) -> tuple[httpx.Response, list[bytes] | Iterator[bytes]]:
        """Send a request, and return its answer with the pieces of the body: a list if they have arrived.

        Those of the answer to an upload are few, and a thread for each would cost more than they do.
        """
        request.extensions = {**request.extensions, "trace": self._note_socket}
        answer = self._transport.handle_request(request)
        chunks = iter(cast(httpx.SyncByteStream, answer.stream))
        if request.method == "GET":
            return answer, chunks
        arrived = [*islice(chunks, FEW)]
        return answer, arrived if len(arrived) < FEW else chain(arrived, chunks)

    def close(self) -> None:
        """Close the connection, which no thread uses."""
        self._transport.close()

    async def in_thread(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await a call that uses the connection. If it is cancelled, the connection breaks off, which ends the call.

        The thread is one of its own: all of those that the loop has for short calls could wait for a slow server.
        """
        outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

        def work() -> None:
            try:
                outcome.set_result(call(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - the caller gets it, whatever it is
                outcome.set_exception(error)

        threading.Thread(target=work, name="invokeai-gen file", daemon=True).start()
        done = asyncio.wrap_future(outcome)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            self.is_broken = True
            done.add_done_callback(lambda broken: broken.exception())  # nobody else asks for it
            self._break()
            outcome.add_done_callback(lambda _: self.close())  # an answer that comes just now would keep it open
            if self._socket is not None:  # otherwise it is being made, and nobody waits for that
                await asyncio.wait([done], timeout=INTERRUPT_TIMEOUT)
            raise

    def _note_socket(self, step: str, about: dict[str, Any]) -> None:
        if step.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = about["return_value"].get_extra_info("socket")
            if self.is_broken:
                self._break()

    def _break(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # closed already
                self._socket.shutdown(socket.SHUT_RDWR)
