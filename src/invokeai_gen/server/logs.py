"""The one logger of this package, and tokens kept out of the logs of the libraries below, whatever their level.

`invokeai_gen` logs each request (DEBUG), each repeated or abandoned one (INFO) and a lost event connection (WARNING),
with `method`, `path`, `status` and `attempt` as attributes of the record. It never logs headers, bodies or queries.
"""

from __future__ import annotations

import logging
import re
from typing import Final

log: Final = logging.getLogger("invokeai_gen")
_HEADERS_IN_LOGS: Final = re.compile(r"(b'(?:x-refreshed-token|set-cookie)', b')[^']*", re.IGNORECASE)


def _hide_tokens(record: logging.LogRecord) -> bool:
    if isinstance(record.msg, str):
        record.msg = _HEADERS_IN_LOGS.sub(r"\1***", record.msg)
    return True


def keep_tokens_out_of_logs() -> None:
    """Filter the logs of httpcore, which hold the headers of answers with new tokens."""
    for name in ("httpcore.http11", "httpcore.http2", "httpcore.proxy"):
        logging.getLogger(name).addFilter(_hide_tokens)
