"""What reaches a terminal: one style of errors, suggestions, no control characters."""

from __future__ import annotations

import ast
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import invokeai_gen.cli
from invokeai_gen import WorkflowDefinition, WorkflowError
from invokeai_gen.cli import terminal
from tests.cli import Cli, adder, save

EVIL = "\x1b]0;owned\x07\u202e\x9b31m"


@pytest.fixture
def cli(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("INVOKEAI_URL", "http://127.0.0.1:1")
    save(Path("adder.json"), adder())
    return cli


def test_only_one_module_of_the_command_writes_to_the_terminal() -> None:
    folder = Path(invokeai_gen.cli.__file__).parent
    for path in folder.rglob("*.py"):
        if path.name == "terminal.py":
            continue
        calls = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
        }
        assert not calls & {"click.echo", "click.secho", "print"}, path


def test_no_text_can_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.echo(EVIL, label=EVIL, color="red")
    terminal.echo_json({EVIL: EVIL})
    terminal.print_messages("error", [EVIL], source=EVIL)
    terminal.print_crash(ValueError(EVIL))
    said = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(said.out + said.err)
    assert r"\x1b]0;owned\x07\u202e\x9b31m" in said.out


@pytest.mark.parametrize(("encoding", "label"), [("cp1252", r"Größe \u5bbd\u5ea6"), ("cp932", r"Gr\xf6\xdfe \u5bbd度")])
def test_what_the_encoding_of_a_console_lacks_is_shown_escaped(tmp_path: Path, encoding: str, label: str) -> None:
    path = save(tmp_path / "adder.json", adder(label="Größe 宽度"))
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "invokeai_gen", "inspect", str(path)]
    shown = subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode(encoding)
    assert label in shown


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["genrate"], "no command 'genrate'; did you mean 'generate'?"),
        (["workflows", "lits"], "no command 'lits'; did you mean 'list'?"),
        (["run", "adder.json", "--frist", "1"], "no option '--frist'; did you mean '--first'?"),
        (["inspect"], "missing argument 'WORKFLOW'"),
        (["workflows", "list", "--category", "usr"], "did you mean 'user'?"),
        (["inspect", "adder.json", "--openapi", "http://localhost:9090"], "use --server URL"),
    ],
)
def test_wrong_usage_is_an_error_like_others_with_a_suggestion(cli: Cli, arguments: list[str], error: str) -> None:
    answer = cli(*arguments)
    assert (answer.code, answer.out, len(answer.errors)) == (2, "", 2)
    assert answer.errors[0].startswith("error: ")
    assert error in answer.errors[0]
    assert answer.errors[1].startswith("hint: `invokeai-gen ")


def test_a_bug_is_reported_without_control_characters(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError(EVIL)

    monkeypatch.setattr("invokeai_gen.cli.show.inspect.find_workflow", fails)
    answer = cli("inspect", "adder.json")
    assert answer.code == 70
    assert "\x1b" not in answer.err
    assert "RuntimeError" in answer.err and "please report it" in answer.errors[-1]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "the file is empty"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b'{"last_node_id": 1, "links": [], "nodes": []}', "a ComfyUI workflow"),
        (b'{"3": {"class_type": "KSampler", "inputs": {}}}', "a ComfyUI prompt in API format"),
        (b'{"format": 1, "info": {}, "nodes": [], "node_types": {}}', "the plan of a generated module"),
        (b'{"id": "x", "nodes": {}, "edges": []}', "a graph in API format"),
        (b'{"prepend": false, "batch": {}}', "a graph in API format"),
        (b'{"openapi": "3.1.0", "paths": {}}', "the openapi.json of a server"),
        (b"\x89PNG\r\n\x1a\n", "an image without a workflow"),
        (b"PK\x03\x04", "a ZIP archive"),
    ],
)
def test_files_that_people_take_for_a_workflow_are_recognised(cli: Cli, content: bytes, kind: str) -> None:
    Path("other.json").write_bytes(content)
    with pytest.raises(WorkflowError, match=kind):
        WorkflowDefinition.from_file("other.json")
    for command in ("inspect", "run", "payload"):
        answer = cli(command, "other.json")
        assert (answer.code, answer.out, len(answer.errors)) == (1, "", 1), answer.err
        assert answer.err.startswith("error: other.json: ") and kind in answer.err


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"name": "x", "nodes": [], "edges": [], "meta": {}}', "not a workflow: it has no meta.version"),
        (b'{"a": 1}', "not a workflow: it has no meta.version"),
        (b"{", "not JSON: "),
    ],
)
def test_files_of_no_known_kind_say_what_they_lack(cli: Cli, content: bytes, problem: str) -> None:
    Path("other.json").write_bytes(content)
    with pytest.raises(WorkflowError, match=problem):
        WorkflowDefinition.from_file("other.json")


def test_what_is_no_file_may_be_in_the_library_of_a_server(cli: Cli) -> None:
    answer = cli("inspect", "Text to Image - SD1.5")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert "no such file, no generated module of that name, and the server's library cannot be searched" in answer.err
    assert "http://127.0.0.1:1 cannot be reached" in answer.err


def test_inspect_fits_the_width_of_the_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    save(Path("long.json"), adder(label="A very long label " * 8))
    for width in (80, 50):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = cli("inspect", "long.json").lines
        assert max(map(len, lines)) <= width
    assert "…" in "".join(lines)
    assert "…" not in cli("inspect", "long.json", "--wide").out


def test_inspect_takes_two_lines_for_an_input(cli: Cli) -> None:
    lines = cli("inspect", "adder.json").lines
    first = lines.index("  0 first  First")
    assert lines[first + 1] == "    integer; default 1"
    assert lines[first + 2] == "  1 b  B"


def test_inspect_prints_the_json_schema(cli: Cli) -> None:
    answer = cli("inspect", "adder.json", "--json-schema")
    assert answer.code == 0, answer.err
    assert '"first"' in answer.out


def test_quiet_leaves_what_was_asked_for_and_errors(cli: Cli) -> None:
    assert cli("init").lines and Path("pyproject.toml").exists()
    Path("pyproject.toml").unlink()
    assert (cli("init", "--quiet").out, Path("pyproject.toml").exists()) == ("", True)
    assert cli("inspect", "-q", "adder.json").out == cli("inspect", "adder.json").out
    assert cli("pull", "--quiet").errors[0].startswith("error: ")


def test_every_command_has_quiet() -> None:
    def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield name, command
            return
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from leaves(found, f"{name} {each}")

    for name, command in leaves(invokeai_gen.cli.cli, "invokeai-gen"):
        assert sum("--quiet" in param.opts for param in command.params) == 1, name


def test_what_the_package_logs_during_a_command_is_a_warning_like_all_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "is_quiet", lambda: False)
    log = logging.getLogger("invokeai_gen")
    with terminal.logged_warnings():
        log.info("unheard")
        log.warning("%s is gone", EVIL)
    said = capsys.readouterr().err
    assert said.startswith("warning: \\x1b]0;owned") and said.endswith(" is gone\n") and "unheard" not in said
    assert log.handlers == []


def test_a_quiet_run_prints_no_warnings(cli: Cli) -> None:
    data = adder()
    ends = {"source": "gone", "sourceHandle": "value", "target": "sum", "targetHandle": "a"}
    data["edges"].append({"id": "e", "type": "default", **ends})
    save(Path("loose.json"), data)
    assert "warning: loose.json: " in cli("run", "loose.json", "--dry-run").err
    assert "warning: " not in cli("run", "loose.json", "--dry-run", "-q").err
