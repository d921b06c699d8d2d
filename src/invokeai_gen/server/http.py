"""The one module that speaks HTTP: requests, retries, uploads, downloads and what their failures are called."""

from __future__ import annotations

import json as json_codec
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from invokeai_gen.atomic_files import replacing
from invokeai_gen.server.background import bridge
from invokeai_gen.server.credentials import Secret, basic_authorization
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    InvalidUrlError,
    NotInvokeAIError,
    RequestTimeoutError,
    ServerError,
    ServerFaultError,
    StatusError,
    TooManyRequestsError,
    UnreachableError,
    status_error,
)

if TYPE_CHECKING:
    import httpx
    import tenacity

T = TypeVar("T")
Backend: TypeAlias = "httpx.AsyncBaseTransport"
"""What carries requests in place of the network, for tests."""

DEFAULT_URL: Final = "http://localhost:9090"
CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 60.0
"""Seconds without a byte from the server. An upload or a long list may take longer in all."""
MAX_CONNECTIONS: Final = 32
READ_ATTEMPTS: Final = 4
CONNECT_ATTEMPTS: Final = 3
SILENT_ATTEMPTS: Final = 2
"""Few, since each of them takes the whole time that a request has."""
FIRST_RETRY_WAIT: Final = 0.2
MAX_RETRY_WAIT: Final = 2.0
MAX_RETRY_AFTER: Final = 30.0
"""Seconds that a server may put off a request with `Retry-After`."""
MAX_ANSWER: Final = 1 << 30
"""Bytes of an answer that is kept in memory. What is downloaded into a file may be larger."""
_RETRIED_STATUSES: Final = {502, 503, 504}
_REPEATABLE: Final = {"GET", "PUT", "DELETE"}
"""Methods that do no more when they are sent twice than when they are sent once."""
_CHUNK: Final = 1 << 16


def clean_url(url: str) -> str:
    """A server's address without trailing slash. Raises `InvalidUrlError` for anything but `http(s)://host[:port][/path]`."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidUrlError(f"{public_url(url)!r} is not the address of a server, such as {DEFAULT_URL!r}")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def public_url(url: str) -> str:
    """The address as it may be shown: without user name and password."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def segment(name: str) -> str:
    """A name as one segment of a path, whatever characters it has."""
    return quote(name, safe="", errors="replace") if name.strip(".") else name.replace(".", "%2E")


