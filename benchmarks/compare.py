"""Compare two results of the benchmarks: `python benchmarks/compare.py OLD.json NEW.json`.

A ratio has changed if the middle halves of its rounds do not overlap; anything less may be noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Key = tuple[str, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    arguments = parser.parse_args()
    for line in compared(*(json.loads(path.read_text(encoding="utf-8")) for path in (arguments.old, arguments.new))):
        print(line)


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return a line for each ratio in either of two results."""
    before, after = _ratios(old), _ratios(new)
    lines = [f"{'task':<46} {'than':<34} {'what':<10} {'old':>7} {'new':>7}  change"]
    for key in dict.fromkeys((*before, *after)):
        left, right = before.get(key), after.get(key)
        values = [f"{statistics.median(ratios):7.3f}" if ratios else f"{'–':>7}" for ratios in (left, right)]
        task, than, measure = key
        lines.append(f"{task:<46} {than:<34} {measure:<10} {' '.join(values)}  {_change(left, right)}")
    return lines


def _ratios(result: Mapping[str, Any]) -> dict[Key, list[float]]:
    return {
        (row["task"], row["than"], row["measure"]): [
            ours / other for ours, other in zip(row["ours"], row["others"], strict=True)
        ]
        for row in result["rows"]
    }


def _change(old: Sequence[float] | None, new: Sequence[float] | None) -> str:
    if not old or not new:
        return "only in one of them"
    (old_low, old_high), (new_low, new_high) = _middle_half(old), _middle_half(new)
    if new_low <= old_high and old_low <= new_high:
        return "within the noise"
    share = statistics.median(new) / statistics.median(old) - 1
    return f"{share:+.0%} ({'better' if share < 0 else 'worse'})"


def _middle_half(ratios: Sequence[float]) -> tuple[float, float]:
    if len(ratios) < 2:
        return ratios[0], ratios[0]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, high


if __name__ == "__main__":
    main()
