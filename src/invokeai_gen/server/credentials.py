"""Tokens and passwords, kept out of everything that is shown or stored; `logs` is about what is logged."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final, SupportsIndex

from invokeai_gen.server.errors import InvalidHeaderError, InvalidTokenError

_HEADER_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"


class Secret(str):
    """A text that behaves as usual, but shows as `'***'` in reprs, and so in dumps of variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        """Return a part of it, secret as well: rich shows the beginning of a long text."""
        return Secret(super().__getitem__(key))

    def __reduce__(self) -> tuple[type[str], tuple[()]]:
        return str, ()


class Payload(bytes):
    """The body of a request, which may hold a password: it does not show in reprs either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    def __getitem__(self, key: Any) -> Any:
        """Return a part of it, which does not show either."""
        part = super().__getitem__(key)
        return Payload(part) if isinstance(part, bytes) else part


def checked_token(token: str | None) -> Secret | None:
    """Return a token without the white space around it, which files often end with; `None` for an empty one.

    Raises `InvalidTokenError`, which does not show the token, if it cannot be sent in a header.
    """
    if token is None or not token.strip():
        return None
    found = Secret(token.strip())
    if not _is_sendable(found) or " " in found:
        raise InvalidTokenError(
            "the token cannot be sent: it contains characters that are not allowed in a token (spaces, line breaks, "
            "control characters or anything beyond ASCII). Was a whole file or an error page pasted?"
        )
    return found


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return headers with values that do not show in reprs. Raises `InvalidHeaderError` without showing values."""
    found: dict[str, str] = {}
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not re.fullmatch(_HEADER_NAME, name):
            raise InvalidHeaderError("a name of the given headers cannot be sent: use ASCII letters, digits and '-'")
        if not isinstance(value, str) or not _is_sendable(value.strip()):
            raise InvalidHeaderError(f"the value of the header {name!r} cannot be sent: it should be printable ASCII")
        found[name] = Secret(value.strip())
    return found


def environment_token() -> str | None:
    """Return `INVOKEAI_TOKEN`, or `None` if it is not set or empty."""
    return os.environ.get("INVOKEAI_TOKEN") or None


def _is_sendable(value: str) -> bool:
    return value.isascii() and value.isprintable()
