"""The one module that speaks HTTP. What only a failure needs is in `failed_requests` and `status_errors`."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, TypeAlias, TypedDict, TypeVar, Unpack

from invokeai_gen.loading import load, missing
from invokeai_gen.server import constants
from invokeai_gen.server.address import basic_authorization, clean_url, environment_proxy, public_url, segment
from invokeai_gen.server.answers import Reader
from invokeai_gen.server.background import bridge
from invokeai_gen.server.credentials import Payload, Secret, checked_headers, checked_token, environment_token
from invokeai_gen.server.errors import InvalidTokenError, NotInvokeAIError, RequestTimeoutError, ServerError

if TYPE_CHECKING:
    import asyncio
    import ssl

    import httpx

    from invokeai_gen.server.response import Response

__all__ = ["ApiRequest", "Transport", "TransportOptions", "import_httpx_alone", "segment"]

T = TypeVar("T")
Backend: TypeAlias = "httpx.AsyncBaseTransport"
"""Carries requests in place of the network, for tests."""

_REPEATABLE: Final = {"GET", "PUT", "DELETE"}
"""Methods that have the same effect when they are sent twice."""


class TransportOptions(TypedDict, total=False):
    """How a client talks to its server."""

    token: str | None
    """Token of an account on a server with accounts."""
    timeout: float
    """Seconds that the server may stay silent during one request; 60 unless given."""
    request_timeout: float | None
    """Seconds that one request may take in all, with its retries and the transfer of its files; unlimited unless
    given. It also ends an answer that never stops coming, which `timeout` does not."""
    max_retries: int
    """How often a request that failed in passing is sent again; 3 unless given. It is only repeated if that cannot have
    an effect twice. After silence of `timeout` seconds it is repeated once at most."""
    headers: Mapping[str, str] | None
    """Further headers of every request and of the event connection, for a proxy in front of the server. Like the
    token they never go to another host."""
    verify: bool | str | os.PathLike[str]
    """Whether to check TLS certificates, or a file or folder of certificates (PEM) to check them with."""
    proxy: str | None
    """Address of an HTTP proxy for requests and events; the environment (`HTTPS_PROXY` …) decides unless given."""
    unreachable_after: float
    """Seconds that the server may fail to answer before jobs that are being followed fail; 60 unless given."""
    http_backend: Backend | None
    """Carries requests in place of the network, for tests."""


class ApiRequest(NamedTuple):
    """A request to the server, which may be sent more than once."""

    method: str
    path: str
    is_repeatable: bool
    """Whether it does no harm if the server works on it twice."""
    params: Mapping[str, Any] | None = None
    timeout: float | None = None
    """Seconds that the server may stay silent before it answers; the client's own unless given."""
    content: bytes | None = None
    """JSON."""
    files: Mapping[str, tuple[str, BinaryIO, str]] | None = None
    """By the field of the form, each with its name, content and MIME type."""
    is_for_file: bool = False
    """Whether it, or its answer, carries a large file."""


