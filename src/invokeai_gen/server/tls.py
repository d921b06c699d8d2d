"""How certificates are checked, for requests and events alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl


def tls_context(verify: bool | str) -> ssl.SSLContext | bool:
    """Return the context for the option `verify`; `False` for no check at all."""
    import ssl

    if isinstance(verify, bool):
        return _default_tls() if verify else False
    is_folder = os.path.isdir(verify)
    return ssl.create_default_context(cafile=None if is_folder else verify, capath=verify if is_folder else None)


def closing_half_made() -> Callable[[str, Mapping[str, Any]], Coroutine[Any, Any, None]]:
    """Return a tracer for one request that closes its connection if it is cancelled during the TLS handshake.

    httpcore itself only closes it after an error.
    """
    stream: Any = None

    async def note(step: str, about: Mapping[str, Any]) -> None:
        nonlocal stream
        if step.endswith("connect_tcp.complete"):
            stream = about["return_value"]
        elif step.endswith("start_tls.failed") and stream is not None:
            await stream.aclose()

    return note


@cache
def _default_tls() -> ssl.SSLContext:
    """Return the usual certificates. Reading them takes longer than a request to a server nearby, so all clients share this."""
    import httpx

    return httpx.create_ssl_context()
