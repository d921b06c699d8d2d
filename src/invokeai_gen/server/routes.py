"""Which version of InvokeAI brought the routes that older servers lack: pure rules."""

from __future__ import annotations

import re
from typing import Final

_SINCE: Final = (
    (r"/api/v1/queue/[^/]+/(item_ids|items_by_ids)", "6.7"),
    (r"/api/v1/workflows/tags", "6.10"),
    (r"/api/v1/auth/.*", "6.12"),
    (r"/api/v2/models/missing", "6.12"),
    (r"/api/v1/workflows/i/[^/]+/is_public", "6.13"),
    (r"/api/v1/videos/.*", "6.14"),  # those of 6.6 to 6.8 were others, and led nowhere
)
"""Of the routes that this package uses, those that not every InvokeAI 6 has."""


def needed_version(path: str, server_version: str) -> str | None:
    """Return the first version with the route of that path, if the server's version is older; else `None`."""
    for pattern, version in _SINCE:
        if re.fullmatch(pattern, path):
            return version if _numbers(server_version) < _numbers(version) else None
    return None


def _numbers(version: str) -> list[int]:
    """Major, minor and patch; those of a pre-release are those of its release."""
    return [int(number) for number in re.findall(r"\d{1,9}", version)[:3]]
