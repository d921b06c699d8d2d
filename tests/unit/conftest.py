"""What unit tests share: the schema that ships with the package."""

from __future__ import annotations

import pytest

from invokeai_gen.schema import Schema, shipped_schema


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Node types of the InvokeAI version that the package was made for."""
    return shipped_schema()
