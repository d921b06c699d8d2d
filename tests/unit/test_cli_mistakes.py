"""Every mistake of a user is one clear line on stderr, an exit code, and never a traceback."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from invokeai_gen import InvokeAIGenError
from invokeai_gen.cli import cli as commands
from invokeai_gen.errors import MissingExtraError
from invokeai_gen.shipped_files import openapi_path
from tests import plans
from tests.cli import Cli, adder, save


@pytest.fixture
def cli(cli: Cli) -> Cli:
    save(Path("adder.json"), adder())
    Path("broken.json").write_text('{"nodes": [', encoding="utf-8")
    save(Path("list.json"), [1])
    save(Path("other.json"), {"hello": "world"})
    data = adder()
    data["meta"]["version"] = "99.0.0"
    save(Path("future.json"), data)
    return cli


@pytest.fixture
def nowhere() -> str:
    """An address where nothing answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


COMMANDS = {
    "generate": (["generate", "{}", "-o", "out"], 1),
    "check": (["check", "{}", "-o", "out"], 2),
    "inspect": (["inspect", "{}"], 1),
    "payload": (["payload", "{}"], 1),
    "diff": (["diff", "adder.json", "{}"], 2),
    "workflows push": (["workflows", "push", "{}", "--server", "http://127.0.0.1:1"], 1),
}
FILES = {
    "nothing.json": "nothing.json: No such file or directory",
    "broken.json": "broken.json: not JSON: Expecting value: line 1 column 12 (char 11)",
    "list.json": "list.json: not a workflow: it is not a JSON object (export it from the InvokeAI workflow editor)",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("file", [*FILES, "other.json", "future.json"])
def test_a_file_that_is_no_workflow_is_one_line(cli: Cli, command: str, file: str) -> None:
    arguments, code = COMMANDS[command]
    answer = cli(*(argument.replace("{}", file) for argument in arguments))
    assert answer.code == code
    assert answer.out == ""
    lines = [line for line in answer.errors if line != "error: no module was written"]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {file}: ")
    if file in FILES and file != "nothing.json":
        assert lines[0] == f"error: {FILES[file]}"
    elif file == "nothing.json":
        assert "no such file" in lines[0].lower()


def test_an_unknown_version_is_named(cli: Cli) -> None:
    line = "error: future.json: workflow version 99.0.0 is not supported (only 1.0.0, 2.0.0, 3.0.0 and 4.0.0 are)"
    assert cli("inspect", "future.json").errors == [line]


def test_json_that_is_no_workflow_is_reported(cli: Cli) -> None:
    line = "error: other.json: not a workflow: it has no meta.version (export it from the InvokeAI workflow editor)"
    assert cli("inspect", "other.json").errors == [line]


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "adder.json", "--server"),
        ("inspect", "adder.json", "--server"),
        ("payload", "adder.json", "--server"),
        ("pull", "--server"),
        ("models", "--server"),
        ("workflows", "list", "--server"),
        ("workflows", "pull", "--all", "--server"),
        ("workflows", "push", "adder.json", "--server"),
        ("workflows", "rm", "x", "--server"),
    ],
)
def test_an_unreachable_server_is_one_line(cli: Cli, nowhere: str, arguments: tuple[str, ...]) -> None:
    answer = cli(*arguments, nowhere)
    assert answer.code == 1
    assert len(answer.errors) == 1
    assert answer.err.startswith(f"error: {nowhere} cannot be reached")


def test_doctor_and_an_unreachable_server(cli: Cli, nowhere: str) -> None:
    cli("generate", "adder.json", "-o", "generated")
    answer = cli("doctor", "--server", nowhere)
    assert answer.code == 1
    assert [line.startswith(f"error: {nowhere} cannot be reached") for line in answer.errors] == [True]


