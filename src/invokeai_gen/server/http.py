"""The one module that speaks HTTP: requests, retries, uploads, downloads, and which error each failure becomes."""

from __future__ import annotations

import json as json_codec
import os
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from invokeai_gen.atomic_files import replacing
from invokeai_gen.server import constants
from invokeai_gen.server.address import basic_authorization, clean_url, public_url, segment
from invokeai_gen.server.answers import Reader, ShapeError
from invokeai_gen.server.background import bridge
from invokeai_gen.server.bodies import (
    ACCEPTED_ENCODING,
    BodyError,
    check_complete,
    check_complete_file,
    collected,
    decoded,
    steady,
)
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
    status_error,
)
from invokeai_gen.server.options import Backend, TransportOptions
from invokeai_gen.server.retries import pause_after, retries_after, seconds_of

if TYPE_CHECKING:
    import ssl

    import httpx
    import tenacity

__all__ = ["Backend", "Transport", "TransportOptions", "clean_url", "public_url", "segment"]

T = TypeVar("T")

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
        self.max_retries = max_retries
        self.verify = _checked_verify(verify)
        self.proxy = Secret(clean_url(proxy)) if proxy else None
        self.unreachable_after = constants.UNREACHABLE_AFTER if unreachable_after is None else unreachable_after
        self.backend = http_backend
        self._own_headers = checked_headers(headers)
        self._for_proxy = basic_authorization(clean_url(url))
        self._token = checked_token(token)
        self._client: httpx.AsyncClient | None = None

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
            "max_retries": self.max_retries,
            "verify": self.verify,
            "proxy": public_url(self.proxy) if self.proxy else None,
            "unreachable_after": self.unreachable_after,
            "http_backend": self.backend,
        }

    def tls(self) -> ssl.SSLContext | bool:
        """Return how to check certificates, for requests and events alike: a context, or false for not at all."""
        import ssl

        if isinstance(self.verify, bool):
            return _default_tls() if self.verify else False
        is_folder = os.path.isdir(self.verify)
        return ssl.create_default_context(
            cafile=None if is_folder else self.verify, capath=self.verify if is_folder else None
        )

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

        async def take(answer: httpx.Response) -> T:
            return self._read(read, await self._json_of(answer), method, path)

        return await bridge(self._ask(method, path, take, is_repeatable, params=params, timeout=timeout, content=body))

    async def upload(
        self,
        path: str,
        name: str,
        data: bytes,
        mime: str,
        params: Mapping[str, Any] | None = None,
        *,
        read: Reader[T],
        method: str = "POST",
        field: str = "file",
    ) -> T:
        """Return what `read` makes of the JSON of a multipart request with one file, in the form field `field`."""

        async def take(answer: httpx.Response) -> T:
            return self._read(read, await self._json_of(answer), method, path)

        files = {field: (name, data, mime)}
        return await bridge(self._ask(method, path, take, method == "PUT", params=params, files=files))

    async def read(self, path: str) -> bytes:
        """Return the file that a GET returns."""
        return await bridge(self._ask("GET", path, self._file_of, True))

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

    def _open(self) -> httpx.AsyncClient:
        import httpx

        if self._client is None:
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
        return self._client

    # -- answers -------------------------------------------------------------------------------------------------------

    async def _download(self, path: str, target: Path) -> int:
        with replacing(target) as file:

            async def save(answer: httpx.Response) -> int:
                self._check_file(answer)
                size = await _written(self._chunks(answer), file)
                check_complete_file(file, size)
                return size

            return await self._ask("GET", path, save, True)

    async def _file_of(self, answer: httpx.Response) -> bytes:
        self._check_file(answer)
        data = await collected(self._chunks(answer), constants.MAX_FILE_IN_MEMORY)
        check_complete(data)
        return data

    def _check_file(self, answer: httpx.Response) -> None:
        """A login page or the like is no picture, even if its status is 200."""
        kind = answer.headers.get("content-type", "")
        if "html" in kind or "json" in kind:
            raise NotInvokeAIError(f"{self.url} answered {_request(answer)} with {kind[:80]} instead of a file")

    async def _json_of(self, answer: httpx.Response) -> Any:
        content = await collected(self._chunks(answer), constants.MAX_ANSWER)
        kind = answer.headers.get("content-type", "")
        if not content and "json" not in kind:
            return None
        try:
            return json_codec.loads(content)
        except (ValueError, RecursionError):
            pass
        if "json" in kind:
            raise BodyError("only a part of it arrived", is_cut=True)
        raise NotInvokeAIError(
            f"{self.url} answered {_request(answer)} with something that is not JSON. "
            "Is this the address of an InvokeAI server?"
        )

    def _read(self, read: Reader[T], data: Any, method: str, path: str) -> T:
        try:
            return read(data)
        except (ShapeError, LookupError, TypeError, AttributeError, ValueError) as error:
            problem = str(error) if isinstance(error, ShapeError) else f"{type(error).__name__}: {error}"
        raise UnexpectedAnswerError(
            f"{self.url} answered {method} {path} in an unexpected form: {problem[: constants.MAX_DETAIL]}. "
            "Is this the address of an InvokeAI server?"
        )

    def _chunks(self, answer: httpx.Response) -> AsyncIterable[bytes]:
        # An answer that a backend made of bytes is consumed and decoded already.
        if answer.is_stream_consumed:
            return answer.aiter_bytes(constants.CHUNK)
        return decoded(steady(answer.aiter_raw(), self.timeout), answer.headers.get("content-encoding", ""))

    async def _error_of(self, answer: httpx.Response, method: str, path: str) -> StatusError:
        body = await collected(self._chunks(answer), constants.MAX_ERROR_ANSWER, cut=True)
        error = status_error(method, path, answer.status_code, _detail(body), url=self.url)
        error.retry_after = seconds_of(answer.headers.get("Retry-After", ""))
        return error

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        path: str,
        take: Callable[[httpx.Response], Awaitable[T]],
        is_repeatable: bool,
        **content: Any,
    ) -> T:
        """Return what `take` makes of the answer to a request; it is called anew for each attempt."""
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

    async def _once(self, method: str, path: str, take: Callable[[httpx.Response], Awaitable[T]], **content: Any) -> T:
        """Send one request and take its answer; what fails below leaves here as an error of ours.

        That error has no cause and no context: what the libraries raise may repeat headers and addresses.
        """
        failure: ServerError
        try:
            return await self._exchange(method, path, take, **content)
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
        method: str,
        path: str,
        take: Callable[[httpx.Response], Awaitable[T]],
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        content: bytes | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> T:
        from invokeai_gen.server.logs import log

        began = time.monotonic()
        answer = await self._answer(method, path, params, timeout or self.timeout, content, files)
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
                raise await self._error_of(answer, method, path)
            if answer.has_redirect_location:
                elsewhere = public_url(str(answer.next_request.url if answer.next_request else ""))
                raise NotInvokeAIError(
                    f"{self.url} redirects {method} {path} to {elsewhere}. Use that address instead."
                )
            if not _is_foreign(answer.request, self.url):
                self._renew_token(answer.headers.get("X-Refreshed-Token"))
            return await take(answer)
        finally:
            await answer.aclose()

    async def _answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        silence: float,
        content: bytes | None,
        files: Mapping[str, tuple[str, bytes, str]] | None,
    ) -> httpx.Response:
        """Send a request and return its answer, with the body still to come.

        A GET follows redirects; any other request would be sent to the other address with its whole body.
        """
        import asyncio

        import httpx

        client = self._open()
        request = client.build_request(
            method,
            self.url + path,
            params={key: value for key, value in (params or {}).items() if value is not None},
            headers={**self.headers, **({"Content-Type": "application/json"} if content is not None else {})},
            content=content,
            files=files,
            timeout=httpx.Timeout(silence, connect=constants.CONNECT_TIMEOUT, pool=None),
        )
        size = len(content or b"") + sum(len(file[1]) for file in (files or {}).values())
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
        """The request that a redirect asks for, with our headers only if it goes to the same server."""
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
        """The error of ours for one of the libraries below."""
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
        """A library's message, shortened, without anything of ours that must not be shown."""
        for secret in (self._token, self.proxy, *self.headers.values()):
            message = message.replace(secret, "***") if secret else message
        return message[: constants.MAX_DETAIL]


