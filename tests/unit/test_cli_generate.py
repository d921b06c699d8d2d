"""`generate`, `check` and `watch`: what is written, what is told, and that nothing is ever taken for unchanged wrongly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from invokeai_gen.cli.generate import build_cache
from invokeai_gen.cli.generate.build_cache import BuildCache
from invokeai_gen.cli.generate.generation import Generation
from invokeai_gen.cli.generate.watch import watch
from invokeai_gen.codegen import module, writer
from invokeai_gen.schema import Schema
from tests.cli import Answer, Cli, adder, save

UNCHANGED = "1 module in out, 0 written, 1 unchanged"


@pytest.fixture
def cli(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr(build_cache, "_generator_files", lambda: [Path("generator.py")])
    Path("generator.py").write_text("1", encoding="utf-8")
    save(Path("flows/adder.json"), adder())
    return cli


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one for each generation that is not answered from the note of the last one."""
    done: list[str] = []
    original = BuildCache.schema

    def counted(self: BuildCache) -> Schema:
        done.append("run")
        return original(self)

    monkeypatch.setattr(BuildCache, "schema", counted)
    return done


def _generate(cli: Cli, *options: object) -> Answer:
    return cli("generate", "flows", "-o", "out", *options)


def test_a_run_with_nothing_changed_says_so_without_doing_it_again(cli: Cli, runs: list[str]) -> None:
    first, second = _generate(cli), _generate(cli)
    assert first.lines[-1] == "1 module in out, 1 written, 0 unchanged"
    assert (second.code, second.lines) == (0, [UNCHANGED])
    assert len(runs) == 1


def test_a_run_with_nothing_changed_prints_the_same_errors(cli: Cli, runs: list[str]) -> None:
    save(Path("flows/broken.json"), {"nodes": 3})
    first, second = _generate(cli), _generate(cli)
    assert first.code == second.code == 1
    assert first.errors == second.errors != []
    assert second.lines == [UNCHANGED]
    assert len(runs) == 1


def test_an_edit_that_keeps_date_and_size_is_noticed(cli: Cli) -> None:
    path = Path("flows/adder.json")
    _generate(cli)
    status = path.stat()
    save(path, adder(value=5))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert "First (first): default 5, was 1" in _generate(cli).out


@pytest.mark.parametrize("name", ["adder.py", "adder.json", "_types.py", "__init__.py", "py.typed"])
def test_an_edited_output_file_is_written_again(cli: Cli, name: str) -> None:
    _generate(cli)
    path = Path("out", name)
    original = path.read_bytes()
    path.write_bytes(original + b"\n# edited\n")
    _generate(cli)
    assert path.read_bytes() == original
    path.unlink()
    _generate(cli)
    assert path.read_bytes() == original


def test_other_options_are_another_run(cli: Cli, runs: list[str]) -> None:
    _generate(cli)
    _generate(cli, "--keep-names")
    _generate(cli, "--prune")
    assert len(runs) == 3