@pytest.fixture
def stranger() -> Iterator[str]:
    """A server that answers everything with `{}`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_folder_that_cannot_be_made_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(**_options: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "Z:/out")

    monkeypatch.setattr(commands, "main", make)
    answer = cli("run", "adder.json")
    assert (answer.code, answer.errors) == (1, ["error: Z:/out: No such file or directory"])


@pytest.mark.parametrize("command", ["pull", "models", "workflows list", "generate adder.json"])
def test_another_kind_of_server_is_one_line(cli: Cli, stranger: str, command: str) -> None:
    answer = cli(*command.split(), "--server", stranger)
    assert answer.code == 1
    problem = f"{stranger} answered GET /api/v1/app/version in an unexpected form: 'version' is missing"
    assert answer.errors == [f"error: {problem}. Is this the address of an InvokeAI server?"]


def test_the_servers_address_comes_from_the_environment_before_the_pyproject(
    cli: Cli, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("init", "--server", nowhere)
    assert nowhere in cli("workflows", "list").err
    monkeypatch.setenv("INVOKEAI_URL", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1 cannot be reached" in cli("workflows", "list").err


def test_what_is_no_address_is_reported(cli: Cli) -> None:
    answer = cli("pull", "--server", "localhost:9090")
    assert answer.code == 1
    assert answer.errors == ["error: 'localhost:9090' is not the address of a server, such as 'http://localhost:9090'"]


def test_a_server_without_a_node_type_is_reported(cli: Cli) -> None:
    data = adder()
    data["nodes"][0]["data"]["type"] = "add_from_elsewhere"
    save(Path("adder.json"), data)
    answer = cli("generate", "adder.json", "-o", "out")
    assert answer.code == 1
    assert answer.errors[0] == (
        "error: adder.json: node 'Sum' (add_from_elsewhere, id sum): this node type does not exist on the server "
        "(install its node pack, or delete the node)"
    )


def test_a_schema_that_is_none_is_reported(cli: Cli) -> None:
    answer = cli("generate", "adder.json", "--openapi", "other.json")
    assert answer.code == 1
    assert answer.errors == ["error: other.json: not an openapi.json: it has no components.schemas"]


def test_two_schemas_are_wrong_usage(cli: Cli) -> None:
    answer = cli("inspect", "adder.json", "--openapi", "x.json", "--server", "http://x")
    assert answer.code == 2
    assert "--openapi and --server exclude each other" in answer.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_reported(cli: Cli) -> None:
    Path("locked").mkdir(mode=0o555)
    answer = cli("generate", "adder.json", "-o", "locked/out")
    assert answer.code == 1
    assert answer.errors == ["error: locked/out: Permission denied"]


@pytest.mark.parametrize(
    "arguments", [("generate", "adder.json", "-o", "file/out"), ("generate", "adder.json", "-o", "file")]
)
def test_an_output_that_cannot_be_a_folder_is_reported(cli: Cli, arguments: tuple[str, ...]) -> None:
    Path("file").write_text("x", encoding="utf-8")
    answer = cli(*arguments)
    assert answer.code in (1, 2)
    assert "Traceback" not in answer.err
    assert "file" in answer.errors[0]


def test_another_tools_folder_is_not_written_into(cli: Cli) -> None:
    Path("out").mkdir()
    Path("out/adder.py").write_text("print()", encoding="utf-8")
    answer = cli("generate", "adder.json", "-o", "out")
    assert answer.code == 1
    assert answer.errors == ["error: out/adder.py was not made by invokeai-gen; choose another output folder"]


def test_modules_that_are_none_are_reported(cli: Cli) -> None:
    assert cli("doctor").errors == ["error: generated: no such folder; name WORKFLOWS"]
    (line,) = cli("doctor", "portrait", "--server", "http://127.0.0.1:1").errors
    assert line.startswith("error: http://127.0.0.1:1 cannot be reached")
    assert cli("doctor", "portrait.py").errors == ["error: portrait.py: no such file"]
    save(Path("plan.json"), {"format": 1, "info": {}, "nodes": [], "inputs": []})
    assert cli("doctor", "plan.json").err.startswith("error: plan.json: a damaged plan")
    Path("empty").mkdir()
    assert cli("doctor", "empty").errors == ["error: empty: no workflows and no generated modules there"]


@pytest.mark.parametrize("command", ["run", "inspect", "payload", "doctor"])
def test_an_empty_name_is_reported(cli: Cli, command: str) -> None:
    assert cli(command, "").errors == ["error: the name of the workflow is empty"]


def test_a_folder_is_no_image(cli: Cli) -> None:
    Path("photos").mkdir()
    assert cli("recall", "photos").errors == ["error: photos: this is a folder; name an image in it"]


def test_models_overwrites_only_its_own_file(cli: Cli) -> None:
    answer = cli("models", "-o", "adder.json", "--server", "http://127.0.0.1:1")
    assert answer.errors == ["error: adder.json: was not made by invokeai-gen; --force overwrites it"]


@pytest.mark.parametrize("text", ["print(1)", '{"nodes": []}', "[]", '{"openapi": "3.1.0", "components": []}'])
def test_pull_overwrites_no_other_file(cli: Cli, nowhere: str, text: str) -> None:
    path = Path("mine.txt")
    path.write_text(text, encoding="utf-8")
    answer = cli("pull", "-o", path, "--server", nowhere)
    assert answer.code == 1
    assert answer.errors == ["error: mine.txt: not an openapi.json; --force overwrites it"]
    assert "cannot be reached" in cli("pull", "-o", path, "--force", "--server", nowhere).err
    shutil.copy(openapi_path(), path)
    assert "cannot be reached" in cli("pull", "-o", path, "--server", nowhere).err


def test_an_example_without_its_arguments_says_its_usage(cli: Cli) -> None:
    script = Path(__file__).parents[2] / "examples" / "outputs_and_cleanup.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: python examples/outputs_and_cleanup.py PICTURE [FOLDER]\n")


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
def test_labels_stay_on_their_line(cli: Cli, character: str) -> None:
    save(Path("adder.json"), adder(label=f"a{character}b"))
    said = cli("inspect", "adder.json").out
    assert character not in said
    assert repr(f"a{character}b")[1:-1] in said


def test_labels_cannot_steer_the_terminal(cli: Cli) -> None:
    data = adder(label="\x1b]0;owned\x07\u202e")
    data["nodes"][0]["data"]["type"] = "x"
    data["nodes"][0]["data"]["label"] = "\x1b[2J"
    save(Path("adder.json"), data)
    answer = cli("inspect", "adder.json")
    assert "\x1b" not in answer.err
    assert r"\x1b[2J" in answer.err


def _in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from invokeai_gen.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_pipes_get_no_colour_and_the_streams_are_kept_apart(cli: Cli) -> None:
    done = _in_a_process("inspect", "other.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "\x1b" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("environment", "colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colour_unless_the_user_does_not_want_it(
    cli: Cli, environment: dict[str, str], colour: bool
) -> None:
    reader, writer = os.openpty()
    code = "from invokeai_gen.cli import main; main()"
    variables = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | environment
    subprocess.run([sys.executable, "-c", code, "inspect", "other.json"], stderr=writer, env=variables, check=False)
    os.close(writer)
    said = os.read(reader, 4096)
    os.close(reader)
    assert b"error: " in said
    assert (b"\x1b[31m" in said) is colour


def test_help_is_taught_by_example(cli: Cli) -> None:
    for command in ("generate", "check", "diff", "watch", "inspect", "payload", "pull", "init", "doctor", "models"):
        said = cli(command, "--help").out
        assert f"invokeai-gen {command}" in said
        assert "Example" in said
    said = cli("--help").out
    assert "Exit codes:" in said and "Examples:" in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(cli: Cli, shell: str) -> None:
    said = cli("completion", shell).out
    assert f"_INVOKEAI_GEN_COMPLETE={shell}_complete" in said.replace(" ", "").replace("env", "")


def test_completion_of_commands_options_and_modules(cli: Cli) -> None:
    cli("generate", "adder.json", "-o", "generated")

    def complete(words: str, position: int) -> list[str]:
        done = _in_a_process(_INVOKEAI_GEN_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(position))
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("invokeai-gen di", 1) == ["diff"]
    assert complete("invokeai-gen workflows pu", 2) == ["pull", "push"]
    assert complete("invokeai-gen doctor ad", 2) == ["adder"]
    assert "--keep-names" in complete("invokeai-gen diff --", 2)


def test_json_for_programs_is_json(cli: Cli) -> None:
    data = json.loads(cli("inspect", "adder.json", "--json").out)
    assert [item["name"] for item in data["inputs"]] == ["first", "b"]


def test_an_option_that_no_input_has_is_answered_with_the_inputs(cli: Cli) -> None:
    answer = cli("run", "adder.json", "--steps", "3")
    assert (answer.code, answer.errors) == (
        2,
        [
            "error: no option '--steps'; the inputs are --first, --b",
            "hint: `invokeai-gen run adder.json --help` shows what it takes",
        ],
    )


def test_ranges_are_in_words(cli: Cli) -> None:
    refused = cli("run", "adder.json", "--runs", "0")
    assert refused.errors[0] == "error: invalid value for '--runs': 0 should be 1 or more"
    assert cli("run", "adder.json", "--timeout", "0").errors[0].endswith("0.0 should be more than 0")
    assert cli("run", "adder.json", "--max-prompts", "0").errors[0].endswith("0 should be 1 to 10000")
    assert "; 1 or more]" in cli("run", "--help").out and "x>" not in cli("run", "--help").out


def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("distributed", "mcp", "PIL"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"need dask: pip install 'invokeai-gen\[servers\]'"):
        plans.picture().sweep(product={"width": [8]}, servers=["http://127.0.0.1:1"])
    assert cli("mcp", "adder.json").errors == [
        "error: `invokeai-gen mcp` needs mcp and Pillow: pip install 'invokeai-gen[mcp]'"
    ]
    assert cli("run", "adder.json", "--contact-sheet", "sheet.png").errors == [
        "error: --contact-sheet needs Pillow: pip install 'invokeai-gen[images]'"
    ]
    assert issubclass(MissingExtraError, InvokeAIGenError), "which the command prints on one line"
