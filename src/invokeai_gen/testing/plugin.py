"""The pytest plugin: the fixture `invokeai`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from invokeai_gen.testing.fake import FakeInvokeAI


@pytest.fixture
def invokeai() -> Iterator[FakeInvokeAI]:
    """Provide a fake InvokeAI server: `invokeai.returns(…)` scripts results, `invokeai.runs` has what was run."""
    from invokeai_gen.testing.fake import FakeInvokeAI

    with FakeInvokeAI() as fake:
        yield fake
