"""The error for each status of an answer, with the reasons in it. Loaded with the first one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from invokeai_gen.server.constants import MAX_DETAIL, MAX_ERROR_ANSWER, MAX_PROBLEMS
from invokeai_gen.server.errors import NotFoundError, ServerFaultError, StatusError
from invokeai_gen.server.response import Response, collected
from invokeai_gen.texts import collapsed, first_of, shortened


class UnauthorizedError(StatusError):
    """401: the server requires an account, or the token is no longer valid."""


class ForbiddenError(StatusError):
    """403: this account may not do that."""


class RejectedError(StatusError):
    """422: the request does not fit the server's schema. `problems` has one line for each reason."""

    def __init__(
        self, method: str, path: str, status: int, detail: Any = None, *, problems: Sequence[str] = ()
    ) -> None:
        self.problems = tuple(problems)
        lines = [f"- {line}" for line in first_of(self.problems, MAX_PROBLEMS)]
        super().__init__(method, path, status, detail, "\n".join(lines))


class BadRequestError(StatusError):
    """400: the server does not accept the request."""


class UnsupportedByServerError(StatusError):
    """404 or 405 for a function that the server's version of InvokeAI does not have yet."""

    def __init__(self, cause: StatusError, needed: str, server_version: str, url: str) -> None:
        super().__init__(cause.method, cause.path, cause.status, cause.detail)
        self.needed = needed
        """First version of InvokeAI with this function, such as `6.13`."""
        self.server_version = server_version
        request = f"{cause.method} {cause.path}"
        self.args = (f"{request} needs InvokeAI {needed} or newer; {url} has {shortened(server_version)}",)


class UnsupportedMediaError(StatusError):
    """415: an upload that the server cannot read as an image or a video."""


class TooManyRequestsError(StatusError):
    """429: the server, or a proxy in front of it, does not take more requests for a while."""


_PAGE: Final = "an HTML page"
"""Detail of an answer that is one, as web servers and proxies send them."""
_UNKNOWN_PATH: Final = (_PAGE, "Not Found")
"""Details of a 404 for a path that the server does not know; the second are FastAPI's words."""

_KIND_OF_STATUS: Final[Mapping[int, type[StatusError]]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    415: UnsupportedMediaError,
    429: TooManyRequestsError,
}


def status_error(method: str, path: str, status: int, detail: Any, *, url: str = "") -> StatusError:
    """Return the error for an answer's status, with what a person can do about it."""
    if status == 422:
        places = [(shortened(".".join(map(str, entry["loc"])), MAX_DETAIL), entry["msg"]) for entry in reasons(detail)]
        return RejectedError(method, path, status, detail, problems=[f"{place}: {why}" for place, why in places])
    kind = ServerFaultError if status >= 500 else _KIND_OF_STATUS.get(status, StatusError)
    hint = ""
    if status == 401:
        hint = "Pass token=…, set INVOKEAI_TOKEN, or call login(email, password)."
    elif status >= 500:
        hint = "The server's own log has the reason."
    elif status == 405 or (status == 404 and detail in _UNKNOWN_PATH):
        hint = (
            f"Is {url or 'this'} the address of an InvokeAI server? Check the path in it; "
            "if it is right, that server's version lacks this function."
        )
    return kind(method, path, status, detail, hint)


def reasons(detail: Any) -> list[dict[str, Any]]:
    """Return the entries in the `detail` of a 422 with `loc`, `msg` and `input` of bounded size, other things left out."""
    found: list[dict[str, Any]] = []
    for entry in detail if isinstance(detail, list) else ():
        if isinstance(entry, dict):
            location, given = entry.get("loc"), entry.get("input")
            found.append(
                {
                    "loc": location if isinstance(location, list) else [],
                    "msg": _problem_text(entry),
                    "input": shortened(given, MAX_DETAIL) if isinstance(given, str) else given,
                }
            )
    return found


def _problem_text(entry: Mapping[str, Any]) -> str:
    """Return the reason in one entry of a 422 in a few words."""
    context = entry.get("ctx")
    if entry.get("type") == "union_tag_invalid" and isinstance(context, Mapping):
        # The server's own words list every node type it has.
        return f"this server has no node type {shortened(str(context.get('tag')), MAX_DETAIL)!r}"
    return shortened(str(entry.get("msg", "")), MAX_DETAIL)


async def error_of(response: Response) -> StatusError:
    """Return the error that an answer stands for, with FastAPI's `detail` in it, or else the beginning of its text."""
    body = await collected(response.chunks(), MAX_ERROR_ANSWER, cut=True)
    try:
        detail = json.loads(body)
    except (ValueError, RecursionError):
        text = collapsed(body.decode(errors="replace"))
        detail = _PAGE if text.startswith("<") else shortened(text, MAX_DETAIL, tail=0)
    if isinstance(detail, dict):
        detail = detail.get("detail", detail)
    error = status_error(response.method, response.path, response.raw.status_code, detail, url=response.url)
    wait = response.raw.headers.get("Retry-After", "")
    if wait.isdecimal() and len(wait) < 10:  # it may also be a date
        error.retry_after = float(wait)
    return error
