"""One time limit for all the steps of a run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from invokeai_gen.server.errors import JobTimeoutError


class Deadline:
    """`timeout` seconds from now, on the running event loop; `None` for no limit."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._at = None if timeout is None else asyncio.get_running_loop().time() + timeout

    @property
    def left(self) -> float | None:
        """Seconds that are left, 0 if it has passed; `None` for no limit."""
        return None if self._at is None else max(0.0, self._at - asyncio.get_running_loop().time())

    def clock(self) -> asyncio.Timeout:
        """Return a context manager that raises `TimeoutError` when the deadline passes."""
        return asyncio.timeout_at(self._at)

    @contextlib.asynccontextmanager
    async def within(self, problem: str, item_id: int | None = None) -> AsyncGenerator[None, None]:
        """Raise `JobTimeoutError` with the problem if the deadline passes inside the block."""
        clock = self.clock()
        try:
            async with clock:
                yield
        except TimeoutError as error:
            if not clock.expired():
                raise
            late = JobTimeoutError(f"{problem} within {self.timeout:g} s", item_id=item_id)
            for note in getattr(error.__cause__, "__notes__", ()):
                late.add_note(note)
            raise late from None
