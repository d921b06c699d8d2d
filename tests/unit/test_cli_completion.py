"""Completion: what is offered, and that a real bash takes it whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from invokeai_gen.cli import cli as group
from invokeai_gen.schema import Schema
from tests.cli import Cli, adder, save
from tests.unit.workflow_builder import Builder


@pytest.fixture
def cli(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, schema: Schema) -> Cli:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("INVOKEAI_URL", "http://127.0.0.1:1")
    Path("home").mkdir()
    save(Path("adder.json"), adder())
    blur = Builder(schema).node("b", "img_blur").field("b.image").field("b.radius").field("b.blur_type")
    save(Path("blur.json"), blur.data())
    return cli


def _completed(*words: str) -> list[str]:
    *arguments, incomplete = words
    found = ShellComplete(group, {}, "invokeai-gen", "_X").get_completions(arguments, incomplete)
    return [str(item.value) for item in found]


def test_names_of_inputs_and_their_values_are_completed(cli: Cli) -> None:
    for command in (
        ["run", "blur.json", "--product"],
        ["run", "blur.json", "--set"],
        ["payload", "blur.json", "--set"],
    ):
        assert _completed(*command, "") == ["image=", "radius=", "blur_type="]
        assert _completed(*command, "r") == ["radius="]
        assert _completed(*command, "blur_type=g") == ["blur_type=gaussian"]
    assert _completed("run", "blur.json", "--product", "blur_type=box,g") == ["blur_type=box,gaussian"]


def test_a_server_that_is_not_there_completes_nothing(cli: Cli) -> None:
    assert _completed("workflows", "pull", "x") == []
    assert _completed("run", "blur.json", "--auto-board", "x") == []
    assert _completed("run", "Text to Image", "") == []


def test_modules_come_before_files(cli: Cli) -> None:
    assert cli("generate", "adder.json", "-o", "generated").code == 0
    assert _completed("run", "ad") == ["adder"]
    assert _completed("inspect", "adder") == ["adder"]


@pytest.mark.parametrize(
    ("shell", "script", "start"),
    [
        ("bash", ".local/share/invokeai-gen/completion.bash", ".bashrc"),
        ("zsh", ".local/share/invokeai-gen/completion.zsh", ".zshrc"),
        ("fish", ".config/fish/conf.d/invokeai-gen.fish", None),
    ],
)
def test_a_script_is_installed_once(cli: Cli, shell: str, script: str, start: str | None) -> None:
    home = Path("home")
    if start:
        (home / start).write_text("export MINE=1", encoding="utf-8")
    for _ in range(2):
        answer = cli("completion", shell, "--install")
        assert answer.code == 0, answer.err
    assert "_INVOKEAI_GEN_COMPLETE" in (home / script).read_text(encoding="utf-8")
    if start:
        lines = (home / start).read_text(encoding="utf-8").splitlines()
        assert lines[0] == "export MINE=1"
        assert len(lines) == 2


def test_the_shell_is_that_of_the_user_unless_one_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert "--command invokeai-gen" in cli("completion").out
    monkeypatch.setenv("SHELL", "/bin/csh")
    answer = cli("completion")
    assert (answer.code, answer.errors[0]) == (2, "error: name the SHELL: bash, zsh or fish")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("invokeai-gen gen", ["generate"]),
        ("invokeai-gen run blur.json --blur-type ", ["gaussian", "box"]),
        ("invokeai-gen run blur.json --blur-type=g", ["gaussian"]),
        ("invokeai-gen payload blur.json --set blur_type=b", ["box"]),
        ("invokeai-gen payload 'my blur.json' --set ra", ["radius="]),
        ("invokeai-gen run ad", [r"adder\ two"]),
        ('invokeai-gen run "ad', ["adder two"]),
        ("invokeai-gen run 'adder t", ["adder two"]),
    ],
)
def test_bash_takes_what_is_completed(cli: Cli, line: str, replies: list[str]) -> None:
    shutil.copy("blur.json", "my blur.json")
    Path("generated").mkdir()
    for suffix in (".json", ".py"):
        Path(f"generated/adder two{suffix}").write_text("", encoding="utf-8")
    command = Path("bin/invokeai-gen")
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m invokeai_gen \"$@\"\n", encoding="utf-8")
    command.chmod(0o755)
    Path("script").write_text(cli("completion", "bash").out, encoding="utf-8")
    code = (
        "compopt() { :; }; complete() { name=$4; }; . ./script; COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; "
        'COMP_WORDS=("$2"); COMP_CWORD=0; '  # what bash itself makes of the last word
        '$name invokeai-gen; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    last = line[line.rindex(quote) :] if (quote := next((q for q in "\"'" if line.count(q) == 1), "")) else ""
    path = f"{Path('bin').resolve()}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", code, "bash", line, last],
        capture_output=True, text=True, check=True, env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.stdout.splitlines() == replies, done.stderr


def _prepared(cli: Cli, shell: str, *, generate: bool = False) -> dict[str, str]:
    """Write the script of a shell, a command of ours and a module; return the environment that finds the command."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    Path("generated").mkdir()
    for suffix in () if generate else (".json", ".py"):
        Path(f"generated/adder two, red{suffix}").write_text("", encoding="utf-8")
    assert not generate or cli("generate", "blur.json", "-o", "generated").code == 0
    Path("bin").mkdir()
    for name, module in (("invokeai-gen", "-m invokeai_gen "), ("python", "")):  # a link would leave the environment
        command = Path("bin", name)
        command.write_text(f"#!/bin/sh\nexec '{sys.executable}' {module}\"$@\"\n", encoding="utf-8")
        command.chmod(0o755)
    Path("script").write_text(cli("completion", shell).out, encoding="utf-8")
    return {**os.environ, "PATH": f"{Path('bin').resolve()}{os.pathsep}{os.environ['PATH']}"}


