"""Tokens and passwords, kept out of everything that is shown or stored; `logs` is about what is logged."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit


class Secret(str):
    """A text that is itself wherever it is used, but does not show in reprs, and so in no dump of variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __reduce__(self) -> tuple[type[str], tuple[()]]:
        return str, ()


def basic_authorization(url: str) -> Secret | None:
    """User name and password in an address, as the header they are sent in."""
    parts = urlsplit(url)
    if not parts.username:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Secret(f"Basic {b64encode(pair.encode()).decode()}")