def test_a_file_that_changes_meanwhile_is_compiled_by_the_next_run(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    write = writer.generate

    def changed_meanwhile(*given: Any, **options: Any) -> Any:
        save(Path("flows/adder.json"), adder(value=5))
        return write(*given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(writer, "generate", changed_meanwhile)
        _generate(cli)
    assert _first_value(Path("out/adder.json").read_text(encoding="utf-8")) == 1
    _generate(cli)
    assert _first_value(Path("out/adder.json").read_text(encoding="utf-8")) == 5


def test_another_schema_is_another_run(cli: Cli, runs: list[str], schema: Schema) -> None:
    save(Path("api.json"), schema.document)
    _generate(cli, "--openapi", "api.json")
    _generate(cli, "--openapi", "api.json")
    assert len(runs) == 1
    save(Path("api.json"), {**schema.document, "x": 1})
    _generate(cli, "--openapi", "api.json")
    assert len(runs) == 2


def test_another_generator_is_another_run(cli: Cli, runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _generate(cli)
    Path("generator.py").write_text("22", encoding="utf-8")
    _generate(cli)
    assert len(runs) == 2
    monkeypatch.setattr(build_cache, "__version__", "99")
    _generate(cli)
    assert len(runs) == 3


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"inputs": 1, "outputs": 2, "outcome": 3}', "\0"])
def test_a_damaged_note_does_no_harm(cli: Cli, note: str) -> None:
    _generate(cli)
    build_cache.note_path(Path("out")).write_text(note, encoding="utf-8")
    assert _generate(cli).lines == [UNCHANGED]


def test_a_copied_package_does_not_bring_its_note_along(cli: Cli, runs: list[str]) -> None:
    _generate(cli)
    shutil.copytree("out", "copy")
    cli("generate", "flows", "-o", "copy")
    assert len(runs) == 2


def test_quiet_and_verbose(cli: Cli) -> None:
    assert _generate(cli, "-q").out == ""
    said = _generate(cli, "-v").lines
    assert said[:2] == ["unchanged out/adder.py", UNCHANGED]
    assert said[2].endswith(" s")


@pytest.mark.parametrize("command", ["generate", "check"])
def test_quiet_leaves_out_warnings_but_no_errors(command: str, cli: Cli) -> None:
    data = adder()
    ends = {"source": "gone", "sourceHandle": "value", "target": "sum", "targetHandle": "a"}
    data["edges"].append({"id": "e", "type": "default", **ends})
    save(Path("flows/adder.json"), data)
    assert "warning: flows/adder.json: " in cli(command, "flows", "-o", "out").err
    assert cli(command, "flows", "-o", "out", "--quiet").err == ""
    save(Path("flows/broken.json"), {})
    assert "error: flows/broken.json: " in cli(command, "flows", "-o", "out", "--quiet").err


def test_a_vanished_workflow_keeps_its_module_until_asked(cli: Cli) -> None:
    save(Path("flows/other.json"), adder())
    _generate(cli)
    Path("flows/other.json").unlink()
    kept = "kept      out/other.py  (made from none of these workflows; --prune removes it)"
    assert kept in _generate(cli).lines
    assert kept in _generate(cli).lines
    assert "removed   out/other.py" in _generate(cli, "--prune").lines
    assert not Path("out/other.py").exists()


def test_a_broken_workflow_keeps_no_other_from_being_written(cli: Cli) -> None:
    Path("flows/broken.json").write_text("{", encoding="utf-8")
    answer = _generate(cli)
    assert answer.code == 1
    assert Path("out/adder.py").exists()


def test_where_nothing_can_be_written_that_is_reported(cli: Cli) -> None:
    save(Path("flows/adder.json"), {})
    answer = _generate(cli)
    assert answer.code == 1
    assert answer.errors[-1] == "error: no module was written"
    assert not Path("out").exists()


def test_keep_names_is_remembered_in_the_pyproject(cli: Cli) -> None:
    cli("init", "--workflows", "flows", "-o", "out", "--keep-names")
    cli("generate")
    save(Path("flows/adder.json"), adder(label="Other"))
    cli("generate")
    assert "first: " in Path("out/adder.py").read_text(encoding="utf-8")
    cli("generate", "--rename")
    assert "other: " in Path("out/adder.py").read_text(encoding="utf-8")


def test_a_pattern_that_no_shell_has_expanded(cli: Cli) -> None:
    save(Path("flows/deep/other.json"), adder())
    assert cli("generate", "flows/*.json", "-o", "out").lines[-1].startswith("1 module in out")
    assert cli("generate", "flows/**/*.json", "-o", "out").lines[-1].startswith("2 modules in out")


def test_workflows_in_subfolders_are_mentioned(cli: Cli) -> None:
    save(Path("more/deep/other.json"), adder())
    answer = cli("generate", "more")
    assert answer.code == 1
    assert "subfolders have some: 'more/**/*.json'" in answer.err.replace("\\", "/")


def test_a_folder_that_hides_a_module_of_python_is_mentioned(cli: Cli) -> None:
    (said,) = cli("generate", "flows", "-o", "json").errors
    assert "a folder of this name hides Python's own module 'json'" in said


def test_a_workflow_called_importlib_can_be_used(cli: Cli, tmp_path: Path) -> None:
    save(Path("flows/importlib.json"), adder())
    _generate(cli)
    script = "import out; print(out.importlib.Params().first, out.adder.Params().first)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1 1\n", "")


@pytest.mark.parametrize("tool", [["ruff", "format", "--isolated", "--line-length=60"], ["black", "-q", "-l", "60"]])
def test_formatters_leave_generated_files_alone(cli: Cli, tool: list[str]) -> None:
    _generate(cli)
    subprocess.run([sys.executable, "-m", *tool, "out"], check=True, capture_output=True)
    assert cli("check", "flows", "-o", "out").code == 0
    subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select=ALL", "--ignore=PGH004", "out"], check=True
    )


def test_inspect_shows_the_names_that_the_module_has(cli: Cli) -> None:
    cli("generate", "flows", "-o", "generated")
    save(Path("flows/adder.json"), adder(label="Other"))
    cli("generate", "flows", "-o", "generated", "--keep-names")
    shown = json.loads(cli("inspect", "flows/adder.json", "--json").out)
    assert next(item["name"] for item in shown["inputs"]) == "first"


def test_check_is_0_for_fresh_modules(cli: Cli) -> None:
    _generate(cli)
    answer = cli("check", "flows", "-o", "out")
    assert (answer.code, answer.lines, answer.err) == (0, ["1 module in out, all fresh"], "")


