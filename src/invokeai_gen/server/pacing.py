"""Whether receiving events about a batch pays off, given what they cost the server.

A server spends some milliseconds on the events of an item, two for each of its nodes, even if nothing is done with them:
20 ms for 40 nodes. If items take long, that is nothing. If they take a tenth of a second, they take a tenth less without
events; then the server is asked now and then instead, until the end is near.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

MIN_ENDED: Final = 5
"""Items that must have ended before their pace is known."""
WINDOW: Final = 20
"""Changes that the pace is taken from."""
FAST: Final = 1.0
SLOW: Final = 2.0
"""Seconds for one item: below the first events cost too much, above the second they do not."""
FAR: Final = 10.0
NEAR: Final = 3.0
"""Seconds until the last item ends: events are left for more than the first, and come back for less than the second."""


class Pace:
    """How fast the items of a batch end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        """When so many items were left."""
        self.needs_no_events = False
        """Whether to ask for the items now and then instead."""

    def note(self, left: int) -> None:
        """Take in how many items have not ended now."""
        now = self._clock()
        if not self._seen or left < self._seen[-1][1]:
            self._seen.append((now, left))
        since, left_then = self._seen[0]
        if left_then - left < MIN_ENDED:
            return
        pace = (now - since) / (left_then - left)
        limit, rest = (SLOW, NEAR) if self.needs_no_events else (FAST, FAR)
        self.needs_no_events = pace < limit and pace * left > rest
