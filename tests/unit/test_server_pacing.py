"""When a batch can do without events."""

import itertools
from collections.abc import Iterator

import pytest

from invokeai_gen.server import pacing
from invokeai_gen.server.pacing import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def noted(items: int, seconds: float) -> Iterator[tuple[int, bool]]:
    """Each item that ends at a steady pace: how many are left, and whether events are left out then."""
    clock = Clock()
    pace = Pace(clock)
    for left in range(items, -1, -1):
        pace.note(left)
        yield left, pace.needs_no_events
        clock.now += seconds


def test_many_fast_items_need_no_events_until_the_end_is_near() -> None:
    without = [left for left, needs_none in noted(1000, 0.1) if needs_none]
    assert without == [*range(1000 - pacing.MIN_ENDED, int(pacing.NEAR / 0.1), -1)]


@pytest.mark.parametrize(("items", "seconds"), [(1000, 5.0), (20, 0.1), (4, 0.9), (1, 0.0), (1000, 1.5)])
def test_events_stay_for_slow_items_and_for_few(items: int, seconds: float) -> None:
    assert not any(needs_none for _, needs_none in noted(items, seconds))


def test_items_that_become_slow_are_followed_by_events_again() -> None:
    clock = Clock()
    pace = Pace(clock)
    for left in range(1000, 900, -1):
        pace.note(left)
        clock.now += 0.1
    assert pace.needs_no_events
    clock.now += 60  # nothing ends any more
    pace.note(901)
    assert not pace.needs_no_events


def test_a_pace_in_between_changes_nothing() -> None:
    """Connecting and leaving for each item would cost more than either."""
    clock = Clock()
    pace = Pace(clock)
    said = []
    for left in range(1000, 0, -1):
        pace.note(left)
        said.append(pace.needs_no_events)
        clock.now += 0.9 if left % 40 else 20.0  # 1.0 to 1.9 s for an item, by the window
    assert sum(one != other for one, other in itertools.pairwise(said)) <= 2
