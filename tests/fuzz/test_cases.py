"""Workflow and openapi files that mean harm: each is refused in words, or becomes a module that is ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invokeai_gen.cli.named_workflow import file_names
from invokeai_gen.cli.server.models import module_text
from invokeai_gen.server.boards import Board
from invokeai_gen.server.models import Model
from invokeai_gen.server.workflows import SavedWorkflow
from tests.cli import Cli, adder, save
from tests.fuzz import attacks, properties

BLOCK = 100
FORMATTED = 10
"""Every so many cases are formatted, too, which takes ten times as long as all else."""

TEXTS = st.text(max_size=200) | st.sampled_from(attacks.TEXTS)


@pytest.mark.parametrize("first", range(0, 6 * BLOCK, BLOCK))
def test_a_file_is_refused_in_words_or_becomes_a_module_that_is_ours(first: int) -> None:
    made = 0
    for number in range(first, first + BLOCK):
        try:
            module = properties.check(properties.case(number), formatted=number % FORMATTED == 0)
        except Exception as error:
            raise AssertionError(f"case {number}") from error
        made += module is not None
    assert made > BLOCK // 5, "most attacks are refused: what they would do to a module is not seen"


@settings(derandomize=True, max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_whatever_people_write_is_only_text(texts: list[str]) -> None:
    data = _with_texts(texts)
    case = properties.Case(0, json.dumps(data).encode(), None, "workflow.json", validate=False)
    assert properties.check(case, formatted=False) is not None


def _with_texts(texts: list[str]) -> dict[str, object]:
    data = adder()
    turn = _endless(texts)
    node = data["nodes"][0]["data"]
    for key in ("name", "author", "description", "contact", "tags", "notes"):
        data[key] = next(turn)
    for holder in (node, node["inputs"]["a"], node["inputs"]["b"]):
        holder |= {"label": next(turn), "notes": next(turn), "description": next(turn)}
    return data


def _endless(texts: list[str]) -> Iterator[str]:
    while True:
        yield from texts


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5, unique_by=lambda pair: pair[1]))
def test_names_of_a_server_are_files_of_one_folder_and_only_data(named: list[tuple[str, str]]) -> None:
    files = file_names([SavedWorkflow(workflow_id=key, name=name) for name, key in named])
    for file in files.values():
        assert re.fullmatch(r"[^\W_][\w-]*\.json", file), repr(file)
        assert Path(file).name == file
        assert len(file.encode()) <= 255
    named = named[:2]  # formatting takes its time
    models = [Model(key=key, hash=name, name=name, base=name, type=key, format=name) for name, key in named]
    boards = [Board(board_id=key, board_name=name) for name, key in named]
    text = module_text(models, boards, named[0][0])
    space: dict[str, object] = {"__name__": "zq_constants"}
    properties.prepare()
    with properties.watched():
        exec(compile(text, "<constants>", "exec"), space)
    given = [value.id for key, value in vars(space["Boards"]).items() if not key.startswith("__")]
    assert sorted(given) == sorted(key for _, key in named)


@pytest.mark.parametrize("first", range(0, len(attacks.TEXTS), 24))
def test_what_the_command_says_cannot_steer_a_terminal(
    first: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(capsys)
    file = save(tmp_path / "evil.json", _with_texts(list(attacks.TEXTS[first : first + 24])))
    commands: list[list[object]] = [
        ["inspect", file],
        ["inspect", file, "--json"],
        ["inspect", file, "--graph", "mermaid"],
        ["inspect", file, "--graph", "svg"],
        ["generate", file, "-o", tmp_path / "made"],
        ["diff", save(tmp_path / "good.json", adder()), file],
        ["payload", file, "--set", "nothing=1"],
        ["run", file, "--help"],
        ["run", file, "--dry-run"],
        ["run", file, "--nothing", "1"],
    ]
    for command in commands:
        answer = cli(*command)
        for line in (answer.out + answer.err).split("\n"):
            properties.assert_plain(line)
