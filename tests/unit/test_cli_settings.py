"""`[tool.invokeai-gen]`: what it may say, where it is found, and how `init` writes it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from invokeai_gen.cli.generate.init import with_table
from invokeai_gen.cli.settings import SettingsError, find_settings
from tests.cli import Cli, adder, save

TABLE = {"workflows": ["flows/*.json"], "output": "out"}
OTHERS = '# the project\n[project]\nname = "x"  # a name\n\n[tool.ruff]\nline-length = 100\n'


def _written(text: str) -> Path:
    path = Path("pyproject.toml")
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_table_everything_is_the_default(cli: Cli) -> None:
    settings = find_settings()
    assert (settings.source, settings.output, settings.workflows) == (None, "generated", ())


def test_the_table_is_found_from_a_folder_below(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _written('[tool.invokeai-gen]\noutput = "out"\nopenapi = "schema.json"\nkeep-names = true\n')
    below = Path("a/b")
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    settings = find_settings()
    assert settings.output_path == Path("../../out")
    assert settings.openapi_path == Path("../../schema.json")
    assert settings.keep_names


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('workflow = ["x"]', "unknown key 'workflow'; did you mean 'workflows'?"),
        ("zzz = 1", "unknown key 'zzz'; the keys are server, openapi, workflows, output, keep-names"),
        ('workflows = "x.json"', "workflows is 'x.json', but should be a list of globs"),
        ("workflows = []", "workflows is [], but should be a list of globs"),
        ("output = 3", "output is 3, but should be a path"),
        ('server = "localhost"', "server is 'localhost', but should be the address of a server"),
        ('keep-names = "yes"', "keep-names is 'yes', but should be true or false"),
    ],
)
def test_each_bad_key_is_named(cli: Cli, line: str, problem: str) -> None:
    _written(f"[tool.invokeai-gen]\n{line}\n")
    answer = cli("generate")
    assert answer.code == 1
    assert answer.errors[0].startswith(f"error: pyproject.toml: [tool.invokeai-gen] {problem}")
    assert len(answer.errors) == 1


def test_all_bad_keys_are_reported_at_once(cli: Cli) -> None:
    _written("[tool.invokeai-gen]\noutput = 3\nworkflows = 4\n")
    assert len(cli("generate").errors) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[tool", "not TOML: "), ("[tool]\ninvokeai-gen = 3\n", "tool.invokeai-gen is 3, but should be a table")],
)
def test_a_bad_pyproject_is_one_line(cli: Cli, text: str, problem: str) -> None:
    _written(text)
    answer = cli("check")
    assert answer.code == 2
    assert answer.errors == [line for line in answer.errors if line.startswith(f"error: pyproject.toml: {problem}")]
    assert len(answer.errors) == 1


def test_generate_check_and_diff_use_the_table(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    save(Path("flows/adder.json"), adder())
    assert cli("init", "--workflows", "flows/*.json", "-o", "out").code == 0
    assert cli("generate").out.endswith("1 module in out, 1 written, 0 unchanged\n")
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert cli("check").lines == ["1 module in ../out, all fresh"]
    assert cli("diff", "adder", "../flows/adder.json").code == 0


def test_the_command_line_wins(cli: Cli) -> None:
    save(Path("flows/adder.json"), adder())
    cli("init", "--workflows", "flows/*.json", "-o", "out")
    assert cli("generate", "-o", "elsewhere").code == 0
    assert Path("elsewhere/adder.py").exists() and not Path("out").exists()


def test_names_do_not_depend_on_the_current_folder(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b"):
        save(Path(folder, "x.json"), adder())
    cli("init", "--workflows", "*/x.json", "-o", "out")
    assert cli("generate").code == 0
    monkeypatch.chdir("a")
    assert cli("check").code == 0


def test_globs_without_a_file_are_an_error(cli: Cli) -> None:
    cli("init")
    answer = cli("generate")
    assert answer.code == 1
    assert answer.errors == ["error: workflows/*.json: no workflow files (*.json) there (from pyproject.toml)"]


def test_without_workflows_and_table_the_usage_is_reported(cli: Cli) -> None:
    answer = cli("generate")
    assert answer.code == 2
    assert "missing WORKFLOWS: name files or folders, or run `invokeai-gen init` first" in answer.err


def test_init_makes_a_pyproject_where_there_is_none(cli: Cli) -> None:
    assert cli("init", "--server", "http://host:9090").code == 0
    table = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["invokeai-gen"]
    assert table == {"server": "http://host:9090", "workflows": ["workflows/*.json"], "output": "generated"}


def test_init_keeps_every_other_byte(cli: Cli) -> None:
    text = OTHERS.replace("\n", "\r\n") + "x = 1 # no line end"
    Path("pyproject.toml").write_bytes(text.encode())
    assert cli("init").code == 0
    after = Path("pyproject.toml").read_bytes().decode()
    assert after.startswith(text + "\r\n\r\n[tool.invokeai-gen]\r\n")
    assert "\n" not in after.replace("\r\n", "")


def test_init_does_not_replace_a_table_unasked(cli: Cli) -> None:
    path = _written('[tool.invokeai-gen]\noutput = "old"\n')
    answer = cli("init")
    assert answer.code == 1
    assert answer.errors == ["error: pyproject.toml: has [tool.invokeai-gen] already; --force replaces it"]
    assert path.read_text(encoding="utf-8") == '[tool.invokeai-gen]\noutput = "old"\n'


def test_init_writes_no_table_that_it_would_refuse(cli: Cli) -> None:
    answer = cli("init", "--server", "host")
    assert answer.code == 1
    assert "server is 'host'" in answer.err
    assert not Path("pyproject.toml").exists()


def test_init_force_replaces_only_our_table() -> None:
    ours = '[ tool . "invokeai-gen" ]  # ours\nworkflows = [\n  "a",\n]\n'
    before = OTHERS + "\n" + ours + "\n# about black\n[tool.black]\nline-length = 99\n"
    after = with_table(before, TABLE)
    assert after.startswith(OTHERS + "\n[tool.invokeai-gen]\n")
    assert after.endswith("\n\n# about black\n[tool.black]\nline-length = 99\n")
    assert tomllib.loads(after)["tool"]["invokeai-gen"] == TABLE


@pytest.mark.parametrize(
    "text",
    [
        '[tool]\ninvokeai-gen = {output = "x"}\n',
        '[tool.invokeai-gen]\noutput = "x"\n[tool.invokeai-gen.more]\ny = 1\n',
        'text = """\n[tool.invokeai-gen]\n"""\n',
    ],
)
def test_what_cannot_be_replaced_safely_is_left_alone(text: str) -> None:
    with pytest.raises(SettingsError, match="change it by hand"):
        with_table(text, TABLE)


def test_strings_are_escaped() -> None:
    table = {"workflows": ['a"b\\c\td\x7f é.json'], "output": "out"}
    assert tomllib.loads(with_table("", table))["tool"]["invokeai-gen"] == table