class Transport:
    """The HTTP side of one server. `get` and `send` may be awaited on any event loop; the rest is for the background loop."""

    def __init__(self, url: str, **options: Unpack[TransportOptions]) -> None:
        self.url = public_url(clean_url(url))
        """Without user name and password."""
        self.timeout = options.get("timeout", constants.READ_TIMEOUT)
        self.request_timeout = options.get("request_timeout")
        self.max_retries = options.get("max_retries", constants.MAX_RETRIES)
        self.verify = _checked_verify(options.get("verify", True))
        proxy = options.get("proxy")
        self.proxy = Secret(clean_url(proxy)) if proxy else None
        self.unreachable_after = options.get("unreachable_after", constants.UNREACHABLE_AFTER)
        self.backend = options.get("http_backend")
        self._own_headers = checked_headers(options.get("headers"))
        self._for_proxy = basic_authorization(clean_url(url))
        self.token = checked_token(options.get("token"))
        """The token of the account."""
        self._pools: dict[tuple[bool, bool], Backend] = {}
        """The connections, by whether they are for files, and for TLS."""
        self._slots: asyncio.Semaphore | None = None
        """Who may use them: httpx searches all waiting requests whenever one of them ends."""

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    def __reduce__(self) -> tuple[partial[Transport], tuple[()]]:
        """Without its secrets, like a client: in another process the token comes from the environment."""
        return partial(_from_settings, self.url, self.options()), ()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request to this server, and to no other.

        User name and password in the address are for a proxy in front of the server, which gets to see the header
        first.
        """
        authorization = self._for_proxy or (Secret(f"Bearer {self.token}") if self.token else None)
        return {**self._own_headers, **({"Authorization": authorization} if authorization else {})}

    def options(self) -> TransportOptions:
        """Return the options of a transport like this one, but without token, password and headers."""
        return {
            "timeout": self.timeout,
            "request_timeout": self.request_timeout,
            "max_retries": self.max_retries,
            "verify": self.verify,
            "proxy": public_url(self.proxy) if self.proxy else None,
            "unreachable_after": self.unreachable_after,
            "http_backend": self.backend,
        }

    def tls(self) -> ssl.SSLContext | bool:
        """Return how to check certificates, for requests and events alike: a context, or false for not at all."""
        from invokeai_gen.server.tls import tls_context

        return tls_context(self.verify)

    def used_proxy(self, url: str | None = None) -> Secret | None:
        """Return the proxy for an address (by default the server's): from the options, else from the environment."""
        return self.proxy or environment_proxy(url or self.url)

    @property
    def is_open(self) -> bool:
        """Whether there are connections to close."""
        return bool(self._pools)

    async def get(self, path: str, params: Mapping[str, Any] | None = None, *, read: Reader[T]) -> T:
        """Return what `read` makes of the JSON that a GET returns."""
        return await self.send("GET", path, params=params, read=read)

    async def send(
        self,
        method: str,
        path: str,
        *,
        read: Reader[T],
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        timeout: float | None = None,
        repeatable: bool | None = None,
    ) -> T:
        """Return what `read` makes of the JSON of any request. Raises `UnexpectedAnswerError` if `read` refuses it.

        It is sent again, with growing pauses, if it certainly never arrived or the server asks for that; after any
        other connection trouble only if that does no harm: for GET, PUT and DELETE, unless `repeatable` says otherwise.
        """
        if repeatable is None:
            repeatable = method in _REPEATABLE
        body = None
        if json is not None:
            from json import dumps

            body = Payload(dumps(json, allow_nan=False, separators=(",", ":")).encode())

        request = ApiRequest(method, path, repeatable, params, timeout, body)
        return await bridge(self.ask(request, lambda answer: answer.json(read)))

    async def close(self) -> None:
        """Close all connections, on the background loop; the next request opens new ones."""
        for pool in self.abandon().values():
            await pool.aclose()

    def abandon(self) -> Mapping[tuple[bool, bool], Backend]:
        """Forget all connections without closing them, and return them: after a fork they belong to the parent."""
        pools, self._pools = self._pools, {}
        self._slots = None
        return pools

    def _pool(self, for_files: bool, url: httpx.URL) -> Backend:
        """Return the connections for a kind of requests. Files go another way unless there is a proxy."""
        for_tls = url.scheme == "https"
        if (for_files, for_tls) not in self._pools:
            from invokeai_gen.server.logs import keep_tokens_out_of_logs

            keep_tokens_out_of_logs()
            made = self._new_pool(for_files, for_tls, str(url)) if self.backend is None else self.backend
            self._pools[for_files, for_tls] = made
        return self._pools[for_files, for_tls]

    def _new_pool(self, for_files: bool, for_tls: bool, url: str) -> Backend:
        import ssl

        import httpx

        # Reading certificates takes longer than a request to a server nearby: without TLS, none is trusted.
        verify = self.tls() if for_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        proxy = self.used_proxy(url)
        if for_files and proxy is None:
            from invokeai_gen.server.file_transport import FileTransport

            return FileTransport(verify)
        # As many as `_slots` allows. With a limit of its own, httpcore would count a connection for ever whose request was
        # cancelled in the moment in which the connection was made.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=constants.MAX_CONNECTIONS)
        return httpx.AsyncHTTPTransport(verify=verify, proxy=proxy, limits=limits)

    async def ask(self, request: ApiRequest, take: Callable[[Response], Awaitable[T]]) -> T:
        """Return what `take` makes of the answer to a request; it is called anew for each attempt. See `send`."""
        import asyncio

        clock = asyncio.timeout(self.request_timeout)
        failed: ServerError
        try:
            async with clock:
                try:
                    return await self.once(request, take)
                except ServerError as error:
                    failed = error
                failed_requests = await load("invokeai_gen.server.failed_requests")
                answer: T = await failed_requests.again(self, failed, request, take)
                return answer
        except TimeoutError:
            if not clock.expired():
                raise
        raise RequestTimeoutError(
            f"{self.url} did not finish its answer to {request.method} {request.path} within {self.request_timeout:g} s"
        )

    async def once(self, request: ApiRequest, take: Callable[[Response], Awaitable[T]]) -> T:
        """Send one request and take its answer; what fails below leaves here as an error of ours.

        That error has no cause and no context: what the libraries raise may repeat headers and addresses.
        """
        import asyncio

        failed: Exception
        try:
            self._slots = self._slots or asyncio.Semaphore(constants.MAX_CONNECTIONS)
            async with self._slots:
                return await self._exchange(request, take)
        except Exception as error:
            # A `TimeoutError` is an `OSError`; any other is one of the file that is written.
            if isinstance(error, (ServerError, OSError)) and not isinstance(error, TimeoutError):
                raise
            failed = error
        failed_requests = await load("invokeai_gen.server.failed_requests")
        secrets = self.token, self.proxy, *self.headers.values()
        failure: ServerError = failed_requests.failure_of(failed, self.url, request, secrets)
        del failed  # a report of the crash with the variables of this frame would show it
        raise failure

    async def _exchange(self, request: ApiRequest, take: Callable[[Response], Awaitable[T]]) -> T:
        from invokeai_gen.server.logs import log
        from invokeai_gen.server.response import Response

        method, path = request.method, request.path
        began = time.monotonic()
        answer = await self._answer(request)
        response = Response(answer, method, path, self.url, self.timeout)
        try:
            log.debug(
                "%s %s: %d after %.3f s",
                method,
                path,
                answer.status_code,
                time.monotonic() - began,
                extra={"method": method, "path": path, "status": answer.status_code},
            )
            if answer.is_error:
                status_errors = await load("invokeai_gen.server.status_errors")
                raise await status_errors.error_of(response)
            if answer.has_redirect_location:
                redirects = await load("invokeai_gen.server.redirects")
                raise NotInvokeAIError(
                    f"{self.url} redirects {method} {path} to {redirects.shown(answer)}. Use that address instead."
                )
            token = answer.headers.get("X-Refreshed-Token")
            if token and "invokeai_gen.elsewhere" not in answer.request.extensions:
                with contextlib.suppress(InvalidTokenError):
                    self.token = checked_token(token) or self.token
            return await take(response)
        finally:
            await answer.aclose()

    async def _answer(self, asked: ApiRequest) -> httpx.Response:
        """Send a request and return its answer, with the body still to come.

        A GET follows redirects; any other request would be sent to the other address with its whole body.
        """
        import asyncio

        import_httpx_alone()
        import httpx

        from invokeai_gen.server.response import ACCEPTED_ENCODING

        plain = httpx.Headers({"Accept": "*/*", "Accept-Encoding": ACCEPTED_ENCODING, "User-Agent": "invokeai-gen"})
        headers = plain.copy()
        if asked.content is not None:
            headers["Content-Type"] = "application/json"
        headers.update(self.headers)
        silence = asked.timeout or self.timeout
        limits = httpx.Timeout(silence, connect=constants.CONNECT_TIMEOUT, pool=None).as_dict()
        extensions: dict[str, Any] = {"timeout": limits}
        if self.url.startswith("https:"):
            from invokeai_gen.server.tls import closing_half_made

            extensions["trace"] = closing_half_made()
        query = {key: value for key, value in (asked.params or {}).items() if value is not None}
        request = httpx.Request(
            asked.method,
            httpx.URL(self.url + asked.path, params=query or None),
            headers=headers,
            content=asked.content,
            files=asked.files,
            extensions=extensions,
        )
        size = int(request.headers.get("Content-Length", 0))
        # httpx only limits the time between two bytes; with MIN_TRANSFER_RATE a server cannot drip its headers.
        limit = constants.CONNECT_TIMEOUT + silence + size / constants.MIN_TRANSFER_RATE

        async def send(request: httpx.Request) -> httpx.Response:
            async with asyncio.timeout(limit):
                answer = await self._pool(asked.is_for_file, request.url).handle_async_request(request)
            answer.request = request
            return answer

        answer = await send(request)
        if asked.method == "GET" and answer.has_redirect_location:
            redirects = await load("invokeai_gen.server.redirects")
            answer = await redirects.followed(answer, send, self.url, headers, plain)
        return answer


def import_httpx_alone() -> None:
    """Import httpx without its own command, for which it would load rich and pygments: four fifths of its import.

    It does the same itself if rich is not installed; only `httpx.main` misses the command then.
    """
    if "httpx" not in sys.modules:
        with missing("httpx._main"):
            importlib.import_module("httpx")


def _checked_verify(verify: bool | str | os.PathLike[str]) -> bool | str:
    """Return the option, with a path as text. Raise `FileNotFoundError` with the path, which Python's own lacks."""
    if isinstance(verify, bool):
        return verify
    path = os.fspath(verify)
    if not os.path.exists(path):
        raise FileNotFoundError(f"verify: no such file or folder of certificates: {path}")
    return path


def _from_settings(url: str, options: Mapping[str, Any]) -> Transport:
    return Transport(url, token=environment_token(), **options)