@cache
def _default_tls() -> ssl.SSLContext:
    """The usual certificates. Reading them takes longer than a request to a server nearby, so all clients share this."""
    import httpx

    return httpx.create_ssl_context()


def _checked_verify(verify: bool | str | os.PathLike[str]) -> bool | str:
    """The option, with a path as text. Raises `FileNotFoundError` with the path, which Python's own lacks."""
    if isinstance(verify, bool):
        return verify
    path = os.fspath(verify)
    if not os.path.exists(path):
        raise FileNotFoundError(f"verify: no such file or folder of certificates: {path}")
    return path


def _origin(request: httpx.Request) -> tuple[str, str, int | None]:
    return request.url.scheme, request.url.host, request.url.port


def _is_foreign(request: httpx.Request, url: str) -> bool:
    import httpx

    return _origin(request) != _origin(httpx.Request("GET", url))


def _request(answer: httpx.Response) -> str:
    return f"{answer.request.method} {answer.request.url.path}"


async def _written(chunks: AsyncIterable[bytes], file: BinaryIO) -> int:
    """Write a body into a file, in place of what an earlier attempt may have left there; return its size."""
    file.seek(0)
    file.truncate()
    size = 0
    async for chunk in chunks:
        size += file.write(chunk)
    return size


def _detail(content: bytes) -> Any:
    """What an error answer says: FastAPI's `detail`, else the beginning of its text."""
    try:
        body = json_codec.loads(content)
    except (ValueError, RecursionError):
        return content[: constants.MAX_DETAIL].decode(errors="replace").strip()
    return body.get("detail", body) if isinstance(body, dict) else body
