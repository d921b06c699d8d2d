"""Tokens kept out of the logs of the libraries that this package stands on, whatever level those are set to."""

from __future__ import annotations

import logging
import re
from typing import Final

_HEADERS_IN_LOGS: Final = re.compile(r"(b'(?:x-refreshed-token|set-cookie)', b')[^']*", re.IGNORECASE)
SILENT: Final = logging.Logger("invokeai_gen.socketio", logging.CRITICAL + 1)  # noqa: LOG001 - nobody else may find it
"""For libraries that would log what they send: nothing that is set up elsewhere makes it say anything."""


class _WithoutTokens(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str):
            record.msg = _HEADERS_IN_LOGS.sub(r"\1***", record.msg)
        return True


_without_tokens: Final = _WithoutTokens()


def keep_tokens_out_of_logs() -> None:
    """httpcore logs the headers of answers, in which a server may send a new token."""
    for name in ("http11", "http2", "proxy"):
        logging.getLogger(f"httpcore.{name}").addFilter(_without_tokens)
