"""What unit tests share: the schema that ships with the package, and an environment that says nothing."""

from __future__ import annotations

import os
from typing import Final

import pytest

from invokeai_gen.schema import Schema, shipped_schema

READ_BY_US: Final = ("INVOKEAI_URL", "INVOKEAI_TOKEN", "_INVOKEAI_GEN_COMPLETE", "CI", "COMP_LINE", "SHELL", "XDG_")
READ_BY_LIBRARIES: Final = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLUMNS", "LINES", "TERM", "TTY_", "SSL_CERT_")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset what the package and its libraries read, so that no test depends on where it runs."""
    for name in [*os.environ]:
        if name.startswith((*READ_BY_US, *READ_BY_LIBRARIES)) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Node types of the InvokeAI version that the package was made for."""
    return shipped_schema()