def test_check_says_why_a_module_is_stale(cli: Cli) -> None:
    _generate(cli)
    module = Path("out/adder.py")
    text = module.read_text(encoding="utf-8")

    module.write_text(text + "# mine\n", encoding="utf-8")
    edited = cli("check", "flows", "-o", "out")
    module.write_text(text.replace("by invokeai-gen ", "by invokeai-gen 0.0.", 1), encoding="utf-8")
    older = cli("check", "flows", "-o", "out")
    module.write_text(text, encoding="utf-8")
    save(Path("flows/adder.json"), adder(value=5))
    changed = cli("check", "flows", "-o", "out")
    module.unlink()
    missing = cli("check", "flows", "-o", "out")

    assert [answer.code for answer in (edited, older, changed, missing)] == [1, 1, 1, 1]
    assert edited.lines[0] == "stale: out/adder.py: it was edited or damaged"
    assert older.lines[0] == "stale: out/adder.py: another version of invokeai-gen wrote it"
    assert changed.lines[:2] == [
        "stale: out/adder.py: the workflow changed",
        "       First (first): default 5, was 1",
    ]
    assert missing.lines[0] == "stale: out/adder.py: it is missing"


def test_check_agrees_with_names_that_were_kept(cli: Cli) -> None:
    _generate(cli)
    save(Path("flows/adder.json"), adder(label="Other"))
    assert _generate(cli, "--keep-names").code == 0
    assert cli("check", "flows", "-o", "out").lines == ["1 module in out, all fresh"]
    assert cli("check", "flows", "-o", "out", "--keep-names").code == 0
    assert _generate(cli).lines == [UNCHANGED]
    assert cli("check", "flows", "-o", "out", "--no-keep-names").code == 0
    renamed = _generate(cli, "--rename")
    assert renamed.lines == [
        "changed   out/adder.py  (flows/adder.json)",
        "          input first renamed to other: the label is now 'Other'",
        "1 module in out, 1 written, 0 unchanged",
    ]
    assert cli("check", "flows", "-o", "out").code == 0
    assert cli("check", "flows", "-o", "out", "--keep-names").code == 0
    assert "other: " in Path("out/adder.py").read_text(encoding="utf-8")
    assert cli("generate", "flows", "--rename", "--keep-names").code == 2


def test_reports_can_be_read_by_programs(cli: Cli) -> None:
    save(Path("flows/broken.json"), {"nodes": 3})
    failed, written, *_ = json.loads(_generate(cli, "--json").out)
    assert (failed["source"], failed["status"]) == ("flows/broken.json", "failed")
    assert failed["errors"]
    assert (written["file"], written["source"], written["status"]) == ("adder.py", "flows/adder.json", "new")
    Path("flows/broken.json").unlink()
    save(Path("flows/adder.json"), adder(value=5))
    answer = cli("check", "flows", "-o", "out", "--json")
    (stale,) = json.loads(answer.out)
    assert answer.code == 1
    assert (stale["file"], stale["reason"], stale["changes"][0]["kind"]) == ("adder.py", "workflow", "default")


