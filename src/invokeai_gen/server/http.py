"""The one module that speaks HTTP: requests, retries, uploads, downloads and what their failures are called."""

from __future__ import annotations

import contextlib
import json as json_codec
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from invokeai_gen.files import replacing
from invokeai_gen.server.background import bridge
from invokeai_gen.server.errors import (
    ConnectionFailedError,
    InvalidUrlError,
    NotInvokeAIError,
    RequestTimeoutError,
    status_error,
)

if TYPE_CHECKING:
    import httpx

Backend: TypeAlias = "httpx.AsyncBaseTransport"
"""What carries requests in place of the network, for tests."""

DEFAULT_URL: Final = "http://localhost:9090"
CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 60.0
"""Seconds without a byte from the server. An upload or a long list may take longer in all."""
MAX_CONNECTIONS: Final = 32
READ_ATTEMPTS: Final = 4
CONNECT_ATTEMPTS: Final = 3
FIRST_RETRY_WAIT: Final = 0.2
_RETRIED_STATUSES: Final = {502, 503, 504}
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
    return quote(name, safe="")


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
        self.url = clean_url(url)
        self.token = token
        self.timeout = timeout
        self._backend = backend
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"Transport({public_url(self.url)!r})"

    @property
    def is_open(self) -> bool:
        """Whether there are connections to close."""
        return self._client is not None

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """JSON of a GET, retried with growing pauses while the server cannot be reached."""
        return await bridge(self._json("GET", path, params=params))

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        timeout: float | None = None,
    ) -> Any:
        """JSON of a request that changes something; sent again only where it never reached the server."""
        return await bridge(self._json(method, path, params=params, json=json, timeout=timeout))

    async def upload(
        self, path: str, name: str, data: bytes, mime: str, params: Mapping[str, Any] | None = None
    ) -> Any:
        """JSON of a multipart POST of one file."""
        return await bridge(self._json("POST", path, params=params, files={"file": (name, data, mime)}))

    async def replace_file(self, path: str, field: str, name: str, data: bytes, mime: str) -> Any:
        """JSON of a multipart PUT of one file in the form field `field`."""
        return await bridge(self._json("PUT", path, files={field: (name, data, mime)}))

    async def read(self, path: str) -> bytes:
        """The body of a GET."""
        return (await bridge(self._answer("GET", path))).content

    async def download(self, path: str, target: Path) -> int:
        """Streams the body of a GET into a file and returns its size in bytes.

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
            self._client = httpx.AsyncClient(
                transport=self._backend,
                timeout=httpx.Timeout(self.timeout, connect=CONNECT_TIMEOUT, pool=None),
                limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
                follow_redirects=True,
                auth=_basic_auth(self.url),
            )
        return self._client

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        answer = await self._answer(method, path, **options)
        if not answer.content:
            return None
        try:
            return answer.json()
        except (json_codec.JSONDecodeError, UnicodeDecodeError):
            raise NotInvokeAIError(
                f"{public_url(self.url)} answered {method} {path} with something that is not JSON. "
                "Is this the address of an InvokeAI server?"
            ) from None

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        **content: Any,
    ) -> httpx.Response:
        """The whole answer to a request; raises for an error status."""
        async with self._exchange(method, path, params, timeout, content) as answer:
            await answer.aread()
            return answer

    async def _download(self, path: str, target: Path) -> int:
        size = 0
        with replacing(target) as file:
            async with self._exchange("GET", path, None, None, {}) as answer:
                async for chunk in answer.aiter_bytes(_CHUNK):
                    size += file.write(chunk)
        return size

    @contextlib.asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        timeout: float | None,
        content: Mapping[str, Any],
    ) -> AsyncIterator[httpx.Response]:
        """One request with its retries, its body still unread; every failure has its name when it leaves here."""
        import httpx

        where = public_url(self.url)
        try:
            answer = await self._send_again(method, path, params, timeout, content)
            try:
                if answer.is_error:
                    await answer.aread()
                    raise status_error(method, path, answer.status_code, _detail(answer))
                self.token = answer.headers.get("X-Refreshed-Token") or self.token
                yield answer
            finally:
                await answer.aclose()
        except httpx.ConnectTimeout:
            raise ConnectionFailedError(
                f"no answer from {where} within {CONNECT_TIMEOUT:g} s. Is the server on?"
            ) from None
        except httpx.TimeoutException:
            raise RequestTimeoutError(f"{where} did not finish its answer to {method} {path} in time") from None
        except httpx.ConnectError as error:
            raise ConnectionFailedError(f"{where} cannot be reached ({error}). Is the server running there?") from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ConnectionFailedError(f"the connection to {where} broke during {method} {path} ({reason})") from None

    async def _send_again(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        timeout: float | None,
        content: Mapping[str, Any],
    ) -> httpx.Response:
        import httpx
        import tenacity

        is_read = method == "GET"

        def is_retried(state: tenacity.RetryCallState) -> bool:
            outcome = state.outcome
            if outcome is None:
                return False
            error = outcome.exception()
            if error is None:
                return is_read and outcome.result().status_code in _RETRIED_STATUSES
            if isinstance(error, httpx.ConnectError):
                return state.attempt_number < CONNECT_ATTEMPTS
            return is_read and isinstance(error, httpx.TransportError)

        async def put_aside(state: tenacity.RetryCallState) -> None:
            if state.outcome is not None and state.outcome.exception() is None:
                await state.outcome.result().aclose()

        def last(state: tenacity.RetryCallState) -> httpx.Response:
            assert state.outcome is not None
            answer: httpx.Response = state.outcome.result()
            return answer

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(READ_ATTEMPTS),
            wait=tenacity.wait_exponential(multiplier=FIRST_RETRY_WAIT, max=2.0)
            + tenacity.wait_random(0, FIRST_RETRY_WAIT),
            retry=is_retried,
            before_sleep=put_aside,
            retry_error_callback=last,
        )
        return await retrying(self._once, method, path, params, timeout, content)

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        timeout: float | None,
        content: Mapping[str, Any],
    ) -> httpx.Response:
        client = self._open()
        options: dict[str, Any] = {key: value for key, value in content.items() if value is not None}
        if timeout is not None:
            import httpx

            options["timeout"] = httpx.Timeout(timeout, connect=CONNECT_TIMEOUT, pool=None)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        query = {key: value for key, value in (params or {}).items() if value is not None}
        # Without user name and password, because httpx logs the address.
        request = client.build_request(method, public_url(self.url) + path, params=query, headers=headers, **options)
        return await client.send(request, stream=True)


def _basic_auth(url: str) -> tuple[str, str] | None:
    """User name and password in an address, for a server behind a proxy that asks for them."""
    parts = urlsplit(url)
    return (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def _detail(answer: httpx.Response) -> Any:
    """What an error answer says: FastAPI's `detail`, else the beginning of its text."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:300].strip()
    return body.get("detail", body) if isinstance(body, dict) else body