WORDS = [
    (["gener"], ["generate"]),
    (["run", "blur.json", "--blur-type", "ga"], ["gaussian"]),
    (["run", "blur.json", "--blur-type=ga"], ["--blur-type=gaussian"]),
    (["payload", "blur.json", "--set", "blur_type=b"], ["blur_type=box"]),
    (["payload", "blur.json", "--set", "ra"], ["radius="]),
    (["run", "ad"], ["adder two, red"]),
]
MODULE_WORDS = [
    (["-m", "generated.blur", "--blur-type", "ga"], ["gaussian"]),
    (["-m", "generated.blur", "--ra"], ["--radius"]),
    (["-m", "generated.bl"], ["generated.blur"]),
    (["-m", "gen"], ["generated.blur"]),
]
"""After `python`."""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def _zsh(code: str, words: list[str], environment: dict[str, str]) -> list[str]:
    """Run a script and return what it prints; its errors are shown if the test fails."""
    command = ["zsh", "-f", "-c", code, "zsh", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    print(done.stderr)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("words", "replies"), [*MODULE_WORDS, (["-m", "pi"], ["pip"]), (["x.p"], ["theirs"])])
def test_bash_completes_modules_and_leaves_the_rest_to_others(cli: Cli, words: list[str], replies: list[str]) -> None:
    environment = _prepared(cli, "bash", generate=True)
    line = " ".join(["python", *words])
    code = (
        "theirs() { [[ $2 == pi ]] && COMPREPLY=(pip) || { [[ $2 == x.p ]] && COMPREPLY=(theirs); }; }; "
        "complete -F theirs python; . ./script; [[ $(complete -p python) =~ -F\\ ([^ ]+) ]]; "
        "COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); compopt() { :; }; "
        '"${BASH_REMATCH[1]}" python "${COMP_WORDS[COMP_CWORD]}"; printf "%s\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", code, "bash", line], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines() == replies, done.stderr


@pytest.mark.parametrize(("words", "replies"), [*MODULE_WORDS, (["-m", "pi"], ["theirs"])])
def test_zsh_completes_modules_and_leaves_the_rest_to_others(cli: Cli, words: list[str], replies: list[str]) -> None:
    environment = _prepared(cli, "zsh", generate=True)
    code = (
        "typeset -A _comps=(python theirs); theirs() { [[ $words[-1] == pi ]] && print theirs }; "
        "compdef() { [[ $2 == python ]] && name=$1 }; compset() { }; compadd() { print -rl -- ${(P)@[-1]} }; "
        "_describe() { print -rl -- ${${(P)3}%%:*} }; . ./script; words=(python $@); CURRENT=$#words; $name"
    )
    assert _zsh(code, words, environment) == replies


@pytest.mark.parametrize(("words", "replies"), MODULE_WORDS)
def test_fish_completes_modules(cli: Cli, words: list[str], replies: list[str]) -> None:
    environment = _prepared(cli, "fish", generate=True)
    code = "source script; complete --do-complete $argv[1]"
    done = subprocess.run(
        ["fish", "--no-config", "-c", code, " ".join(["python", *words])],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert set(replies) <= {reply.split("\t")[0] for reply in done.stdout.splitlines()}, done.stderr


@pytest.mark.parametrize(("words", "replies"), WORDS)
def test_zsh_takes_what_is_completed(cli: Cli, words: list[str], replies: list[str]) -> None:
    environment = _prepared(cli, "zsh")
    code = (
        "compdef() { name=$1 }; compset() { }; _path_files() { print -r -- file }; "
        "compadd() { print -rl -- ${(P)@[-1]} }; _describe() { print -rl -- ${${(P)3}%%:*} }; "
        ". ./script; words=(invokeai-gen $@); CURRENT=$#words; $name"
    )
    assert _zsh(code, words, environment) == replies


@pytest.mark.parametrize(
    ("words", "replies"), [*WORDS, (["payload", "blur.json", "--params=bl"], ["--params=blur.json"])]
)
def test_fish_takes_what_is_completed(cli: Cli, words: list[str], replies: list[str]) -> None:
    environment = _prepared(cli, "fish")
    code = "source script; complete --do-complete $argv[1]"
    line = " ".join(["invokeai-gen", *words])
    done = subprocess.run(
        ["fish", "--no-config", "-c", code, line], capture_output=True, text=True, check=True, env=environment
    )
    assert [reply.split("\t")[0] for reply in done.stdout.splitlines()] == replies, done.stderr
