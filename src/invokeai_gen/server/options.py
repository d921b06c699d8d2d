"""How a client talks to its server, as keyword arguments that editors know."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, TypedDict

if TYPE_CHECKING:
    import httpx

Backend: TypeAlias = "httpx.AsyncBaseTransport"
"""Carries requests in place of the network, for tests."""


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


def checked_verify(verify: bool | str | os.PathLike[str]) -> bool | str:
    """Return the option, with a path as text. Raise `FileNotFoundError` with the path, which Python's own lacks."""
    if isinstance(verify, bool):
        return verify
    path = os.fspath(verify)
    if not os.path.exists(path):
        raise FileNotFoundError(f"verify: no such file or folder of certificates: {path}")
    return path
