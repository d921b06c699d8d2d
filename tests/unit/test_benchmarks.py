"""What two results of the benchmarks say about a change."""

from typing import Any

import pytest

from benchmarks.compare import compared
from benchmarks.contest import Contest, Row, Setup


def result(*ratios: float, task: str = "runs") -> dict[str, Any]:
    row = {"task": task, "than": "bare httpx", "measure": "CPU", "goal": None}
    return {"rows": [{**row, "ours": [ratio * 2 for ratio in ratios], "others": [2.0] * len(ratios)}]}


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ([1.0, 1.1, 1.2], [0.5, 0.55, 0.6], "-50% (better)"),
        ([1.0, 1.0, 1.0], [1.2, 1.2, 1.3], "+20% (worse)"),
        ([1.0, 1.1, 1.2], [1.1, 1.2, 1.3], "within the noise"),
        ([1.0], [1.0], "within the noise"),
    ],
)
def test_a_change_is_named_if_it_is_more_than_noise(old: list[float], new: list[float], change: str) -> None:
    (_, line) = compared(result(*old), result(*new))
    assert line.endswith(f"  {change}")


def test_rows_of_only_one_result_are_shown_as_such() -> None:
    lines = compared(result(1.0, task="old"), result(1.0, task="new"))[1:]
    assert [line.split()[0] for line in lines] == ["old", "new"]
    assert all(line.endswith("only in one of them") for line in lines)


def test_contenders_take_turns_and_the_first_round_does_not_count(tmp_path: Any) -> None:
    turns: list[str] = []

    def work(name: str) -> Any:
        def once() -> dict[str, float]:
            turns.append(name)
            return {"CPU": float(len(turns))}

        return once

    contest = Contest("it", {"ours": work("ours"), "other": work("other")}, {("other", "CPU"): 1.0}, rounds=2)
    rows = [*Setup(tmp_path).rows(contest)]
    assert turns == ["ours", "other"] * 3
    assert rows == [Row("it", "other", "CPU", 1.0, [3.0, 5.0], [4.0, 6.0])]