class Transport:
    """The HTTP side of one server. Every method may be awaited on any event loop."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = READ_TIMEOUT,
        backend: Backend | None = None,
    ) -> None:
        self.url = public_url(clean_url(url))
        """Without user name and password."""
        self.timeout = timeout
        self.backend = backend
        self._for_proxy = basic_authorization(url)
        self._token = Secret(token) if token else None
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    @property
    def token(self) -> Secret | None:
        """What the server knows the account by."""
        return self._token

    @token.setter
    def token(self, token: str | None) -> None:
        self._token = Secret(token) if token else None

    @property
    def headers(self) -> dict[str, str]:
        """What goes with every request, to this server only.

        User name and password in the address are for a proxy before the server, which gets to see the header first.
        """
        authorization = self._for_proxy or (Secret(f"Bearer {self._token}") if self._token else None)
        return {"Authorization": authorization} if authorization else {}

    @property
    def is_open(self) -> bool:
        """Whether there are connections to close."""
        return self._client is not None

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """JSON of a GET."""
        return await self.send("GET", path, params=params)

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        timeout: float | None = None,
        repeatable: bool = False,
    ) -> Any:
        """JSON of any request.

        It is sent again, with growing pauses, where it certainly never arrived or the server asks for that, and after
        every other trouble with connections only if that does no harm: for GET, PUT and DELETE, and where
        `repeatable` says so.
        """
        is_repeatable = repeatable or method in _REPEATABLE
        return await bridge(
            self._ask(method, path, self._json_of, is_repeatable, params=params, json=json, timeout=timeout)
        )

    async def upload(
        self, path: str, name: str, data: bytes, mime: str, params: Mapping[str, Any] | None = None
    ) -> Any:
        """JSON of a multipart POST of one file."""
        files = {"file": (name, data, mime)}
        return await bridge(self._ask("POST", path, self._json_of, False, params=params, files=files))

    async def replace_file(self, path: str, field: str, name: str, data: bytes, mime: str) -> Any:
        """JSON of a multipart PUT of one file in the form field `field`."""
        return await bridge(self._ask("PUT", path, self._json_of, True, files={field: (name, data, mime)}))

    async def read(self, path: str) -> bytes:
        """The file that a GET gives."""
        return await bridge(self._ask("GET", path, self._file_of, True))

    async def download(self, path: str, target: Path) -> int:
        """Streams the file that a GET gives to `target` and returns its size in bytes.

        The file appears under its name only when it is complete: until then it has a temporary name in the same folder.
        """
        return await bridge(self._download(path, target))

    async def close(self) -> None:
        """Closes all connections; the next request opens new ones."""
        await bridge(self._close())

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
                timeout=httpx.Timeout(self.timeout, connect=CONNECT_TIMEOUT, pool=None),
                limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
            )
        return self._client

    async def _download(self, path: str, target: Path) -> int:
        with replacing(target) as file:

            async def save(answer: httpx.Response) -> int:
                self._check_file(answer)
                return await _written(answer, file)

            return await self._ask("GET", path, save, True)

    async def _json_of(self, answer: httpx.Response) -> Any:
        content, kind = await self._body_of(answer), answer.headers.get("content-type", "")
        if not content and "json" not in kind:
            return None
        try:
            return json_codec.loads(content)
        except (ValueError, RecursionError):
            if "json" in kind:
                raise ConnectionFailedError(
                    f"only a part of the answer of {self.url} to {_request(answer)} arrived"
                ) from None
            raise NotInvokeAIError(
                f"{self.url} answered {_request(answer)} with something that is not JSON. "
                "Is this the address of an InvokeAI server?"
            ) from None

    async def _file_of(self, answer: httpx.Response) -> bytes:
        self._check_file(answer)
        return await self._body_of(answer)

    def _check_file(self, answer: httpx.Response) -> None:
        """A page to log in, or the like, is no picture, even if its status is 200."""
        kind = answer.headers.get("content-type", "")
        if "html" in kind or "json" in kind:
            raise NotInvokeAIError(f"{self.url} answered {_request(answer)} with {kind} in place of a file")

    async def _body_of(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise NotInvokeAIError(f"{self.url} answers with more than {MAX_ANSWER} bytes, which are not read")
        return bytes(body)

    async def _ask(
        self,
        method: str,
        path: str,
        take: Callable[[httpx.Response], Awaitable[T]],
        is_repeatable: bool,
        **content: Any,
    ) -> T:
        """What `take` makes of the answer to a request; it is called anew for each attempt."""
        import tenacity

        def is_retried(state: tenacity.RetryCallState) -> bool:
            error = state.outcome and state.outcome.exception()
            return isinstance(error, ServerError) and state.attempt_number < _attempts(error, is_repeatable)

        retrying = tenacity.AsyncRetrying(retry=is_retried, wait=_pause)
        return await retrying(self._once, method, path, take, **content)

    async def _once(
        self,
        method: str,
        path: str,
        take: Callable[[httpx.Response], Awaitable[T]],
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        **content: Any,
    ) -> T:
        """One request and its answer; every failure has its name when it leaves here."""
        import httpx

        options: dict[str, Any] = {key: value for key, value in content.items() if value is not None}
        if timeout is not None:
            options["timeout"] = httpx.Timeout(timeout, connect=CONNECT_TIMEOUT, pool=None)
        query = {key: value for key, value in (params or {}).items() if value is not None}
        client = self._open()
        request = client.build_request(method, self.url + path, params=query, headers=self.headers, **options)
        try:
            # httpx takes the token out where a redirect leads to another host; but a body would go there whole.
            answer = await client.send(request, stream=True, follow_redirects=method == "GET")
            try:
                if answer.is_error:
                    raise await self._error_of(answer, method, path)
                if answer.has_redirect_location:
                    elsewhere = public_url(str(answer.next_request.url if answer.next_request else ""))
                    raise NotInvokeAIError(f"{self.url} sends {method} {path} on to {elsewhere}. Give that address.")
                if not answer.history:
                    self.token = answer.headers.get("X-Refreshed-Token") or self.token
                return await take(answer)
            finally:
                await answer.aclose()
        except httpx.ConnectTimeout:
            raise UnreachableError(
                f"no answer from {self.url} within {CONNECT_TIMEOUT:g} s. Is the server on?"
            ) from None
        except httpx.TimeoutException:
            raise RequestTimeoutError(f"{self.url} did not finish its answer to {method} {path} in time") from None
        except httpx.ConnectError as error:
            raise UnreachableError(f"{self.url} cannot be reached ({error}). Is the server running there?") from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ConnectionFailedError(
                f"the connection to {self.url} broke during {method} {path} ({reason})"
            ) from None

    async def _error_of(self, answer: httpx.Response, method: str, path: str) -> StatusError:
        error = status_error(method, path, answer.status_code, _detail(await self._body_of(answer)))
        error.retry_after = _seconds(answer.headers.get("Retry-After", ""))
        return error


def _request(answer: httpx.Response) -> str:
    return f"{answer.request.method} {answer.request.url.path}"


def _attempts(error: ServerError, is_repeatable: bool) -> int:
    """How often a request may be sent in all when it fails in this way."""
    if isinstance(error, UnreachableError):
        return CONNECT_ATTEMPTS
    if isinstance(error, TooManyRequestsError):
        return READ_ATTEMPTS
    if not is_repeatable:
        return 1
    if isinstance(error, RequestTimeoutError):
        return SILENT_ATTEMPTS
    is_passing = isinstance(error, ServerFaultError) and error.status in _RETRIED_STATUSES
    return READ_ATTEMPTS if is_passing or isinstance(error, ConnectionFailedError) else 1


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds before the next attempt: what the server asks for, else a little more each time."""
    import random

    error = state.outcome and state.outcome.exception()
    if isinstance(error, StatusError) and error.retry_after is not None:
        return min(error.retry_after, MAX_RETRY_AFTER)
    longest = FIRST_RETRY_WAIT * float(2**state.attempt_number)
    return min(longest * random.uniform(0.5, 1), MAX_RETRY_WAIT)


async def _written(answer: httpx.Response, file: BinaryIO) -> int:
    """Writes a body into a file, in place of what an earlier attempt may have left there."""
    file.seek(0)
    file.truncate()
    size = 0
    async for chunk in answer.aiter_bytes(_CHUNK):
        size += file.write(chunk)
    return size


def _seconds(text: str) -> float | None:
    """A `Retry-After` in seconds; `None` where there is none, or a date."""
    return float(text) if text.isdecimal() else None


def _detail(content: bytes) -> Any:
    """What an error answer says: FastAPI's `detail`, else the beginning of its text."""
    try:
        body = json_codec.loads(content)
    except (ValueError, RecursionError):
        return content[:300].decode(errors="replace").strip()
    return body.get("detail", body) if isinstance(body, dict) else body
