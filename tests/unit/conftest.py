"""What unit tests share: the schema that ships with the package, and an environment that says nothing."""

from __future__ import annotations

import os
from typing import Final

import pytest

from invokeai_gen.schema import Schema, shipped_schema

READ_BY_US: Final = ("CI", "COMP_LINE", "SHELL")
READ_BY_LIBRARIES: Final = ("NO_COLOR", "CLICOLOR", "COLUMNS", "LINES", "TERM", "SSL_CERT_", "PYTHONWARNINGS")
STARTS: Final = (*READ_BY_US, *READ_BY_LIBRARIES, "INVOKEAI_", "_INVOKEAI_", "XDG_", "FORCE_COLOR", "TTY_", "JUPYTER_")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset what the package and its libraries read, so that no test depends on where it runs."""
    for name in [*os.environ]:
        if name.startswith(STARTS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Node types of the InvokeAI version that the package was made for."""
    return shipped_schema()
