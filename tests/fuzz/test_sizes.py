"""Files of a size that nobody draws by hand: the command comes to an end, and with a module."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli import adder, save
from tests.fuzz import attacks
from tests.unit.workflow_builder import Builder

HANG = 300
"""Seconds after which the command is taken for stuck; it needs a few."""


def a_file_of_50_megabytes() -> Any:
    return adder() | {"notes": "n" * 50_000_000}


def a_label_of_a_million_characters() -> Any:
    return adder(label='"\\\u202e' * 300_000)


def ten_thousand_nodes_in_a_row() -> Any:
    builder = Builder(attacks.shipped())
    for number in range(10_000):
        builder.node(f"n{number}", "add", a=number)
    for number in reversed(range(9_999)):
        builder.edge(f"n{number}.value", f"n{number + 1}.a")
    return builder.field("n0.a").data()


def ten_thousand_connectors_in_a_row() -> Any:
    builder = Builder(attacks.shipped()).node("first", "add").node("last", "add").field("first.a")
    for number in range(10_000):
        builder.connector(f"c{number}")
    builder.edge("first.value", "c0.in")
    for number in range(9_999):
        builder.edge(f"c{number}.out", f"c{number + 1}.in")
    return builder.edge("c9999.out", "last.a").data()


def a_hundred_thousand_choices() -> Any:
    options = [{"label": str(number), "value": str(number)} for number in range(100_000)]
    builder = Builder(attacks.shipped()).node("s", "string", value="5")
    return builder.field("s.value", type="string-field-config", component="dropdown", options=options).data()


def containers_in_containers() -> Any:
    data = adder()
    elements = data["form"]["elements"]
    last = "root"
    for number in range(10_000):
        key = f"c{number}"
        elements[key] = {"id": key, "type": "container", "parentId": last, "data": {"layout": "row", "children": []}}
        elements[last]["data"]["children"].append(key)
        last = key
    return data


@pytest.mark.parametrize(
    "make",
    [
        a_file_of_50_megabytes,
        a_label_of_a_million_characters,
        ten_thousand_nodes_in_a_row,
        ten_thousand_connectors_in_a_row,
        a_hundred_thousand_choices,
        containers_in_containers,
    ],
)
def test_a_large_file_becomes_a_module(make: Callable[[], Any], tmp_path: Path) -> None:
    file = save(tmp_path / "large.json", make())
    command = [sys.executable, "-m", "invokeai_gen", "generate", str(file), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=HANG, check=False)
    assert (done.returncode, done.stderr[:2000]) == (0, "")
    compile((tmp_path / "out" / "large.py").read_bytes(), "<large>", "exec")
