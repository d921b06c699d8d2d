"""Redirects: a GET follows them, with the headers for this server only to this server. Loaded with the first one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx

from invokeai_gen.server import constants
from invokeai_gen.server.address import public_url


async def followed(
    answer: httpx.Response,
    send: Callable[[httpx.Request], Awaitable[httpx.Response]],
    url: str,
    headers: httpx.Headers,
    headers_elsewhere: httpx.Headers,
) -> httpx.Response:
    """Return the answer at the end of the redirects; one that still redirects if there are too many.

    A request to a server other than the one in `url` has the extension `invokeai_gen.elsewhere`.
    """
    for _ in range(constants.MAX_REDIRECTS):
        if not answer.has_redirect_location:
            break
        await answer.aclose()
        there, extensions = _target(answer), {"timeout": answer.request.extensions["timeout"]}
        is_here = _origin(there) == _origin(httpx.URL(url))
        answer = await send(
            httpx.Request(
                "GET",
                there,
                headers=headers if is_here else headers_elsewhere,
                extensions=extensions if is_here else {**extensions, "invokeai_gen.elsewhere": True},
            )
        )
    return answer


def shown(answer: httpx.Response) -> str:
    """Return the address that an answer redirects to, without credentials."""
    return public_url(str(_target(answer)))


def _target(answer: httpx.Response) -> httpx.URL:
    return answer.request.url.join(answer.headers["Location"])


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