def test_check_annotates_a_pull_request(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    _generate(cli)
    assert not any(line.startswith("::") for line in cli("check", "flows", "-o", "out").lines)
    save(Path("flows/adder.json"), adder(value=5))
    (line,) = [line for line in cli("check", "flows", "-o", "out").lines if line.startswith("::")]
    assert line.startswith("::error file=flows/adder.json,title=adder.py::stale: the workflow changed")
    save(Path("flows/a,b%.json"), [])
    assert any(line.startswith("::error file=flows/a%2Cb%25.json::") for line in cli("check", "flows").lines)


def test_a_second_file_of_one_name_does_not_rename_the_first_module(cli: Cli) -> None:
    _generate(cli)
    save(Path("a/adder.json"), adder(value=7))
    both = ("generate", "flows", "a", "-o", "out")
    assert "new       out/a_adder.py  (a/adder.json)" in cli(*both).lines
    save(Path("flows/adder.json"), adder(value=8))
    save(Path("a/adder.json"), adder(value=9))
    cli(*both)
    assert _first_value(Path("out/adder.json").read_text(encoding="utf-8")) == 8
    assert _first_value(Path("out/a_adder.json").read_text(encoding="utf-8")) == 9
    assert cli("check", "a", "flows", "-o", "out").code == 0


def test_one_changed_workflow_renders_no_other(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    save(Path("flows/other.json"), adder())
    _generate(cli)
    rendered: list[str] = []
    render = module.render

    def counted(*args: Any, **options: Any) -> str:
        rendered.append(str(options["module"]))
        return render(*args, **options)

    monkeypatch.setattr(module, "render", counted)
    save(Path("flows/other.json"), adder(value=5))
    _generate(cli)
    assert rendered == ["other"]
    Path("out/adder.py").unlink()
    _generate(cli)
    assert rendered == ["other", "adder"]


def test_kept_names_outlive_a_run_with_other_workflows(cli: Cli) -> None:
    _generate(cli)
    save(Path("flows/adder.json"), adder(label="Other"))
    _generate(cli, "--keep-names")
    save(Path("more/second.json"), adder())
    cli("generate", "more", "-o", "out")
    assert cli("check", "flows", "more", "-o", "out").code == 0


def test_check_does_not_blame_another_version_for_this_one(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _generate(cli)
    monkeypatch.setattr("invokeai_gen.codegen.docs.params_doc", lambda plan: "Other words.")
    answer = cli("check", "flows", "-o", "out")
    assert answer.code == 1
    assert answer.lines == ["stale: out/adder.py: this invokeai-gen writes it differently"]


def test_a_file_that_modules_share_is_reported_with_its_reason(cli: Cli) -> None:
    _generate(cli)
    path = Path("out/_types.py")
    path.unlink()
    assert cli("check", "flows", "-o", "out").lines == ["stale: out/_types.py: it is missing"]
    assert _generate(cli).lines == ["written   out/_types.py", UNCHANGED]
    path.write_text(path.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    assert cli("check", "flows", "-o", "out").lines == ["stale: out/_types.py: it was edited or damaged"]
    _generate(cli)
    save(Path("flows/other.json"), adder())
    assert cli("check", "flows", "-o", "out").lines == [
        "stale: out/other.py: it is missing",
        "stale: out/__init__.py: the modules that share it changed",
    ]


@pytest.mark.parametrize("name", ["class", "a b-c", "2nd"])
def test_a_folder_that_python_cannot_import_is_mentioned(cli: Cli, name: str) -> None:
    for _ in range(2):
        answer = cli("generate", "flows", "-o", name)
        assert answer.code == 0
        assert len(answer.errors) == 1
        assert answer.errors[0].startswith(f"warning: {name}: Python cannot import a folder of this name")
    assert f"from {name}" not in Path(name, "adder.py").read_text(encoding="utf-8")
    assert _generate(cli).err == ""


def test_check_writes_nothing(cli: Cli) -> None:
    assert cli("check", "flows", "-o", "out").code == 1
    assert not Path("out").exists()


def test_check_is_2_where_it_cannot_tell(cli: Cli) -> None:
    _generate(cli)
    save(Path("flows/broken.json"), [])
    assert cli("check", "flows", "-o", "out").code == 2
    assert cli("check", "nowhere").code == 2
    assert cli("check", "flows", "--openapi", "nowhere.json").code == 2


def test_check_does_not_believe_the_note(cli: Cli) -> None:
    _generate(cli)
    note = build_cache.note_path(Path("out"))
    save(Path("flows/adder.json"), adder(value=5))
    assert json.loads(note.read_text(encoding="utf-8").splitlines()[1])["keys"]
    assert cli("check", "flows", "-o", "out").code == 1


def _first_value(plan: str) -> int:
    return int(json.loads(plan)["inputs"][0]["value"])


class Ended(Exception):
    """Ends a watch in a test."""


def test_watch_generates_after_each_change_and_survives_broken_files(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    path, module = Path("flows/adder.json"), Path("out/adder.json")
    texts: list[str] = []
    half = json.dumps(adder(value=5))[:100]
    steps: Iterator[Callable[[], object]] = iter(
        [
            lambda: path.write_text(half, encoding="utf-8"),
            lambda: None,
            lambda: save(path, adder(value=6)),
            lambda: None,
            lambda: path.unlink(),
            lambda: None,
            lambda: save(path, adder(value=77)),
            lambda: None,
            lambda: None,
        ]
    )

    def wait() -> None:
        texts.append(module.read_text(encoding="utf-8"))
        step = next(steps, None)
        if step is None:
            raise Ended
        step()

    def prepare() -> Generation:
        return Generation.of((Path("flows"),), Path("out"), None, None, None)

    with pytest.raises(Ended):
        watch(prepare, wait)
    said = capsys.readouterr().err
    assert "flows/adder.json: not JSON" in said
    assert said.count("flows: no workflow files (*.json) there") == 1
    first, *_, last = texts
    assert _first_value(first) == 1
    assert any(_first_value(text) == 6 for text in texts)
    assert _first_value(last) == 77


def test_watch_ends_quietly_with_ctrl_c(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("invokeai_gen.cli.generate.watch.time.sleep", interrupt)
    answer = cli("watch", "flows", "-o", "out")
    assert (answer.code, answer.err) == (0, "")
    assert answer.lines[-1] == "watching for changes; Ctrl-C ends this"
