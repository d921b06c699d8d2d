"""The answer to one request: its JSON, its file, or the error that it stands for."""

from __future__ import annotations

import json as json_codec
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from invokeai_gen.server import constants
from invokeai_gen.server.answers import Reader, ShapeError
from invokeai_gen.server.bodies import BodyError, check_complete, check_complete_file, collected, decoded, steady
from invokeai_gen.server.errors import NotInvokeAIError, StatusError, UnexpectedAnswerError, status_error
from invokeai_gen.server.retries import seconds_of

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose body is still to come."""

    raw: httpx.Response
    method: str
    path: str
    url: str
    """Address of the server, without any credentials."""
    silence: float
    """Seconds that the server may stay silent while the body arrives."""

    async def json(self, read: Reader[T]) -> T:
        """Return what `read` makes of the JSON. Raise `NotInvokeAIError`, or `UnexpectedAnswerError` if it refuses."""
        data = await self._json()
        try:
            return read(data)
        except (ShapeError, LookupError, TypeError, AttributeError, ValueError) as error:
            problem = str(error) if isinstance(error, ShapeError) else f"{type(error).__name__}: {error}"
        raise UnexpectedAnswerError(
            f"{self.url} answered {self.method} {self.path} in an unexpected form: {problem[: constants.MAX_DETAIL]}. "
            "Is this the address of an InvokeAI server?"
        )

    async def file(self) -> bytes:
        """Return the file. Raise `NotInvokeAIError` for a page or JSON."""
        self._check_file()
        data = await collected(self._chunks(), constants.MAX_FILE_IN_MEMORY)
        check_complete(data)
        return data

    async def save(self, file: BinaryIO) -> int:
        """Write the file, in place of what an earlier attempt may have left there; return its size in bytes."""
        self._check_file()
        file.seek(0)
        file.truncate()
        size = 0
        async for chunk in self._chunks():
            size += file.write(chunk)
        check_complete_file(file, size)
        return size

    async def error(self) -> StatusError:
        """Return the error for its status."""
        body = await collected(self._chunks(), constants.MAX_ERROR_ANSWER, cut=True)
        error = status_error(self.method, self.path, self.raw.status_code, _detail(body), url=self.url)
        error.retry_after = seconds_of(self.raw.headers.get("Retry-After", ""))
        return error

    async def _json(self) -> Any:
        content = await collected(self._chunks(), constants.MAX_ANSWER)
        kind = self.raw.headers.get("content-type", "")
        if not content and "json" not in kind:
            return None
        try:
            return json_codec.loads(content)
        except (ValueError, RecursionError):
            pass
        if "json" in kind:
            raise BodyError("only a part of it arrived", is_cut=True)
        raise NotInvokeAIError(
            f"{self.url} answered {self._request} with something that is not JSON. "
            "Is this the address of an InvokeAI server?"
        )

    def _check_file(self) -> None:
        """Refuse a login page or the like in place of a picture, even if its status is 200."""
        kind = self.raw.headers.get("content-type", "")
        if "html" in kind or "json" in kind:
            raise NotInvokeAIError(f"{self.url} answered {self._request} with {kind[:80]} instead of a file")

    @property
    def _request(self) -> str:
        """The request that was answered in the end, which a redirect may have changed."""
        return f"{self.raw.request.method} {self.raw.request.url.path}"

    def _chunks(self) -> AsyncIterable[bytes]:
        # An answer that a backend made of bytes is consumed and decoded already.
        if self.raw.is_stream_consumed:
            return self.raw.aiter_bytes(constants.CHUNK)
        return decoded(steady(self.raw.aiter_raw(), self.silence), self.raw.headers.get("content-encoding", ""))


def _detail(content: bytes) -> Any:
    """Return what an error answer says: FastAPI's `detail`, else the beginning of its text."""
    try:
        body = json_codec.loads(content)
    except (ValueError, RecursionError):
        return content[: constants.MAX_DETAIL].decode(errors="replace").strip()
    return body.get("detail", body) if isinstance(body, dict) else body
