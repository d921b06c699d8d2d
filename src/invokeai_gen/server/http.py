"""The one module that speaks HTTP: requests, retries, uploads, downloads, and which error each failure becomes."""

from __future__ import annotations

import json as json_codec
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from invokeai_gen.server import constants
from invokeai_gen.server.address import basic_authorization, clean_url, public_url, segment
from invokeai_gen.server.answers import Reader, at, text
from invokeai_gen.server.background import bridge, load
from invokeai_gen.server.bodies import ACCEPTED_ENCODING, BodyError
from invokeai_gen.server.credentials import Payload, Secret, checked_headers, checked_token
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    InvalidTokenError,
    InvalidUrlError,
    NotInvokeAIError,
    RequestTimeoutError,
    ServerError,
    StatusError,
    UnexpectedAnswerError,
    UnreachableError,
    UnsupportedByServerError,
)
from invokeai_gen.server.options import Backend, TransportOptions
from invokeai_gen.server.response import Response
from invokeai_gen.server.retries import pause_after, retries_after
from invokeai_gen.server.tls import checked_verify, tls_context

if TYPE_CHECKING:
    import asyncio
    import ssl

    import httpx
    import tenacity

__all__ = ["Backend", "Transport", "TransportOptions", "clean_url", "public_url", "segment"]

T = TypeVar("T")

_VERSION: Final = "/api/v1/app/version"
_MISSING_ROUTE: Final = {404, 405, 422, 501}
"""Answers of a server that lacks a route, or has another one at that path."""
_REPEATABLE: Final = {"GET", "PUT", "DELETE"}
"""Methods that have the same effect when they are sent twice."""


class Transport:
    """The HTTP side of one server. Every method may be awaited on any event loop."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = constants.READ_TIMEOUT,
        request_timeout: float | None = None,
        max_retries: int = constants.MAX_RETRIES,
        headers: Mapping[str, str] | None = None,
        verify: bool | str | os.PathLike[str] = True,
        proxy: str | None = None,
        unreachable_after: float | None = None,
        http_backend: Backend | None = None,
    ) -> None:
        self.url = public_url(clean_url(url))
        """Without user name and password."""
        self.timeout = timeout
        self.request_timeout = request_timeout
        self.max_retries = max_retries
        self.verify = checked_verify(verify)
        self.proxy = Secret(clean_url(proxy)) if proxy else None
        self.unreachable_after = constants.UNREACHABLE_AFTER if unreachable_after is None else unreachable_after
        self.backend = http_backend
        self._own_headers = checked_headers(headers)
        self._for_proxy = basic_authorization(clean_url(url))
        self._token = checked_token(token)
        self._client: httpx.AsyncClient | None = None
        self._slots: asyncio.Semaphore | None = None

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    @property
    def token(self) -> Secret | None:
        """The token of the account."""
        return self._token

    @token.setter
    def token(self, token: str | None) -> None:
        self._token = checked_token(token)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request to this server, and to no other.

        User name and password in the address are for a proxy in front of the server, which gets to see the header
        first.
        """
        authorization = self._for_proxy or (Secret(f"Bearer {self._token}") if self._token else None)
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
        return tls_context(self.verify)

    @property
    def is_open(self) -> bool:
        """Whether there are connections to close."""
        return self._client is not None

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
        is_repeatable = method in _REPEATABLE if repeatable is None else repeatable
        body = None
        if json is not None:
            body = Payload(json_codec.dumps(json, allow_nan=False, separators=(",", ":")).encode())

        return await bridge(
            self._ask(
                method,
                path,
                partial(Response.json, read=read),
                is_repeatable,
                params=params,
                timeout=timeout,
                content=body,
            )
        )

    async def upload(
        self,
        path: str,
        name: str,
        data: BinaryIO,
        mime: str,
        params: Mapping[str, Any] | None = None,
        *,
        read: Reader[T],
        method: str = "POST",
        field: str = "file",
    ) -> T:
        """Return what `read` makes of the JSON of a multipart request with one file, in the form field `field`."""
        files = {field: (name, data, mime)}
        return await bridge(
            self._ask(method, path, partial(Response.json, read=read), method == "PUT", params=params, files=files)
        )

    async def read(self, path: str) -> bytes:
        """Return the file that a GET returns."""
        return await bridge(self._ask("GET", path, Response.file, True))

    async def download(self, path: str, target: Path) -> int:
        """Stream the file that a GET returns to `target`, and return its size in bytes.

        The file appears under its name only when it is complete: until then it has a temporary name in the same folder.
        """
        return await bridge(self._download(path, target))

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await bridge(self._close())

    def abandon(self) -> object:
        """Forget all connections without closing them, because they belong to the parent process; return them."""
        client, self._client = self._client, None
        return client

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _open(self) -> tuple[httpx.AsyncClient, asyncio.Semaphore]:
        """Return the connections, and who may use them: httpx searches all waiting requests whenever one of them ends."""
        import asyncio

        import httpx

        if self._client is None or self._slots is None:
            from invokeai_gen.server.logs import keep_tokens_out_of_logs

            keep_tokens_out_of_logs()
            self._client = httpx.AsyncClient(
                transport=self.backend,
                verify=self.tls(),
                proxy=self.proxy,
                headers={"Accept-Encoding": ACCEPTED_ENCODING},
                timeout=httpx.Timeout(self.timeout, connect=constants.CONNECT_TIMEOUT, pool=None),
                limits=httpx.Limits(
                    max_connections=constants.MAX_CONNECTIONS, max_keepalive_connections=constants.MAX_CONNECTIONS
                ),
            )
            self._slots = asyncio.Semaphore(constants.MAX_CONNECTIONS)
        return self._client, self._slots

    async def _download(self, path: str, target: Path) -> int:
        await load("invokeai_gen.atomic_files")
        from invokeai_gen.atomic_files import replacing

        with replacing(target) as file:
            return await self._ask("GET", path, lambda answer: answer.save(file), True)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        path: str,
        take: Callable[[Response], Awaitable[T]],
        is_repeatable: bool,
        **content: Any,
    ) -> T:
        """Return what `take` makes of the answer to a request; it is called anew for each attempt."""
        import asyncio

        clock = asyncio.timeout(self.request_timeout)
        try:
            async with clock:
                return await self._retried(method, path, take, is_repeatable, **content)
        except TimeoutError:
            if not clock.expired():
                raise
        except StatusError as error:
            if error.status not in _MISSING_ROUTE or (newer := await self._unsupported(error)) is None:
                raise
            raise newer from None
        raise RequestTimeoutError(
            f"{self.url} did not finish its answer to {method} {path} within {self.request_timeout:g} s"
        )

    async def _unsupported(self, error: StatusError) -> UnsupportedByServerError | None:
        """Return the error for a route that the server is too old for; `None` if that is not the reason."""
        await load("invokeai_gen.server.routes")
        from invokeai_gen.server.routes import needed_version

        if needed_version(error.path, "") is None or (error.status == 404 and error.detail != "Not Found"):
            return None
        try:
            version = await self._once("GET", _VERSION, partial(Response.json, read=at("version", text)))
        except ServerError:
            return None
        needed = needed_version(error.path, version)
        return UnsupportedByServerError(error, needed, version, self.url) if needed else None

    async def _retried(
        self,
        method: str,
        path: str,
        take: Callable[[Response], Awaitable[T]],
        is_repeatable: bool,
        **content: Any,
    ) -> T:
        import tenacity

        from invokeai_gen.server.logs import log

        def is_retried(state: tenacity.RetryCallState) -> bool:
            error = state.outcome and state.outcome.exception()
            return isinstance(error, ServerError) and state.attempt_number <= retries_after(
                error, self.max_retries, is_repeatable
            )

        def announce(state: tenacity.RetryCallState) -> None:
            error = state.outcome and state.outcome.exception()
            log.info(
                "%s %s failed (%s); trying again in %.1f s",
                method,
                path,
                error,
                state.upcoming_sleep,
                extra={"method": method, "path": path, "attempt": state.attempt_number},
            )

        def pause(state: tenacity.RetryCallState) -> float:
            return pause_after(state.outcome.exception() if state.outcome else None, state.attempt_number)

        retrying = tenacity.AsyncRetrying(retry=is_retried, wait=pause, before_sleep=announce)
        try:
            return await retrying(self._once, method, path, take, **content)
        except ConnectionFailedError as error:
            log.info("gave up %s %s: %s", method, path, error, extra={"method": method, "path": path})
            raise

    async def _once(self, method: str, path: str, take: Callable[[Response], Awaitable[T]], **content: Any) -> T:
        """Send one request and take its answer; what fails below leaves here as an error of ours.

        That error has no cause and no context: what the libraries raise may repeat headers and addresses.
        """
        failure: ServerError
        try:
            client, slots = self._open()
            async with slots:
                return await self._exchange(client, method, path, take, **content)
        except TimeoutError:
            failure = self._late(method, path)
        except (ServerError, OSError):  # an `OSError` is one of the file that is written
            raise
        except BodyError as error:
            kind = ConnectionFailedError if error.is_cut else UnexpectedAnswerError
            failure = kind(f"the answer of {self.url} to {method} {path} cannot be used: {error}")
        except Exception as error:  # noqa: BLE001 - whatever the libraries below raise
            failure = self._failure(error, method, path)
        raise failure

    async def _exchange(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        take: Callable[[Response], Awaitable[T]],
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        content: bytes | None = None,
        files: Mapping[str, tuple[str, BinaryIO, str]] | None = None,
    ) -> T:
        from invokeai_gen.server.logs import log

        began = time.monotonic()
        answer = await self._answer(client, method, path, params, timeout or self.timeout, content, files)
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
                raise await response.error()
            if answer.has_redirect_location:
                elsewhere = public_url(str(answer.next_request.url if answer.next_request else ""))
                raise NotInvokeAIError(
                    f"{self.url} redirects {method} {path} to {elsewhere}. Use that address instead."
                )
            if not _is_foreign(answer.request, self.url):
                self._renew_token(answer.headers.get("X-Refreshed-Token"))
            return await take(response)
        finally:
            await answer.aclose()

    async def _answer(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        silence: float,
        content: bytes | None,
        files: Mapping[str, tuple[str, BinaryIO, str]] | None,
    ) -> httpx.Response:
        """Send a request and return its answer, with the body still to come.

        A GET follows redirects; any other request would be sent to the other address with its whole body.
        """
        import asyncio

        import httpx

        request = client.build_request(
            method,
            self.url + path,
            params={key: value for key, value in (params or {}).items() if value is not None},
            headers={**self.headers, **({"Content-Type": "application/json"} if content is not None else {})},
            content=content,
            files=files,
            timeout=httpx.Timeout(silence, connect=constants.CONNECT_TIMEOUT, pool=None),
        )
        size = int(request.headers.get("Content-Length", 0))
        # httpx only limits the time between two bytes; with MIN_TRANSFER_RATE a server cannot drip its headers.
        limit = constants.CONNECT_TIMEOUT + silence + size / constants.MIN_TRANSFER_RATE
        redirects = 0
        while True:
            async with asyncio.timeout(limit):
                answer = await client.send(request, stream=True)
            if method != "GET" or answer.next_request is None or redirects >= constants.MAX_REDIRECTS:
                return answer
            await answer.aclose()
            request = self._redirected(answer.next_request)
            redirects += 1

    def _redirected(self, request: httpx.Request) -> httpx.Request:
        """Return the request that a redirect asks for, with our headers only if it goes to the same server."""
        for name in (*self._own_headers, "Authorization"):
            request.headers.pop(name, None)
        if not _is_foreign(request, self.url):
            request.headers.update(self.headers)
        return request

    def _renew_token(self, token: str | None) -> None:
        import contextlib

        with contextlib.suppress(InvalidTokenError):
            self._token = checked_token(token) or self._token

    def _late(self, method: str, path: str) -> RequestTimeoutError:
        return RequestTimeoutError(f"{self.url} did not finish its answer to {method} {path} in time")

    def _failure(self, error: Exception, method: str, path: str) -> ServerError:
        """Return our error for one of the libraries below."""
        import httpx

        if isinstance(error, httpx.ConnectTimeout):
            return UnreachableError(
                f"no answer from {self.url} within {constants.CONNECT_TIMEOUT:g} s. Is the server on?"
            )
        if isinstance(error, httpx.TimeoutException):
            return self._late(method, path)
        reason = self._without_secrets(str(error)) or type(error).__name__
        if isinstance(error, httpx.ConnectError):
            return UnreachableError(f"{self.url} cannot be reached ({reason}). Is the server running there?")
        if isinstance(error, httpx.ProxyError):
            return UnreachableError(f"{self.url} cannot be reached through the proxy ({reason})")
        if isinstance(error, (httpx.InvalidURL, UnicodeError)):
            return InvalidUrlError(
                f"{method} {path} cannot be sent to {self.url}: the address, or a value that would be part of it, is "
                "too long or contains characters that are not allowed"
            )
        return ConnectionFailedError(f"the connection to {self.url} broke during {method} {path} ({reason})")

    def _without_secrets(self, message: str) -> str:
        """Return a library's message, shortened, without anything of ours that must not be shown."""
        for secret in (self._token, self.proxy, *self.headers.values()):
            message = message.replace(secret, "***") if secret else message
        return message[: constants.MAX_DETAIL]


def _origin(request: httpx.Request) -> tuple[str, str, int | None]:
    return request.url.scheme, request.url.host, request.url.port


def _is_foreign(request: httpx.Request, url: str) -> bool:
    import httpx

    return _origin(request) != _origin(httpx.Request("GET", url))
